"""AlignSeg equals the official one, weights imported by name, in evaluation and in training."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import official_record
import pytest
import torch

import segscape
from segscape.errors import UserError
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official
from segscape.profiling.complexity import measure

RECORD = "alignseg_resnet50"
MODELS = ("alignseg_resnet50", "alignseg_resnet101")


@lru_cache(maxsize=1)
def oracle() -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    record = official_record.read(RECORD)
    return record, official_record.tensors(record)


def imported(**choices: str) -> Segmenter:
    record, tensors = oracle()
    model = segscape.create_model("alignseg_resnet50", record["num_classes"], **choices)
    report = load_official(model, tensors)
    assert len(report.loaded) == len(tensors) and not report.ignored
    return model


def test_official_weights_give_the_official_outputs() -> None:
    record, _ = oracle()
    model, image = imported(), official_record.image(record)
    with torch.no_grad():
        logits = model.eval().raw(image, auxiliary=True)
        official_record.without_dropout(model).train()
        trained = model.raw(image, auxiliary=True)
    assert list(logits) == list(trained) == ["main", "decoder_merged16"]
    for output, expected in zip(logits.values(), record["eval_outputs"], strict=True):
        assert official_record.distance(output, expected) < 1e-4
    for output, expected in zip(trained.values(), record["train_outputs"], strict=True):
        assert official_record.distance(output, expected) < 1e-3


def test_the_comparison_notices_the_corrected_warp() -> None:
    record, _ = oracle()
    model = imported(fusion="align_fa_corrected", context="align_cm_corrected").eval()
    with torch.no_grad():
        logits = model.raw(official_record.image(record))["main"]
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_a_checkpoint_tells_its_network() -> None:
    _, tensors = oracle()
    expected = {"variant": "alignseg_resnet50", "num_classes": 19}
    assert infer_choices(tensors) == expected == infer_choices(tensors, "alignseg")
    deeper = tensors | {"layer3.22.conv1.weight": torch.zeros(1)}
    assert infer_choices(deeper)["variant"] == "alignseg_resnet101"
    with pytest.raises(UserError, match=r"\(3, 4, 8, 3\) bottlenecks"):
        infer_choices(tensors | {"layer3.7.conv1.weight": torch.zeros(1)})


@pytest.mark.parametrize(
    ("name", "inference", "training", "gmacs"),
    [
        ("alignseg_resnet101", 66_250_835, 66_846_310, 252.856),
        ("alignseg_resnet50", 47_258_707, 47_854_182, None),
    ],
)
def test_size_is_the_official_one(
    name: str, inference: int, training: int, gmacs: float | None
) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
    assert sum(p.numel() for p in model.parameters()) == training
    cost = measure(model, (769, 769))
    assert cost.params == inference
    assert gmacs is None or cost.macs / 1e9 == pytest.approx(gmacs, abs=6e-4)


def test_images_are_normalised_as_published() -> None:
    with torch.device("meta"):
        model = segscape.create_model("alignseg_resnet101", num_classes=19)
    values = [[v * 255 for v in model.mean], [v * 255 for v in model.std]]
    assert model.channel_order == "bgr"
    assert values[0] == pytest.approx([122.7, 116.7, 104.0])
    assert values[1] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("name", MODELS)
def test_each_model_trains_and_evaluates(name: str) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=4).train()
    outputs = model(torch.randn(2, 3, 64, 96))
    assert list(outputs) == ["main", "decoder_merged16"]
    sum(x.square().mean() for x in outputs.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 4, 37, 61)
