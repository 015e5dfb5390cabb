"""STDC-Seg and the BiSeNets with their own parts and with those of others."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import segscape
from segscape import build
from segscape.config import composing
from segscape.errors import UserError
from segscape.models.contracts import FeatureSpec, MissingFeatures
from segscape.models.decoders.context_path import ContextPath
from segscape.models.encoders.bisenet import BiSeNetEncoder
from segscape.models.fusions.add import Add
from segscape.models.fusions.bga import BGA
from segscape.models.segmenter import Segmenter

MODELS = [
    "stdcseg_stdc1",
    "stdcseg_stdc2",
    "bisenet",
    "bisenet_xception39",
    "bisenetv2",
    "bisenetv2_large",
]
RECOMBINED = [
    ("ppliteseg", {"fusion": "bga"}),
    ("ppliteseg", {"context": "ce", "fusion": "ffm"}),
    ("bisenetv2", {"fusion": "uafm_spatial"}),
    ("bisenetv2", {"encoder": "bisenet_xception39", "context": "sppm"}),
    ("bisenet", {"fusion": "add"}),
    ("bisenet", {"encoder": "stdc1"}),
    ("stdcseg_stdc1", {"context": "sppm"}),
    ("stdcseg_stdc1", {"encoder": "bisenetv2", "fusion": "bga"}),
]


def check_trains_and_evaluates(model: Segmenter) -> None:
    torch.manual_seed(0)
    outputs = model.train()(torch.randn(2, 3, 64, 96))
    assert list(outputs) == ["main", *model.auxiliary]
    for name, y in outputs.items():
        assert y.shape == (2, 1 if name == "detail" else 5, 64, 96)
    torch.stack([y.square().mean() for y in outputs.values()]).sum().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None]
    assert not silent, f"no gradient for {silent}"
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 5, 37, 61) and torch.isfinite(logits).all()


@pytest.mark.parametrize("name", MODELS)
def test_a_system_trains_and_evaluates(name: str) -> None:
    check_trains_and_evaluates(segscape.create_model(name, num_classes=5))


@pytest.mark.parametrize(("name", "choices"), RECOMBINED)
def test_parts_of_others_fit(name: str, choices: dict[str, str]) -> None:
    check_trains_and_evaluates(segscape.create_model(name, num_classes=5, **choices))


@pytest.mark.parametrize("name", MODELS)
def test_every_auxiliary_loss_counts_once(name: str) -> None:
    heads = build.auxiliary(composing.compose([f"model={name}"]))
    assert {head.weight for head in heads.values()} == {1.0}
    own = [n for n, head in heads.items() if head.loss is not None]
    assert own == (["detail"] if name.startswith("stdcseg") else [])


def test_one_branch_is_not_enough_for_the_bilateral_decoder() -> None:
    with pytest.raises(MissingFeatures, match=r"(?s)'detail'.* would do: .*bisenetv2"):
        segscape.create_model("bisenetv2", num_classes=5, encoder="stdc1")


def test_an_unknown_body_is_refused() -> None:
    with pytest.raises(UserError, match="choices: resnet18, xception39"):
        BiSeNetEncoder("resnet19")


class Recorder(nn.Module):
    """A fusion that keeps what it was given."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        self.add = Add(low_channels, high_channels, out_channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        self.given = low, high
        return self.add(low, high)


@pytest.mark.parametrize(
    ("extras", "read"), [({}, 8), ({"detail": (8, 7)}, "detail"), ({"detail": (4, 7)}, 8)]
)
def test_the_context_path_meets_the_detail_branch_if_there_is_one(
    extras: dict[str, tuple[int, int]], read: int | str
) -> None:
    spec = FeatureSpec({8: 3, 16: 4, 32: 5}, extras)
    features: dict[int | str, Tensor] = {
        s: torch.randn(2, c, 64 // s, 64 // s) for s, c in spec.channels.items()
    }
    features |= {n: torch.randn(2, c, 64 // s, 64 // s) for n, (s, c) in extras.items()}
    decoder = ContextPath(spec, 6, Recorder)
    outputs = decoder(features, torch.randn(2, 6, 2, 2))
    low, high = decoder.fusions[0].given
    assert low is features[read] and high is outputs["context8"]


def aggregation(low: Tensor, high: Tensor, halvings: int) -> tuple[Tensor, Tensor]:
    """What BGA gives, and the same by the formula for a low that is 2^halvings times high."""
    torch.manual_seed(0)
    bga = BGA(4, 4, 4).eval()
    with torch.no_grad():
        for p in bga.parameters():
            p.normal_()
        bga.detail_down.conv.stride = (2, 2) if halvings else (1, 1)
        reduced = bga.detail_down(low)
        for _ in range(halvings - 1):
            reduced = nn.functional.avg_pool2d(reduced, 3, 2, 1)
        right = reduced * torch.sigmoid(bga.semantic_keep(high))
        gate = bga.semantic_up(high)
        up = nn.Upsample(scale_factor=2**halvings)
        left = bga.detail_keep(low) * torch.sigmoid(up(gate))
        return bga(low, high), bga.out(left + up(right))


@pytest.mark.parametrize("halvings", [0, 1, 2, 3])
def test_guided_aggregation_halves_as_often_as_the_sizes_ask(halvings: int) -> None:
    high = torch.randn(2, 4, 3, 5)
    low = torch.randn(2, 4, 3 * 2**halvings, 5 * 2**halvings)
    given, expected = aggregation(low, high, halvings)
    torch.testing.assert_close(given, expected)


def test_guided_aggregation_projects_only_what_differs() -> None:
    assert isinstance(BGA(8, 8, 8).project_low, nn.Identity)
    assert isinstance(BGA(8, 8, 8).project_high, nn.Identity)
    assert not isinstance(BGA(6, 8, 8).project_low, nn.Identity)
    assert not isinstance(BGA(8, 6, 8).project_high, nn.Identity)


def test_gather_and_expansion_starts_as_its_shortcut() -> None:
    encoder = segscape.create_model("bisenetv2", num_classes=5).encoder
    for stage in encoder.stages:
        for layer in stage:
            assert not layer.project.norm.weight.any()
