"""encoder.weights=FILE: official ImageNet checkpoints and whole official networks."""

from __future__ import annotations

from pathlib import Path

import official_record
import pytest
import torch
from torch import Tensor

from segscape.errors import UserError
from segscape.models.encoders.resnet import ResNet
from segscape.models.encoders.smp_adapter import SmpEncoder
from segscape.models.encoders.stdc import STDC


def stdc_classifier() -> dict[str, Tensor]:
    """The names of the authors' `STDCNet813M_73.91.tar`."""
    network = official_record.tensors(official_record.read("stdcseg_official_stdc1"))
    prefix = "cp.backbone."
    found = {k.removeprefix(prefix): v for k, v in network.items() if k.startswith(prefix)}
    assert {"conv_last.conv.weight", "linear.weight", "x8.0.2.conv_list.0.conv.weight"} <= {*found}
    return found


def save(tensors: dict[str, Tensor], file: Path) -> str:
    torch.save({"state_dict": tensors}, file)
    return str(file)


def test_the_official_stdc_classifier_fills_the_encoder(tmp_path: Path) -> None:
    tensors = stdc_classifier()
    encoder = STDC("stdc1", weights=save(tensors, tmp_path / "STDCNet813M_73.91.pth.tar"))
    state = encoder.state_dict()
    assert torch.equal(state["layers.2.down.conv.weight"], tensors["features.2.avd_layer.0.weight"])
    last = tensors["features.7.conv_list.3.bn.running_var"]
    assert torch.equal(state["layers.7.convs.3.norm.running_var"], last)
    with pytest.raises(UserError, match="tensors of the encoder are not in it"):
        STDC("stdc2", weights=save(tensors, tmp_path / "stdc1.pth"))


def test_the_encoder_of_an_official_network_is_taken(tmp_path: Path) -> None:
    network = official_record.tensors(official_record.read("stdcseg_official_stdc1"))
    ours = STDC("stdc1", weights=save(network, tmp_path / "network.pth")).state_dict()
    alone = STDC("stdc1", weights=save(stdc_classifier(), tmp_path / "encoder.pth")).state_dict()
    assert all(torch.equal(x, alone[name]) for name, x in ours.items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features.3.conv_list.0.conv.weight": None}, "1 tensors of the encoder are not in it"),
        ({"features.3.extra.weight": torch.zeros(1)}, "1 of its tensors have no place"),
        ({"features.0.bn.bias": torch.zeros(7)}, "1 tensors have another shape"),
        ({"features.0.bn.bias": torch.full((32,), torch.nan)}, "1 tensors hold values.*not finite"),
        ({"x2.0.0.bn.bias": torch.ones(32)}, "cannot be ignored as 'second name of a layer'"),
    ],
)
def test_every_tensor_is_accounted_for(
    change: dict[str, Tensor | None], message: str, tmp_path: Path
) -> None:
    tensors = {**stdc_classifier(), **change}
    # A layer and its second name are one tensor.
    for name in change:
        if name == "features.0.bn.bias":
            tensors = {k: v for k, v in tensors.items() if not k.startswith("x")}
    kept = {name: x for name, x in tensors.items() if x is not None}
    if len(kept) < len(tensors):
        kept = {k: v for k, v in kept.items() if not k.startswith("x")}
    with pytest.raises(UserError, match=message):
        STDC("stdc1", weights=save(kept, tmp_path / "file.pth"))


def test_torchvisions_classifiers_fill_resnet(tmp_path: Path) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    theirs = resnet18().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet18.pth")
    encoder = ResNet(18, weights=str(tmp_path / "resnet18.pth")).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        pooled = encoder(image)[32].mean((2, 3))
        torch.testing.assert_close(theirs.fc(pooled), theirs(image))


def test_a_wrapped_encoder_takes_its_own_file(tmp_path: Path) -> None:
    source = SmpEncoder("tu-mobilenetv3_small_050")
    # All names begin with "model.", as if a trainer had put it there.
    torch.save(source.body.state_dict(), tmp_path / "encoder.pth")
    copy = SmpEncoder("tu-mobilenetv3_small_050", str(tmp_path / "encoder.pth"))
    for name, x in copy.state_dict().items():
        assert torch.equal(x, source.state_dict()[name]), name
