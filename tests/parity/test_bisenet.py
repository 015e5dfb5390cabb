"""BiSeNet equals CoinCheung's, weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.models.layers import resize
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

RECORD = official_record.read("bisenetv1_coincheung")


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official(**choices: str) -> Segmenter:
    model = segscape.create_model("bisenet", num_classes=19, **choices)
    report = load_official(model, official_record.tensors(RECORD))
    assert len(report.loaded) == len(RECORD["tensors"])
    return model


@torch.no_grad()
def recorded(model: Segmenter) -> dict[str, Tensor]:
    image = official_record.image(RECORD)
    outputs = model.raw(image, auxiliary=True)
    assert list(outputs) == ["main", "decoder_context8", "decoder_16"]
    return {name: resize(y, (image.shape[2], image.shape[3])) for name, y in outputs.items()}


def test_official_weights_give_the_official_outputs() -> None:
    model = official()
    evaluated = list(recorded(model.eval()).values())
    for output, expected in zip(evaluated, RECORD["eval_outputs"], strict=True):
        assert official_record.distance(output, expected) < 1e-4
    with torch.no_grad():
        assert torch.equal(model(official_record.image(RECORD)), evaluated[0])
    for output, expected in zip(
        recorded(model.train()).values(), RECORD["train_outputs"], strict=True
    ):
        assert official_record.distance(output, expected) < 1e-3


@torch.no_grad()
def test_the_comparison_notices_the_other_way_of_enlarging(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from segscape.models.decoders import context_path

    monkeypatch.setattr(context_path, "_enlarge", resize)
    logits = official()(official_record.image(RECORD))
    assert official_record.distance(logits, RECORD["eval_outputs"][0]) > 1e-2


def test_the_file_tells_how_it_was_made() -> None:
    assert infer_choices(official_record.tensors(RECORD)) == {
        "variant": "bisenet",
        "num_classes": 19,
        "encoder": "bisenet_resnet18",
        "fusion": "ffm",
    }


# The Xception is counted here, not published: the paper's 5.8 M is as little reproducible as its
# 49.0 M for ResNet-18.
@pytest.mark.parametrize(
    ("name", "training", "inference"),
    [("bisenet", 13_425_721, 13_275_539), ("bisenet_xception39", 2_080_337, 1_930_155)],
)
def test_parameters_are_the_official_ones(name: str, training: int, inference: int) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
    assert parameters(model) == training
    assert parameters(model.strip_auxiliary()) == inference


@pytest.mark.parametrize(("size", "gmacs"), [((768, 1536), 66.565), ((1024, 2048), 118.338)])
def test_work_is_the_official_one(size: tuple[int, int], gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model("bisenet", num_classes=19)
        image = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)
