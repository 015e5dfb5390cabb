"""The parts of SFNet, AlignSeg and FaPN in other networks, and the parts of others in theirs."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import segscape
from segscape.errors import UserError
from segscape.models.contracts import FeatureSpec
from segscape.models.decoders.align import Align
from segscape.models.decoders.fapn import FaPN
from segscape.models.decoders.fpn import FPN
from segscape.models.fusions.align_fa import AlignFA
from segscape.models.fusions.fapn import GuidedDeformConv
from segscape.models.fusions.flow_align import FlowAlign

ALIGNED = ("flow_align", "flow_align_gated", "align_fa", "align_fa_corrected", "fapn")
NO_AUXILIARY = ("model.auxiliary=null",)


@pytest.mark.parametrize(
    ("name", "choices", "overrides"),
    [
        ("sfnet_resnet18", {"encoder": "stdc1"}, ()),
        ("sfnet_resnet18", {"context": "sppm"}, ()),
        ("sfnet_resnet18", {"fusion": "uafm_channel"}, ()),
        ("sfnet_resnet18", {"fusion": "add"}, ()),
        ("sfnet_resnet18", {"encoder": "stdc1", "context": "sppm", "fusion": "uafm_channel"}, ()),
        ("sfnet_resnet18", {"decoder": "fapn", "fusion": "fapn"}, NO_AUXILIARY),
        ("sfnet_resnet18", {"decoder": "align"}, NO_AUXILIARY),
        ("sfnet_resnet18", {"head": "seg"}, ()),
        ("sfnet_lite_resnet18", {"fusion": "uafm_spatial"}, ()),
        ("alignseg_resnet50", {"encoder": "resnet18", "fusion": "flow_align"}, ()),
        ("alignseg_resnet50", {"encoder": "resnet18", "context": "none", "fusion": "add"}, ()),
        ("fapn_resnet18", {"fusion": "uafm_spatial"}, ()),
        ("fapn_resnet18", {"fusion": "concat", "context": "ppm_psp"}, ()),
        *(("fapn_resnet18", {"fusion": fusion}, ()) for fusion in ALIGNED),
        *(("ppliteseg", {"fusion": fusion}, ()) for fusion in ALIGNED),
        ("fapn_resnet18", {"context": "align_cm_corrected"}, ()),
        *(("ppliteseg", {"decoder": decoder}, ()) for decoder in ("fpn", "sfnet_lite", "fapn")),
        ("ppliteseg", {"decoder": "align", "fusion": "flow_align"}, NO_AUXILIARY),
    ],
    ids=str,
)
def test_recombined_networks_train_and_evaluate(
    name: str, choices: dict[str, str], overrides: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=5, overrides=overrides, **choices).train()
    outputs = model(torch.randn(2, 3, 37, 61))
    assert all(x.shape == (2, 5, 37, 61) for x in outputs.values())
    sum(x.square().mean() for x in outputs.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 5, 37, 61) and torch.isfinite(logits).all()


def test_alignseg_takes_the_fusion_of_sfnet() -> None:
    with torch.device("meta"):
        model = segscape.create_model("alignseg_resnet50", num_classes=5, fusion="flow_align")
        assert model.eval()(torch.empty(1, 3, 37, 61)).shape == (1, 5, 37, 61)
    assert {type(fusion).__name__ for fusion in model.decoder.fusions} == {"FlowAlign"}


def test_a_pyramid_names_the_strides_that_it_lacks() -> None:
    spec = FeatureSpec({4: 8, 8: 8, 16: 8})
    with pytest.raises(UserError, match="decoder align needs features at stride 32"):
        Align(spec, 8, FlowAlign)


@pytest.mark.parametrize("kind", [FPN, FaPN])
def test_the_context_may_stand_at_stride_16(kind: Any) -> None:
    channels = {4: 6, 8: 8, 16: 10}
    decoder = kind(FeatureSpec(channels), 12, FlowAlign, width=16).eval()
    features = {s: torch.randn(1, c, 64 // s, 96 // s) for s, c in channels.items()}
    with torch.no_grad():
        outputs = decoder(features, torch.randn(1, 12, 4, 6))
    assert set(outputs) == {*decoder.spec.strides, *decoder.spec.extras}
    assert outputs[16].shape == (1, 16, 4, 6)


@pytest.mark.parametrize("option", ALIGNED)
def test_aligned_fusions_take_mixed_precision(option: str) -> None:
    torch.manual_seed(0)
    fusion = segscape.create_model("fapn_resnet18", num_classes=5, fusion=option).decoder.fusions[0]
    low, high = torch.randn(2, 64, 17, 23), torch.randn(2, 128, 9, 12)
    plain = fusion(low, high)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = fusion(low, high)
    mixed.float().square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in fusion.parameters())
    assert (mixed - plain).abs().max() < 0.1 * plain.std()

    half = fusion.half().eval()(low.half(), high.half())
    assert half.dtype == torch.float16 and torch.isfinite(half).all()


def test_fusions_keep_their_input_where_nothing_moves() -> None:
    """At the start AlignSeg's corrected fusion is the sum of both features."""
    fusion = AlignFA(6, 6, 6, warp="corrected").eval()
    low, high = torch.randn(2, 6, 8, 9), torch.randn(2, 6, 8, 9)
    with torch.no_grad():
        torch.testing.assert_close(fusion(low, high), low + high, atol=1e-5, rtol=1e-5)


def test_the_deformable_convolution_starts_as_half_a_plain_one() -> None:
    conv = GuidedDeformConv(16).eval()
    x = torch.randn(2, 16, 7, 9)
    with torch.no_grad():
        plain = torch.nn.functional.conv2d(x, conv.weight, conv.bias, padding=1)
        torch.testing.assert_close(conv(x, torch.randn_like(x)), plain / 2, atol=1e-5, rtol=1e-4)
