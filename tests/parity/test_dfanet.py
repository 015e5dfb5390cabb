"""DFANet equals huaifeng1993's, weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch import nn

import segscape
from segscape.models.weights.importer import infer_choices, load_official
from segscape.profiling.complexity import measure

# The projection conv4, which the official code never calls: 192 to 64 channels and BatchNorm.
DEAD = 192 * 64 + 2 * 64


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-4), ("train", 1e-3)])
def test_official_weights_give_the_official_outputs(mode: str, tolerance: float) -> None:
    record = official_record.read("dfanet")
    model = segscape.create_model("dfanet", num_classes=19)
    load_official(model, official_record.tensors(record))
    model.train(mode == "train")
    with torch.no_grad():
        output = model(official_record.image(record))
    if mode == "train":
        assert list(output) == ["main"]
        output = output["main"]
    (expected,) = record[f"{mode}_outputs"]
    assert official_record.distance(output, expected) < tolerance


def test_the_comparison_notices_the_projection_of_the_paper() -> None:
    record = official_record.read("dfanet")
    tensors = official_record.tensors(record)
    # What the official code would do, did it call conv4.
    for name in list(tensors):
        if name.startswith("decoder.conv4."):
            tensors[name.replace("conv4", "conv5")] = tensors[name]
    model = segscape.create_model("dfanet", num_classes=19)
    load_official(model, tensors)
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_the_checkpoint_tells_what_it_is() -> None:
    tensors = official_record.tensors(official_record.read("dfanet"))
    assert infer_choices(tensors) == {"variant": "dfanet", "num_classes": 19}
    report = load_official(segscape.create_model("dfanet", num_classes=19), tensors)
    assert len(report.loaded) + len(report.ignored) == len(tensors) == 948
    assert set(report.ignored) == {name for name in tensors if name.startswith("decoder.conv4.")}


def test_parameters_are_the_official_ones() -> None:
    with torch.device("meta"):
        assert parameters(segscape.create_model("dfanet", num_classes=19)) == 2_187_216 - DEAD
        assert parameters(segscape.create_model("dfanet_b", num_classes=19)) == 1_275_304


@pytest.mark.parametrize(
    ("name", "size", "gmacs"),
    [
        ("dfanet", (1024, 1024), 7.567),
        ("dfanet", (512, 1024), 3.784),
        ("dfanet_b", (512, 1024), 2.651),
    ],
)
def test_work_is_the_official_one(name: str, size: tuple[int, int], gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
    assert measure(model, size).macs / 1e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("dfanet", {}),
        ("dfanet_b", {}),
        ("dfanet", {"fusion": "add"}),
        ("dfanet", {"fusion": "uafm_spatial", "context": "sppm"}),
        ("dfanet", {"encoder": "stdc1"}),
    ],
)
def test_trains_a_step_and_takes_any_size(name: str, choices: dict[str, str]) -> None:
    model = segscape.create_model(name, num_classes=5, **choices).train()
    logits = model(torch.randn(2, 3, 64, 96))
    assert {key: tuple(x.shape) for key, x in logits.items()} == {"main": (2, 5, 64, 96)}
    logits["main"].square().mean().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)
