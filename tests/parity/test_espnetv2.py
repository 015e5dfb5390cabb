"""ESPNetV2 equals EdgeNets', weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.errors import UserError
from segscape.models.decoders import pyramid_refinement
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

MODELS = ("espnetv2_s05", "espnetv2_s10", "espnetv2_s125", "espnetv2_s15", "espnetv2_s20")


def filled() -> tuple[Segmenter, dict]:
    record = official_record.read("espnetv2_edgenets_s0.5")
    model = segscape.create_model("espnetv2_s05", num_classes=record["num_classes"])
    load_official(model, official_record.tensors(record))
    return model, record


def test_official_weights_give_the_official_outputs() -> None:
    model, record = filled()
    image = official_record.image(record)
    with torch.no_grad():
        logits = model.eval()(image)
        assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4
        outputs = model.train()(image)
    assert list(outputs) == ["main"]
    assert official_record.distance(outputs["main"], record["train_outputs"][0]) < 1e-3


def test_the_comparison_notices_a_small_change(monkeypatch: pytest.MonkeyPatch) -> None:
    model, record = filled()
    monkeypatch.setattr(pyramid_refinement, "_SMALLEST", 4)
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-3


def test_what_is_left_out_is_what_the_forward_passes_by() -> None:
    record = official_record.read("espnetv2_edgenets_s0.5")
    model = segscape.create_model("espnetv2_s05", num_classes=record["num_classes"])
    report = load_official(model, official_record.tensors(record))
    assert report.ignored == {
        f"base_net.level{n}_0.eesp.module_act.weight": "activation passed by" for n in (2, 3, 4)
    }


def test_the_file_tells_its_model() -> None:
    tensors = official_record.tensors(official_record.read("espnetv2_edgenets_s0.5"))
    assert infer_choices(tensors, "espnetv2") == {
        "variant": "espnetv2_s05",
        "decoder": "pyramid_refinement",
        "num_classes": 19,
        "model.extra_outputs": 1,
    }
    odd = {**tensors, "base_net.level2_0.act.weight": torch.ones(48)}
    with pytest.raises(UserError, match="48 channels at stride 4"):
        infer_choices(odd, "espnetv2")


# The table's counts, with the PReLUs that EdgeNets' forward passes by: one for each channel of the
# three EESP that halve the size.
@pytest.mark.parametrize(
    ("name", "official", "passed_by"),
    [
        ("espnetv2_s05", 80_342, 16 + 32 + 64),
        ("espnetv2_s10", 234_010, 32 + 64 + 128),
        ("espnetv2_s15", 468_362, 64 + 96 + 192),
        ("espnetv2_s20", 789_242, 96 + 128 + 256),
    ],
)
def test_parameters_are_the_official_ones(name: str, official: int, passed_by: int) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=20)
    assert sum(p.numel() for p in model.parameters()) == official - passed_by


# Published: 597.56, 1086.59, 1714.57 and 2699.05 M, which also count what is no convolution.
@pytest.mark.parametrize(
    ("name", "gmacs"),
    [
        ("espnetv2_s05", 0.596),
        ("espnetv2_s10", 1.085),
        ("espnetv2_s15", 1.713),
        ("espnetv2_s20", 2.698),
    ],
)
def test_work_is_the_official_one(name: str, gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=20)
        image = torch.empty(1, 3, 512, 1024)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize("name", MODELS)
def test_trains_and_evaluates_at_an_odd_size(name: str) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=3)
    model.train()(torch.randn(2, 3, 64, 96))["main"].square().mean().backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 3, 37, 61) and torch.isfinite(logits).all()


def test_stride_32_is_a_choice() -> None:
    model = segscape.create_model("ppliteseg", num_classes=3, encoder="espnetv2_s10_32")
    model.train()(torch.randn(2, 3, 64, 96))["main"].square().mean().backward()
    assert all(p.grad is not None for p in model.encoder.parameters())
    with pytest.raises(UserError, match="no stride 8 to end at"):
        segscape.create_model("espnetv2_s10", num_classes=3, overrides=["encoder.deepest=8"])
    with pytest.raises(UserError, match="unknown width s=3"):
        segscape.create_model("espnetv2_s10", num_classes=3, overrides=["encoder.s=3.0"])
