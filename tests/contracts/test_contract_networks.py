"""Any encoder with any fusion and any context is a network that trains and evaluates."""

from __future__ import annotations

import itertools

import part_catalog
import pytest
import torch

from segscape.models.segmenter import Segmenter, assemble

ODD = (37, 61)
CHEAPEST = "timm"

FUSIONS = part_catalog.options("fusion")
CONTEXTS = part_catalog.options("context")
# Every encoder once, with the fusions and contexts in turn, and every fusion with every context.
COMBINATIONS = [
    *zip(
        part_catalog.options("encoder"),
        itertools.cycle(FUSIONS),
        itertools.cycle(CONTEXTS),
        strict=False,
    ),
    *((CHEAPEST, fusion, context) for fusion, context in itertools.product(FUSIONS, CONTEXTS)),
]


def build(encoder: str, fusion: str, context: str) -> Segmenter:
    torch.manual_seed(0)
    return assemble(
        part_catalog.factory("encoder", encoder)(),
        part_catalog.factory("context", context),
        part_catalog.factory("decoder", "fld"),
        part_catalog.factory("fusion", fusion),
        part_catalog.factory("head", "seg"),
        num_classes=5,
    )


@pytest.mark.parametrize(("encoder", "fusion", "context"), COMBINATIONS)
def test_trains_and_evaluates_at_an_odd_size(encoder: str, fusion: str, context: str) -> None:
    model = build(encoder, fusion, context)
    image = torch.randn(2, 3, *ODD)
    before = image.clone()

    outputs = model.train()(image)
    assert {name: tuple(x.shape) for name, x in outputs.items()} == dict.fromkeys(
        ("main", "decoder_16", "decoder_32"), (2, 5, *ODD)
    )
    sum(x.square().mean() for x in outputs.values()).backward()
    for part, modules in model.parts().items():
        parameters = [p for module in modules for p in module.parameters()]
        gradients = [p.grad for p in parameters if p.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients), part
        assert not parameters or any(gradient.any() for gradient in gradients), part

    with torch.no_grad():
        logits = model.eval()(image[:1])
    assert logits.shape == (1, 5, *ODD)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert torch.equal(image, before)
