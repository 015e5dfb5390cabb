"""BiSeNetV2 equals CoinCheung's, weights imported by name, in evaluation and in training."""

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

RECORD = official_record.read("bisenetv2_coincheung")


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official() -> Segmenter:
    model = segscape.create_model("bisenetv2", num_classes=19)
    report = load_official(model, official_record.tensors(RECORD))
    assert len(report.loaded) == len(RECORD["tensors"])
    official_record.without_dropout(model)
    return model


@torch.no_grad()
def recorded(model: Segmenter) -> dict[str, Tensor]:
    image = official_record.image(RECORD)
    outputs = model.raw(image, auxiliary=True)
    assert list(outputs) == ["main", "encoder_4", "encoder_8", "encoder_16", "encoder_32"]
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
    from segscape.models.fusions import bga

    monkeypatch.setattr(bga, "_repeat", resize)  # mmsegmentation's way
    logits = official()(official_record.image(RECORD))
    assert official_record.distance(logits, RECORD["eval_outputs"][0]) > 1e-2


def test_the_file_tells_how_it_was_made() -> None:
    assert infer_choices(official_record.tensors(RECORD)) == {
        "variant": "bisenetv2",
        "num_classes": 19,
        "encoder": "bisenetv2",
        "fusion": "bga",
    }


def test_parameters_are_the_official_ones() -> None:
    with torch.device("meta"):
        model = segscape.create_model("bisenetv2", num_classes=19)
    assert parameters(model) == 5_231_487
    parts = {
        name: sum(parameters(module) for module in modules)
        for name, modules in model.parts().items()
    }
    assert parameters(model.encoder.detail) == 519_232
    assert parts["encoder"] + parts["context"] == 519_232 + 1_159_504
    assert parts["fusion"] == 478_720
    assert parts["head"] == 1_201_171
    assert parameters(model.strip_auxiliary()) == 3_358_627


# Large is published with 118.51 GMACs and without code; this is what our reading of it has.
@pytest.mark.parametrize(("name", "gmacs"), [("bisenetv2", 24.603), ("bisenetv2_large", 105.670)])
def test_work(name: str, gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
        image = torch.empty(1, 3, 512, 1024)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)
