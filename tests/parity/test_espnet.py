"""ESPNet equals its authors', weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.errors import UserError
from segscape.models.weights.importer import infer_choices, load_official

MODELS = ("espnet", "espnet_q5", "espnet_q3")


def test_official_weights_give_the_official_outputs() -> None:
    record = official_record.read("espnet_p2q8")
    model = segscape.create_model("espnet", num_classes=record["num_classes"])
    tensors = official_record.tensors(record)
    assert len(load_official(model, tensors).loaded) == len(tensors)
    image = official_record.image(record)
    with torch.no_grad():
        logits = model.eval().raw(image)["main"]
        assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4
        assert torch.equal(model(image), logits)
        outputs = model.train()(image)
    assert list(outputs) == ["main"]
    assert official_record.distance(outputs["main"], record["train_outputs"][0]) < 1e-3


def test_the_comparison_notices_a_small_change() -> None:
    record = official_record.read("espnet_p2q8")
    model = segscape.create_model("espnet", num_classes=record["num_classes"])
    load_official(model, official_record.tensors(record))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-5
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_the_file_tells_its_model() -> None:
    tensors = official_record.tensors(official_record.read("espnet_p2q8"))
    told = {"variant": "espnet", "num_classes": 11, "model.extra_outputs": 1}
    assert infer_choices(tensors, "espnet") == told
    smaller = {name: x for name, x in tensors.items() if "level3.7." not in name}
    with pytest.raises(UserError, match="p=2 and q=7"):
        infer_choices(smaller, "espnet")


def test_parameters_are_the_official_ones() -> None:
    with torch.device("meta"):
        model = segscape.create_model("espnet", num_classes=12)
    expected = official_record.read("espnet_p2q8")["parameters"]
    assert sum(p.numel() for p in model.parameters()) == expected == 354_517


@pytest.mark.parametrize(("name", "fewer"), [("espnet", 0), ("espnet_q5", 3), ("espnet_q3", 5)])
def test_the_variants_have_fewer_blocks(name: str, fewer: int) -> None:
    # A block has 128 x 25 to reduce, 25 x (28 + 4 x 25) x 9 in the branches, 3 x 128 after them.
    block = 128 * 25 + 25 * 128 * 9 + 3 * 128
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=12)
    assert sum(p.numel() for p in model.parameters()) == 354_517 - fewer * block


@pytest.mark.parametrize(
    ("name", "gmacs"), [("espnet", 4.780), ("espnet_q5", 3.994), ("espnet_q3", 3.470)]
)
def test_work_is_what_the_documentation_says(name: str, gmacs: float) -> None:
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
