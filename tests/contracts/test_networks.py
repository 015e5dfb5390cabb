"""Any encoder with any decoder, any fusion and any context is a network that trains and evaluates.

The whole product has tens of thousands of members. What could go wrong in one of them is in its
shapes, which the meta device shows at no cost (all of them, in `make test-all`), or in the
arithmetic of a part, which is run for every pair of an encoder and a decoder and for every triple
of a decoder, a fusion and a context on a small encoder. `make test` runs a part of these.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import part_catalog
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from segscape.models.contracts import MissingFeatures
from segscape.models.segmenter import Segmenter, assemble

ODD = (37, 61)
CLASSES = 5
SMALL = "timm"  # all strides, and the cheapest to run

Parts = tuple[str, str, str, str]
ENCODERS = part_catalog.options("encoder")
DECODERS = part_catalog.pyramid_decoders()
FUSIONS = part_catalog.options("fusion")
CONTEXTS = part_catalog.options("context")


def fits(encoder: str, decoder: str) -> bool:
    return encoder in part_catalog.encoders_for(decoder)


def small_for(decoder: str) -> str:
    return SMALL if fits(SMALL, decoder) else part_catalog.encoders_for(decoder)[0]


def pairs() -> Iterator[Parts]:
    """Every encoder with every decoder, fusions and contexts in turn."""
    fusions, contexts = itertools.cycle(FUSIONS), itertools.cycle(CONTEXTS)
    for encoder, decoder in itertools.product(ENCODERS, DECODERS):
        if fits(encoder, decoder):
            yield encoder, next(contexts), decoder, next(fusions)


def triples() -> Iterator[Parts]:
    """Every decoder with every fusion and every context."""
    for decoder, fusion, context in itertools.product(DECODERS, FUSIONS, CONTEXTS):
        yield small_for(decoder), context, decoder, fusion


def sampled() -> list[Parts]:
    """Every encoder, decoder, fusion and context, each decoder with every fusion."""
    contexts = itertools.cycle(CONTEXTS)
    each = itertools.product(DECODERS, FUSIONS)
    chosen = [(small_for(d), next(contexts), d, f) for d, f in each]
    turn = list(pairs())
    seen: set[str] = set()
    for index, parts in enumerate(turn):
        # the first fitting decoder, another one for every encoder
        if parts[0] not in seen and (index + len(seen)) % 2 == 0:
            seen.add(parts[0])
            chosen.append(parts)
    return chosen + [
        next(p for p in turn if p[0] == e)
        for e in ENCODERS
        if e not in seen and any(p[0] == e for p in turn)
    ]


@lru_cache(maxsize=4)
def encoder(option: str) -> Any:
    """Building one costs more than running it."""
    torch.manual_seed(0)
    return part_catalog.factory("encoder", option)()


def build(parts: Parts, body: Any) -> Segmenter:
    _, context, decoder, fusion = parts
    uses = part_catalog.kind("decoder", decoder).uses
    return assemble(
        # A network may take a branch off its encoder.
        copy.deepcopy(body) if hasattr(body, "drop") else body,
        part_catalog.factory("context", context) if "context" in uses else None,
        part_catalog.factory("decoder", decoder),
        part_catalog.factory("fusion", fusion),
        part_catalog.factory("head", "seg"),
        num_classes=CLASSES,
        auxiliary=(),
    )


def check_trains_and_evaluates(parts: Parts) -> None:
    body = encoder(parts[0])
    body.zero_grad()
    torch.manual_seed(1)
    model = build(parts, body)
    image = torch.randn(2, 3, *ODD)
    before = image.clone()

    outputs = model.train()(image)
    assert {name: tuple(x.shape) for name, x in outputs.items()} == {"main": (2, CLASSES, *ODD)}
    outputs["main"].square().mean().backward()
    for part, modules in model.parts().items():
        parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
        gradients = [p.grad for p in parameters if p.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients), part
        assert not parameters or any(gradient.any() for gradient in gradients), part

    with torch.no_grad():
        logits = model.eval()(image[:1])
    assert logits.shape == (1, CLASSES, *ODD)
    assert logits.dtype == torch.float32
    assert torch.isfinite(logits).all()
    assert torch.equal(image, before)


@pytest.mark.parametrize("parts", sampled(), ids="-".join)
def test_trains_and_evaluates_at_an_odd_size(parts: Parts) -> None:
    check_trains_and_evaluates(parts)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_encoder_with_every_decoder(decoder: str) -> None:
    for parts in pairs():
        if parts[2] == decoder:
            check_trains_and_evaluates(parts)


@pytest.mark.slow
@pytest.mark.parametrize("decoder", DECODERS)
def test_every_decoder_with_every_fusion_and_every_context(decoder: str) -> None:
    for parts in triples():
        if parts[2] == decoder:
            check_trains_and_evaluates(parts)


class Remembered(nn.Module):
    """An encoder's features at two batch sizes, so that it need not run for every design."""

    def __init__(self, option: str, images: torch.Tensor) -> None:
        super().__init__()
        body = encoder.__wrapped__(option)
        self.spec, self.multiple = body.spec, body.multiple
        padded = F.pad(
            images, (0, -images.shape[3] % body.multiple, 0, -images.shape[2] % body.multiple)
        )
        with torch.no_grad():
            self.features = {n: body(padded[:n]) for n in (1, 2)}

    def forward(self, image: torch.Tensor) -> Any:
        return self.features[len(image)]


def distinct() -> list[str]:
    """One encoder of each spec: they are interchangeable for what follows."""
    found = {repr((part_catalog.spec(e), encoder_multiple(e))): e for e in reversed(ENCODERS)}
    return sorted(found.values())


@lru_cache
def encoder_multiple(option: str) -> int:
    with torch.device("meta"):
        return int(part_catalog.factory("encoder", option)().multiple)


@pytest.mark.slow
@pytest.mark.parametrize("option", distinct())
def test_the_shapes_of_every_design(option: str) -> None:
    """The whole product; what is interchangeable for the decoder counts once.

    It meets a context as a map of the deepest feature's size with so many channels.
    """
    with torch.device("meta"), torch.no_grad():
        images = torch.empty(2, 3, *ODD)
        body = Remembered(option, images)
        deepest = body.features[1][body.spec.deepest]
        by_channels: dict[int, str] = {}
        for context in CONTEXTS:
            made = part_catalog.factory("context", context)(deepest.shape[1]).eval()
            assert made(deepest).shape == (1, made.out_channels, *deepest.shape[2:])
            by_channels[made.out_channels] = context
        for decoder, fusion, context in itertools.product(DECODERS, FUSIONS, by_channels.values()):
            if fits(option, decoder):
                model = build((option, context, decoder, fusion), body).eval()
                assert model(images[:1]).shape == (1, CLASSES, *ODD)


@pytest.mark.parametrize("decoder", part_catalog.options("decoder"))
def test_an_encoder_without_the_features_is_refused(decoder: str) -> None:
    others = [e for e in ENCODERS if not fits(e, decoder)]
    for option in others[:3]:
        with torch.device("meta"):
            body = encoder.__wrapped__(option)
            uses = part_catalog.kind("decoder", decoder).uses
            with pytest.raises(MissingFeatures, match="the encoder gives"):
                assemble(
                    body,
                    part_catalog.factory("context", "none") if "context" in uses else None,
                    part_catalog.factory("decoder", decoder),
                    part_catalog.factory("fusion", "add") if "fusion" in uses else None,
                    part_catalog.factory("head", "seg"),
                    num_classes=CLASSES,
                    auxiliary=(),
                )
