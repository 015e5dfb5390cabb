"""The decoders of segmentation-models-pytorch on our encoders."""

from __future__ import annotations

from functools import partial

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import nn

import segscape
from segscape.errors import UserError
from segscape.models.contracts import FeatureSpec, MissingFeatures
from segscape.models.decoders.smp_adapter import _KINDS, SmpDecoder
from segscape.models.encoders.afformer import AFFormer
from segscape.models.encoders.resnet import ResNet
from segscape.models.encoders.smp_adapter import SmpEncoder
from segscape.models.heads.classifier import Classifier
from segscape.models.segmenter import Segmenter, assemble

NAMES = tuple(_KINDS)
DILATED = {"strides": (1, 1), "dilations": (2, 4)}


def build(name: str, encoder: nn.Module, kernel: int = 1, **about: bool) -> Segmenter:
    return assemble(
        encoder,
        None,
        partial(SmpDecoder, name=name),
        None,
        partial(Classifier, kernel=kernel),
        num_classes=5,
        auxiliary=(),
        **about,
    )


def check_trains_and_evaluates(model: Segmenter) -> None:
    image = torch.randn(2, 3, 64, 96)
    logits = model.train()(image)["main"]
    assert logits.shape == (2, 5, 64, 96)
    logits.square().mean().backward()
    for name, parameter in model.decoder.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    with torch.no_grad():
        for size in ((37, 61), (1, 1)):
            logits = model.eval()(torch.randn(1, 3, *size))
            assert logits.shape == (1, 5, *size)
            assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_trains_and_evaluates(name: str) -> None:
    torch.manual_seed(0)
    check_trains_and_evaluates(build(name, ResNet(18)))


@pytest.mark.parametrize("name", NAMES)
def test_every_decoder_does_without_stride_2(name: str) -> None:
    torch.manual_seed(0)
    check_trains_and_evaluates(build(name, AFFormer((32, 64, 160, 216), (2, 4, 2))))


@pytest.mark.parametrize("name", sorted({*NAMES} - {"FPN"}))
def test_every_decoder_but_fpn_takes_a_dilated_encoder(name: str) -> None:
    torch.manual_seed(0)
    check_trains_and_evaluates(build(name, ResNet(18, **DILATED)))


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_channels_last_stay(name: str) -> None:
    torch.manual_seed(0)
    spec = FeatureSpec({2: 4, 4: 8, 8: 8, 16: 16, 32: 16})
    decoder = SmpDecoder(spec, name=name).eval()
    last = torch.channels_last
    odd = {s: torch.randn(1, c, -(-72 // s), -(-104 // s)) for s, c in spec.channels.items()}
    with torch.no_grad():
        ((stride, x),) = decoder(odd).items()
        same = decoder.to(memory_format=last)({s: y.to(memory_format=last) for s, y in odd.items()})
    assert x.shape[2:] == (-(-72 // stride), -(-104 // stride))
    torch.testing.assert_close(same[stride], x, atol=1e-3, rtol=1e-3)
    with torch.device("meta"):
        meta = SmpDecoder(spec, name=name).eval()
        assert meta({s: y.to("meta") for s, y in odd.items()})[stride].shape == x.shape


def pair(name: str, kernel: int, **choices: int) -> tuple[nn.Module, Segmenter]:
    """smp's own model, and ours with its weights."""
    torch.manual_seed(0)
    theirs = getattr(smp, name)("resnet18", encoder_weights=None, classes=5).eval()
    with torch.no_grad():
        for module in theirs.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)
    ours = build(name, SmpEncoder("resnet18", **choices), kernel, align_corners=True).eval()
    ours.encoder.body.load_state_dict(theirs.encoder.state_dict())
    ours.decoder.body.load_state_dict(theirs.decoder.state_dict())
    ours.head.classifier.load_state_dict(theirs.segmentation_head[0].state_dict())
    return theirs, ours


@pytest.mark.parametrize(
    ("name", "kernel", "choices"),
    [
        ("Unet", 3, {}),
        ("UnetPlusPlus", 3, {}),
        ("MAnet", 3, {}),
        ("Linknet", 1, {}),
        ("FPN", 1, {}),
        ("DeepLabV3", 1, {"output_stride": 8}),
        ("DeepLabV3Plus", 1, {"output_stride": 16}),
        ("PSPNet", 3, {"depth": 3}),
        ("UPerNet", 1, {}),
        ("Segformer", 1, {}),
    ],
)
def test_it_is_smps_own_network(name: str, kernel: int, choices: dict[str, int]) -> None:
    theirs, ours = pair(name, kernel, **choices)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image), atol=1e-5, rtol=1e-5)


def test_the_comparison_notices_another_deepest_stride() -> None:
    theirs, ours = pair("DeepLabV3Plus", 1)
    image = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        assert (ours(image) - theirs(image)).abs().max() > 1e-2


def test_the_error_for_an_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'DeepLabV3plus'\ndid you mean DeepLabV3Plus\?"):
        SmpDecoder(FeatureSpec({8: 4}), name="DeepLabV3plus")


@pytest.mark.parametrize(
    ("name", "channels", "missing"),
    [
        ("Unet", {4: 8, 16: 8}, (8,)),
        ("Unet", {2: 8, 4: 8}, (8,)),
        ("FPN", {4: 8, 8: 8}, (16, 32)),
        ("DeepLabV3Plus", {8: 8, 16: 8}, (4,)),
        ("Segformer", {16: 192}, (4, 8)),
    ],
)
def test_missing_strides_are_named(
    name: str, channels: dict[int, int], missing: tuple[int, ...]
) -> None:
    with pytest.raises(MissingFeatures, match=rf"decoder smp \({name}\)") as error:
        SmpDecoder(FeatureSpec(channels), name=name)
    assert error.value.missing == missing


def test_the_choice_works_by_name() -> None:
    model = segscape.create_model(
        "afformer_tiny", 5, decoder="smp", head="conv1x1", overrides=["decoder.name=PAN"]
    )
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)
