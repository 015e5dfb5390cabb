"""AlignFA: the aligned feature aggregation of AlignSeg, which warps both features.

Paper: Huang et al., AlignSeg: Feature-Aligned Segmentation Networks, TPAMI 2021, arXiv
2003.00872, as in speedinghzl/AlignSeg (there CAB). Its published warp does not leave a map in
place where the offsets are zero, see `segscape.models.warp`; checkpoints need it, new training
does better with `align_fa_corrected`. Where the channels of an input are not those of the output,
a 1x1 convolution brings them there first; in AlignSeg all are equal.

Size at 256 channels throughout and a low of 64x128: 272 384 parameters, 2.223 GMACs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.layers import resize, size_of
from segscape.models.projection import projection
from segscape.models.warp import OffsetField, alignseg_kind, warp


class AlignFA(nn.Module):
    """Resize high, predict one field of offsets for each feature, warp both, add.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
        warp: "published" or "corrected" (offsets in pixels, none is the identity).

    Raises:
        UserError: there is no such warp.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        out_channels: int,
        warp: str = "published",
    ) -> None:
        super().__init__()
        self.kind = alignseg_kind(warp)
        self.project_low = projection(low_channels, out_channels)
        self.project_high = projection(high_channels, out_channels)
        self.offsets_high = OffsetField(2 * out_channels, out_channels)
        self.offsets_low = OffsetField(2 * out_channels, out_channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        low, high = self.project_low(low), self.project_high(high)
        high = resize(high, size_of(low), align_corners=True)
        both = torch.cat([low, high], dim=1)
        moved = warp(high, self.offsets_high(both), self.kind)
        return moved + warp(low, self.offsets_low(both), self.kind)
