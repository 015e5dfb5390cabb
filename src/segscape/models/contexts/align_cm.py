"""AlignCM: the aligned context modelling of AlignSeg.

Paper: Huang et al., AlignSeg: Feature-Aligned Segmentation Networks, TPAMI 2021, arXiv
2003.00872, as in speedinghzl/AlignSeg (there CAM). A small pooled map is warped to every place
instead of being resized. Its published warp does not leave a map in place where the offsets are
zero, see `segscape.models.warp`; `align_cm_corrected` does.

Most of its weights are two 3x3 convolutions on the full width of the deepest feature. Size at 2048
channels: 17 971 200 parameters, 4.713 GMACs on a 16x32 map.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import ConvBNAct, resize, size_of
from segscape.models.warp import OffsetField, alignseg_kind, warp

_SIDE = 3


def _reduce(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ConvBNAct(in_channels, in_channels, 1, act=nn.LeakyReLU(0.01, inplace=True)),
        ConvBNAct(in_channels, out_channels, 3, act=nn.LeakyReLU(0.01, inplace=True)),
    )


class AlignCM(nn.Module):
    """Pool to 3x3, predict a position in the pooled map for each pixel, add the value there.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the output.
        warp: "published" or "corrected" (offsets in pixels, none is the identity).

    Raises:
        UserError: there is no such warp.
    """

    def __init__(self, in_channels: int, out_channels: int = 256, warp: str = "published") -> None:
        super().__init__()
        self.out_channels = out_channels
        self.kind = alignseg_kind(warp)
        self.pooled = _reduce(in_channels, out_channels)
        self.local = _reduce(in_channels, out_channels)
        self.offsets = OffsetField(2 * out_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        pooled = self.pooled(F.adaptive_avg_pool2d(x, _SIDE))
        local = self.local(x)
        resized = resize(pooled, size_of(local), align_corners=True)
        offsets = self.offsets(torch.cat([local, resized], dim=1))
        return local + warp(pooled, offsets, self.kind)
