"""Warps move a map by their offsets, in any type and layout."""

from __future__ import annotations

import pytest
import torch

from segscape.errors import UserError
from segscape.models.fusions.align_fa import AlignFA
from segscape.models.layers import resize
from segscape.models.warp import warp

SIZES = {"same": (9, 14), "finer": (17, 29), "coarser": (4, 5), "a line": (1, 7)}


def maps(*size: int) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["pixels", "sfnet"])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_no_offset_is_the_aligned_resize(kind: str, size: tuple[int, int]) -> None:
    x = maps(9, 14)
    moved = warp(x, torch.zeros(2, 2, *size), kind)
    torch.testing.assert_close(moved, resize(x, size, align_corners=True), atol=1e-5, rtol=1e-5)


def test_no_offset_of_the_published_alignseg_is_not_the_identity() -> None:
    x = maps(9, 14)
    assert (warp(x, torch.zeros(2, 2, 9, 14), "alignseg") - x).abs().max() > 0.1


def test_pixels_are_pixels_to_the_right_and_down() -> None:
    x = maps(9, 14)
    offsets = torch.zeros(2, 2, 9, 14)
    offsets[:, 0], offsets[:, 1] = 3, -2
    moved = warp(x, offsets)
    torch.testing.assert_close(moved[:, :, 2:, :-3], x[:, :, :-2, 3:], atol=1e-5, rtol=1e-5)
    outside = moved.clone()
    outside[:, :, 2:, :-3] = 0
    assert outside.abs().max() < 1e-4


@pytest.mark.parametrize(("kind", "pixels"), [("sfnet", 13 / 28), ("alignseg", 14 / 28)])
def test_the_published_units(kind: str, pixels: float) -> None:
    """An offset of 1 moves a ramp by that many pixels of a map of 14 columns."""
    ramp = torch.arange(14.0).expand(1, 1, 9, 14)
    still = warp(ramp, torch.zeros(1, 2, 9, 14), kind)
    offsets = torch.zeros(1, 2, 9, 14)
    offsets[:, 0] = 1
    moved = warp(ramp, offsets, kind) - still
    torch.testing.assert_close(moved[:, :, 4, 4:9], torch.full((1, 1, 5), pixels))


def test_half_precision_warps_to_exact_positions() -> None:
    ramp = torch.linspace(0, 1, 2000).expand(1, 1, 2, 2000).to(torch.bfloat16)
    moved = warp(ramp, torch.zeros(1, 2, 2, 2000, dtype=torch.bfloat16))
    assert moved.dtype == torch.bfloat16
    assert torch.equal(moved, ramp)


def test_layout_and_double_precision_stay() -> None:
    x = maps(9, 14).to(memory_format=torch.channels_last)
    assert warp(x, torch.zeros(2, 2, 5, 6)).is_contiguous(memory_format=torch.channels_last)
    assert warp(x.double(), torch.zeros(2, 2, 5, 6)).dtype == torch.float64


def test_an_unknown_warp_is_named() -> None:
    with pytest.raises(UserError, match="unknown warp 'correct'"):
        AlignFA(4, 4, 4, warp="correct")
