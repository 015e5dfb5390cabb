"""Moving a feature map along a field of offsets, for the fusions that align two levels.

Every output pixel reads the input bilinearly at its own place plus an offset; outside the input
there are zeros. The output has the size of the offsets, so a warp also resizes. What an offset of
1 means differs between the published networks:

- `"pixels"`: one pixel of the output. No offset gives the same as a bilinear resize with aligned
  corners. This is the corrected form of AlignSeg's warp.
- `"sfnet"` (lxtGH/SFSegNets, arXiv 2002.10120): 1/W and 1/H of the output, in coordinates from -1
  to 1, that is, about half a pixel. No offset gives the aligned resize here, too.
- `"alignseg"` (speedinghzl/AlignSeg, arXiv 2003.00872): 1/w and 1/h of the input, on a grid of
  aligned corners that is then sampled as if they were not aligned. No offset is not the identity:
  the map grows by 1/w and 1/h about its centre, and its border mixes with zeros. Published
  checkpoints need it; the authors advise against it for new training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.errors import unknown
from segscape.models.layers import ConvBNAct, size_of

_ALIGNSEG = {"published": "alignseg", "corrected": "pixels"}


def alignseg_kind(choice: str) -> str:
    """The kind of warp behind the choice `warp` of AlignSeg's parts.

    Args:
        choice: "published" or "corrected".

    Raises:
        UserError: there is no such choice.
    """
    if choice not in _ALIGNSEG:
        raise unknown(f"unknown warp {choice!r}", choice, _ALIGNSEG)
    return _ALIGNSEG[choice]


class OffsetField(nn.Module):
    """AlignSeg's generator of offsets: two convolutions, of which the second starts from zero.

    Args:
        in_channels: channels of the input.
        mid_channels: between the two.
    """

    def __init__(self, in_channels: int, mid_channels: int) -> None:
        super().__init__()
        self.mix = ConvBNAct(in_channels, mid_channels, 1, act=nn.LeakyReLU(0.01, inplace=True))
        self.field = nn.Conv2d(mid_channels, 2, 3, padding=1, bias=False)
        nn.init.zeros_(self.field.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 2, H, W)."""
        return self.field(self.mix(x))


def warp(x: Tensor, offsets: Tensor, kind: str = "pixels") -> Tensor:
    """Sample `x` at the places of a grid moved by `offsets`.

    Args:
        x: the map (B, C, h, w).
        offsets: (B, 2, H, W), first to the right, then down.
        kind: what an offset of 1 means, "pixels", "sfnet" or "alignseg".

    Returns:
        (B, C, H, W) in the type and the memory format of `x`.
    """
    height, width = size_of(offsets)
    right, down = _units(kind, size_of(x), (height, width))
    # Half precision has too few digits for positions in a wide map.
    dtype = torch.promote_types(x.dtype, torch.float32)
    moves = offsets.to(dtype)
    columns = torch.linspace(-1, 1, width, device=x.device, dtype=dtype)
    rows = torch.linspace(-1, 1, height, device=x.device, dtype=dtype).unsqueeze(1)
    grid = torch.stack([moves[:, 0] * right + columns, moves[:, 1] * down + rows], dim=-1)
    moved = F.grid_sample(x.to(dtype), grid, align_corners=kind != "alignseg").to(x.dtype)
    # grid_sample lays its result out planar, whatever it is given.
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return moved.contiguous(memory_format=torch.channels_last) if last else moved


def _units(kind: str, source: tuple[int, int], target: tuple[int, int]) -> tuple[float, float]:
    """How far an offset of 1 moves to the right and down, in coordinates from -1 to 1."""
    if kind == "sfnet":
        return 1 / target[1], 1 / target[0]
    if kind == "alignseg":
        return 1 / source[1], 1 / source[0]
    return 2 / max(target[1] - 1, 1), 2 / max(target[0] - 1, 1)
