"""Flow alignment: the fusions of SFNet and SFNet-Lite, which warp the deep feature into place.

Papers: Li et al., Semantic Flow for Fast and Accurate Scene Parsing, ECCV 2020, arXiv 2002.10120
(the flow alignment module, FAM); SFNet: Faster, Accurate, and Domain Agnostic Semantic
Segmentation via Semantic Flow, IJCV 2023, arXiv 2207.04415 (the gated dual flow, GD-FAM). As in
lxtGH/SFSegNets; the sum with the shallow feature, which stands in SFNet's decoder there, belongs
to the fusion here. Where the channels of an input are not those of the output, a 1x1 convolution
brings them there first; in SFNet all are equal.

Size at 128 channels throughout and a low of 64x128: flow_align 18 688 parameters and 0.103 GMACs,
flow_align_gated 21 028 and 0.122 (high is 32x64).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.layers import init_conv, resize, size_of
from segscape.models.projection import projection
from segscape.models.warp import warp


class _Flow(nn.Module):
    """What both have: the two features reduced, at one size, and fields of offsets from them."""

    def __init__(
        self, low_channels: int, high_channels: int, out_channels: int, fields: int
    ) -> None:
        super().__init__()
        half = max(out_channels // 2, 1)
        self.project_low = projection(low_channels, out_channels)
        self.project_high = projection(high_channels, out_channels)
        self.reduce_low = nn.Conv2d(out_channels, half, 1, bias=False)
        self.reduce_high = nn.Conv2d(out_channels, half, 1, bias=False)
        self.flow = nn.Conv2d(2 * half, 2 * fields, 3, padding=1, bias=False)
        init_conv(self.reduce_low)
        init_conv(self.reduce_high)

    def reduced(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Low (B, C, H, W) and high (B, C, h, w) -> both (B, C/2, H, W)."""
        small = resize(self.reduce_high(high), size_of(low), align_corners=True)
        return self.reduce_low(low), small


class FlowAlign(_Flow):
    """Predict where each pixel of low finds its content in high, fetch it, add it to low.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__(low_channels, high_channels, out_channels, fields=1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        low, high = self.project_low(low), self.project_high(high)
        small_low, small_high = self.reduced(low, high)
        offsets = self.flow(torch.cat([small_high, small_low], dim=1))
        return low + warp(high, offsets, "sfnet")


class FlowAlignGated(_Flow):
    """Warp both features and mix them with one weight per pixel.

    The weight is computed from the mean and the maximum over the channels of the reduced high
    and of low itself (not reduced, as published).

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__(low_channels, high_channels, out_channels, fields=2)
        self.gate = nn.Conv2d(4, 1, 3, padding=1, bias=False)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        low, high = self.project_low(low), self.project_high(high)
        small_low, small_high = self.reduced(low, high)
        offsets_high, offsets_low = self.flow(torch.cat([small_high, small_low], dim=1)).chunk(2, 1)
        statistics = [
            small_high.mean(1, keepdim=True),
            low.mean(1, keepdim=True),
            small_high.amax(1, keepdim=True),
            low.amax(1, keepdim=True),
        ]
        weight = torch.sigmoid(self.gate(torch.cat(statistics, dim=1)))
        moved_low = warp(low, offsets_low, "sfnet")
        moved_high = warp(high, offsets_high, "sfnet")
        return moved_low + weight * (moved_high - moved_low)
