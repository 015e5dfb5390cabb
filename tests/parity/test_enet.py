"""ENet equals davidtvs/PyTorch-ENet, weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.errors import UserError
from segscape.models.contracts import MissingFeatures
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

RECORD = "enet_davidtvs"


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official() -> tuple[Segmenter, dict]:
    record = official_record.read(RECORD)
    model = segscape.create_model("enet", num_classes=record["num_classes"])
    report = load_official(model, official_record.tensors(record))
    assert not report.ignored
    return model, record


def test_official_weights_give_the_official_outputs() -> None:
    model, record = official()
    image = official_record.image(record)
    with torch.no_grad():
        logits = model(image)
        assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4
        outputs = official_record.without_dropout(model).train()(image)
    assert list(outputs) == ["main"]
    assert official_record.distance(outputs["main"], record["train_outputs"][0]) < 1e-3


def test_the_comparison_notices_a_small_change() -> None:
    model, record = official()
    # The authors' epsilon.
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-3


def test_the_choices_are_read_from_the_file() -> None:
    tensors = official_record.tensors(official_record.read(RECORD))
    assert infer_choices(tensors) == {"variant": "enet", "num_classes": 12}


@pytest.mark.parametrize(("classes", "expected"), [(12, 350_652), (19, 351_660), (20, 351_804)])
def test_parameters_are_the_official_ones(classes: int, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(segscape.create_model("enet", num_classes=classes)) == expected


@pytest.mark.parametrize(
    ("classes", "size", "gmacs"), [(12, (360, 480), 1.287), (19, (512, 1024), 4.037)]
)
def test_work_is_the_official_one(classes: int, size: tuple[int, int], gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model("enet", num_classes=classes)
        image = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)


def test_trains_a_step_and_takes_odd_sizes() -> None:
    torch.manual_seed(0)
    model = segscape.create_model("enet", num_classes=5).train()
    image = torch.randn(2, 3, 64, 96)
    before = image.clone()
    outputs = model(image)
    assert {key: tuple(x.shape) for key, x in outputs.items()} == {"main": (2, 5, 64, 96)}
    outputs["main"].square().mean().backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    assert torch.equal(image, before)
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 5, 37, 61) and torch.isfinite(logits).all()


def test_its_decoder_takes_the_indices_of_another_encoder() -> None:
    torch.manual_seed(0)
    model = segscape.create_model("enet", 5, encoder="vgg16_bn").train()
    model(torch.randn(1, 3, 38, 61))["main"].square().mean().backward()
    assert not [
        key
        for key, p in model.named_parameters()
        if p.grad is None and not key.startswith(("encoder.stages.3", "encoder.stages.4"))
    ]


def test_what_cannot_be_recombined_says_so() -> None:
    with pytest.raises(MissingFeatures, match="'pool_4', 'pool_8'") as caught:
        segscape.create_model("enet", 5, encoder="stdc1")
    assert "enet, vgg16, vgg16_bn" in str(caught.value.hint)
    with pytest.raises(UserError, match="fusion has no effect"):
        segscape.create_model("enet", 5, fusion="add")
