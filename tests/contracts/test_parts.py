"""The contract of every encoder, context, decoder and head."""

from __future__ import annotations

import inspect

import part_catalog
import pytest
import torch
from torch import Tensor, nn

from segscape.models.contracts import Context, Decoder, Encoder, FeatureSpec, MissingFeatures

encoders = pytest.mark.parametrize("option", part_catalog.options("encoder"))
contexts = pytest.mark.parametrize("option", part_catalog.options("context"))
decoders = pytest.mark.parametrize("option", part_catalog.options("decoder"))
heads = pytest.mark.parametrize("option", part_catalog.options("head"))

SPEC = FeatureSpec({2: 4, 4: 4, 8: 6, 16: 8, 32: 10})


def features(batch: int = 2) -> dict[int | str, Tensor]:
    return {s: torch.randn(batch, c, 64 // s, 96 // s) for s, c in SPEC.channels.items()}


def assert_all_learn(module: nn.Module, result: Tensor) -> None:
    result.square().sum().backward()
    silent = [name for name, p in module.named_parameters() if p.grad is None]
    assert not silent, f"no gradient for {silent}"


@encoders
def test_an_encoder_gives_the_features_of_its_spec(option: str) -> None:
    encoder = part_catalog.factory("encoder", option)().eval()
    assert isinstance(encoder, Encoder)
    spec = encoder.spec
    image = torch.randn(1, 3, 64, 96)
    before = image.clone()
    with torch.no_grad():
        outputs = encoder(image)
    strides = {stride: (stride, channels) for stride, channels in spec.channels.items()}
    expected = {key: (1, c, 64 // s, 96 // s) for key, (s, c) in {**strides, **spec.extras}.items()}
    assert {key: tuple(x.shape) for key, x in outputs.items()} == expected
    assert list(spec.strides) == sorted(spec.strides)
    assert torch.equal(image, before)


@encoders
def test_an_encoder_runs_on_the_meta_device(option: str) -> None:
    encoder = part_catalog.factory("encoder", option)().eval().to("meta")
    outputs = encoder(torch.empty(1, 3, 64, 64, device="meta"))
    assert all(x.is_meta for x in outputs.values())


@contexts
def test_a_context_keeps_the_size(option: str) -> None:
    context = part_catalog.factory("context", option)(12)
    assert isinstance(context, Context)
    for size in ((1, 1), (4, 5), (7, 3), (8, 8)):
        x = torch.randn(2, 12, *size)
        before = x.clone()
        with torch.no_grad():
            out = context.eval()(x)
            assert out.shape == (2, context.out_channels, *size)
            torch.testing.assert_close(context(x[:1]), out[:1])
        assert torch.equal(x, before)
    if any(True for _ in context.parameters()):
        assert_all_learn(context.train(), context(torch.randn(2, 12, 4, 5)))


@contexts
def test_a_context_runs_on_the_meta_device(option: str) -> None:
    context = part_catalog.factory("context", option)(12).eval().to("meta")
    assert context(torch.empty(1, 12, 4, 5, device="meta")).shape[2:] == (4, 5)


def meets(option: str) -> tuple[FeatureSpec, dict[int | str, Tensor]]:
    """Features that a decoder can read: invented ones, or those of an encoder that fits."""
    if part_catalog.needs(option) <= set(SPEC.strides):
        return SPEC, features()
    fitting = part_catalog.encoders_for(option)
    assert fitting, f"no encoder gives what decoder {option} needs"
    encoder = part_catalog.factory("encoder", fitting[0])().eval()
    with torch.no_grad():
        return encoder.spec, encoder(torch.randn(2, 3, 64, 96))


def build_decoder(option: str, spec: FeatureSpec, context_channels: int) -> nn.Module:
    kind = part_catalog.kind("decoder", option)
    fusion = part_catalog.factory("fusion", "add") if "fusion" in kind.uses else None
    counted = {"num_classes": 5} if "num_classes" in inspect.signature(kind).parameters else {}
    return part_catalog.factory("decoder", option)(spec, context_channels, fusion, **counted)


@decoders
def test_a_decoder_gives_the_features_of_its_spec(option: str) -> None:
    spec, given = meets(option)
    deepest = given[spec.deepest]
    context = torch.randn(2, 10, *deepest.shape[2:])
    decoder = build_decoder(option, spec, 10)
    assert isinstance(decoder, Decoder)
    assert decoder.uses <= {"context", "fusion"}
    assert bool(len(decoder.fusions)) == ("fusion" in decoder.uses)
    before = {key: x.clone() for key, x in given.items()}
    outputs = decoder(given, context if "context" in decoder.uses else None)
    strides = {s: (s, c) for s, c in decoder.spec.channels.items()}
    expected = {
        key: (2, channels, 64 // stride, 96 // stride)
        for key, (stride, channels) in {**strides, **decoder.spec.extras}.items()
    }
    assert {key: tuple(x.shape) for key, x in outputs.items()} == expected
    assert all(torch.equal(given[key], x) for key, x in before.items())
    if not any(True for _ in decoder.parameters()):
        return
    # Attach points of auxiliary heads may have layers of their own.
    total = torch.stack([x.square().sum() for x in outputs.values() if x.requires_grad]).sum()
    total.backward()
    silent = [n for n, p in decoder.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent, f"no gradient for {silent}"


@pytest.mark.parametrize(
    "option", [o for o in part_catalog.options("decoder") if part_catalog.needs(o)]
)
def test_a_decoder_names_the_strides_that_it_lacks(option: str) -> None:
    lacking = FeatureSpec({64: 192})
    with pytest.raises(MissingFeatures, match=r"needs features at .*the encoder gives stride 64"):
        build_decoder(option, lacking, 10)


@heads
def test_a_head_keeps_the_size_or_gives_more(option: str) -> None:
    # As many channels as classes, which the head of score maps insists on.
    head = part_catalog.factory("head", option)(4, 4)
    logits = head(torch.randn(2, 4, 5, 7))
    factor = logits.shape[2] // 5
    assert factor >= 1 and logits.shape == (2, 4, 5 * factor, 7 * factor)
    if any(True for _ in head.parameters()):
        assert_all_learn(head, logits)
