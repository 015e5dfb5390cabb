"""What every encoder, context, decoder and head promises."""

from __future__ import annotations

import part_catalog
import pytest
import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.contracts import Context, Decoder, Encoder, FeatureSpec

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
def test_an_encoder_gives_what_its_spec_says(option: str) -> None:
    encoder = part_catalog.factory("encoder", option)().eval()
    assert isinstance(encoder, Encoder)
    spec = encoder.spec
    image = torch.randn(1, 3, 2 * spec.deepest, 3 * spec.deepest)
    before = image.clone()
    with torch.no_grad():
        outputs = encoder(image)
    expected = {s: (1, c, 64 // s, 96 // s) for s, c in spec.channels.items()}
    expected |= {name: (1, c, 64 // s, 96 // s) for name, (s, c) in spec.extras.items()}
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
    assert_all_learn(context.train(), context(torch.randn(2, 12, 4, 5)))


@contexts
def test_a_context_runs_on_the_meta_device(option: str) -> None:
    context = part_catalog.factory("context", option)(12).eval().to("meta")
    assert context(torch.empty(1, 12, 4, 5, device="meta")).shape[2:] == (4, 5)


@decoders
def test_a_decoder_gives_what_its_spec_says(option: str) -> None:
    factory = part_catalog.factory("decoder", option)
    fusion = part_catalog.factory("fusion", part_catalog.options("fusion")[0])
    decoder = factory(SPEC, 10, fusion)
    assert isinstance(decoder, Decoder)
    assert decoder.uses <= {"context", "fusion"}
    outputs = decoder(features(), torch.randn(2, 10, 2, 3))
    assert list(outputs) == list(decoder.spec.strides)
    for stride, x in outputs.items():
        assert x.shape == (2, decoder.spec.channels[stride], 64 // stride, 96 // stride)
    assert_all_learn(decoder, outputs[decoder.spec.strides[0]])


@decoders
def test_a_decoder_names_the_strides_that_it_lacks(option: str) -> None:
    factory = part_catalog.factory("decoder", option)
    fusion = part_catalog.factory("fusion", part_catalog.options("fusion")[0])
    lacking = FeatureSpec({16: 192})
    with pytest.raises(
        UserError, match=r"needs features at stride 8, stride 32.*gives stride 16\."
    ):
        factory(lacking, 10, fusion)


@heads
def test_a_head_keeps_the_size(option: str) -> None:
    head = part_catalog.factory("head", option)(6, 4)
    logits = head(torch.randn(2, 6, 5, 7))
    assert logits.shape == (2, 4, 5, 7)
    assert_all_learn(head, logits)
