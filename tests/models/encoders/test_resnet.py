"""ResNet against torchvision's, and the choices that the systems make about it."""

from __future__ import annotations

import pytest
import torch
import torchvision

from segscape.errors import UserError
from segscape.models.encoders.resnet import ResNet


def copy_by_order(source: torch.nn.Module, target: torch.nn.Module) -> None:
    """Both lists put a shortcut behind the convolutions of its block."""
    theirs = [t for name, t in source.state_dict().items() if not name.startswith("fc.")]
    ours = list(target.state_dict().values())
    assert [t.shape for t in theirs] == [t.shape for t in ours]
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        ours_one.copy_(theirs_one)


@pytest.mark.parametrize(
    ("depth", "dilated"), [(18, False), (34, False), (50, False), (50, True), (101, False)]
)
def test_features_are_those_of_torchvision(depth: int, dilated: bool) -> None:
    torch.manual_seed(0)
    keywords = {"replace_stride_with_dilation": [False, True, True]} if dilated else {}
    theirs = getattr(torchvision.models, f"resnet{depth}")(weights=None, **keywords).eval()
    choices = {"strides": (1, 1), "dilations": (2, 4), "first_dilated": False} if dilated else {}
    ours = ResNet(depth, **choices).eval()
    copy_by_order(theirs, ours)
    image = torch.randn(1, 3, 65, 97)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        expected = []
        for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            x = layer(x)
            expected.append(x)
        features = ours(image)
    keys = (4, "layer2", "layer3", 8) if dilated else (4, 8, 16, 32)
    for key, value in zip(keys, expected, strict=True):
        torch.testing.assert_close(features[key], value)


def test_the_spec_names_layers_that_share_a_stride() -> None:
    spec = ResNet(50, stem="deep", strides=(1, 1), dilations=(2, 4)).spec
    assert spec.channels == {2: 128, 4: 256, 8: 2048}
    assert spec.extras == {"layer2": (8, 512), "layer3": (8, 1024)}


@pytest.mark.parametrize("choices", [{"depth": 20}, {"stem": "wide"}])
def test_unknown_choices_are_named(choices: dict[str, object]) -> None:
    with pytest.raises(UserError, match="choices: "):
        ResNet(**choices)  # type: ignore[arg-type]


@torch.no_grad()
def test_alignsegs_pooling_rounds_up() -> None:
    encoder = ResNet(50, stem="deep", ceil_mode=True).eval()
    features = encoder(torch.randn(1, 3, 64, 96))
    # The maps after the pooling have a row and a column more.
    expected = {s: (64 // s + (s > 2), 96 // s + (s > 2)) for s in encoder.spec.strides}
    assert {s: tuple(features[s].shape[2:]) for s in encoder.spec.strides} == expected
