"""PSPNet equals the authors' PyTorch code, weights imported by name."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.models.layers import resize
from segscape.models.weights.importer import infer_choices, load_official

RECORD = "pspnet_semseg_resnet50"
MODELS = ("pspnet_resnet18", "pspnet_resnet50", "pspnet_resnet101")


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_official_weights_give_the_official_outputs() -> None:
    record = official_record.read(RECORD)
    model = segscape.create_model("pspnet_resnet50", num_classes=record["num_classes"])
    load_official(model, official_record.tensors(record))
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4


def test_the_comparison_notices_the_other_corners() -> None:
    record = official_record.read(RECORD)
    model = segscape.create_model("pspnet_resnet50", num_classes=record["num_classes"])
    load_official(model, official_record.tensors(record))
    image = official_record.image(record)
    with torch.no_grad():
        logits = resize(model.raw(image)["main"], (121, 241), align_corners=False)
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_the_choices_are_read_from_the_file() -> None:
    tensors = official_record.tensors(official_record.read(RECORD))
    assert infer_choices(tensors) == {
        "variant": "pspnet_resnet50",
        "num_classes": 19,
    }


@pytest.mark.parametrize(
    ("name", "inference", "training", "gmacs"),
    [
        ("pspnet_resnet50", 46_715_347, 49_080_038, 363.777),
        ("pspnet_resnet101", 65_707_475, 68_072_166, 517.190),
    ],
)
def test_parameters_and_work_are_the_official_ones(
    name: str, inference: int, training: int, gmacs: float
) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
        image = torch.empty(1, 3, 713, 713)
    assert parameters(model) == training
    assert parameters(model.strip_auxiliary()) == inference
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize("name", MODELS)
def test_trains_a_step_and_takes_odd_sizes(name: str) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=5).train()
    outputs = model(torch.randn(2, 3, 64, 96))
    assert {key: tuple(x.shape) for key, x in outputs.items()} == {
        "main": (2, 5, 64, 96),
        "encoder_layer3": (2, 5, 64, 96),
    }
    sum(x.square().mean() for x in outputs.values()).backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 5, 37, 61) and torch.isfinite(logits).all()


def test_any_encoder_and_context_stand_under_the_head() -> None:
    overrides = ["model.auxiliary=null"]
    with torch.device("meta"):
        model = segscape.create_model(
            "pspnet_resnet50", 5, encoder="stdc1", context="sppm", overrides=overrides
        )
        assert model.raw(torch.empty(1, 3, 64, 96))["main"].shape == (1, 5, 2, 3)
