"""The contract of every fusion."""

from __future__ import annotations

import part_catalog
import pytest
import torch
from torch import Tensor, nn

LOW, HIGH, OUT = 6, 8, 5
SIZES = {
    "equal": ((12, 16), (12, 16)),
    "twice": ((12, 16), (6, 8)),
    "eight times": ((16, 24), (2, 3)),
    "odd": ((13, 17), (5, 9)),
    "high is finer": ((6, 7), (12, 16)),
}

fusions = pytest.mark.parametrize("option", part_catalog.options("fusion"))
sizes = pytest.mark.parametrize(("low_size", "high_size"), SIZES.values(), ids=SIZES)


def build(option: str) -> nn.Module:
    torch.manual_seed(0)
    return part_catalog.factory("fusion", option)(LOW, HIGH, OUT)


def maps(low_size: tuple[int, int], high_size: tuple[int, int], batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(batch, channels, *size, generator=generator).requires_grad_()
        for channels, size in ((LOW, low_size), (HIGH, high_size))
    ]


@fusions
@sizes
def test_training_reaches_both_inputs_and_leaves_them(
    option: str, low_size: tuple[int, int], high_size: tuple[int, int]
) -> None:
    fusion = build(option).train()
    low, high = maps(low_size, high_size, batch=2)
    before = low.detach().clone(), high.detach().clone()
    out = fusion(low, high)
    assert out.shape == (2, OUT, *low_size)
    out.square().sum().backward()
    for x in (low, high):
        assert x.grad is not None and x.grad.abs().sum() > 0
    for name, parameter in fusion.named_parameters():
        assert parameter.grad is not None, name
    assert torch.equal(low, before[0]) and torch.equal(high, before[1])


@fusions
@sizes
def test_one_image_in_evaluation(
    option: str, low_size: tuple[int, int], high_size: tuple[int, int]
) -> None:
    fusion = build(option).eval()
    low, high = maps(low_size, high_size, batch=2)
    with torch.no_grad():
        both = fusion(low, high)
        first = fusion(low[:1], high[:1])
    assert first.shape == (1, OUT, *low_size)
    torch.testing.assert_close(first, both[:1])


@fusions
def test_no_memory_on_the_meta_device(option: str) -> None:
    with torch.device("meta"):
        out = build(option).eval()(torch.empty(1, LOW, 8, 8), torch.empty(1, HIGH, 4, 4))
    assert out.is_meta and out.shape == (1, OUT, 8, 8)


@fusions
def test_channels_last_stays(option: str) -> None:
    low, high = maps((12, 16), (6, 8), batch=2)
    fusion = build(option).eval().to(memory_format=torch.channels_last)
    with torch.no_grad():
        out = fusion(
            low.to(memory_format=torch.channels_last), high.to(memory_format=torch.channels_last)
        )
        plain = fusion(low, high)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, plain, atol=1e-5, rtol=1e-4)
