"""UAFM: the Unified Attention Fusion Module of PP-LiteSeg, spatial and channel.

Paper: Peng et al., PP-LiteSeg, arXiv 2204.02681. The fused map is `a * low + (1 - a) * high`,
with a weight `a` in 0..1 computed from statistics of both.

This is PaddleSeg's version, which differs from the paper's formula: there the weight belongs to
the up-sampled deep feature, here (and in every published checkpoint) to the shallow one.
PaddleSeg also stores the constant 1 of `(1 - a)` as a parameter `_scale`; here it is just 1.
Its classes ending in `_S` take only the means as statistics: `maximum=False` here.

Size from 256 and 64 to 32 channels: spatial 166 176 parameters, 1.360 GMACs at a low of 64x128;
channel 176 512 and 1.359. With means alone: spatial 166 140 and 1.360, channel 172 416 and 1.359.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.fusions.base import ProjectedFusion
from segscape.models.layers import ConvBNAct


class UAFMSpatial(ProjectedFusion):
    """One weight per pixel, from the mean and the maximum over the channels.

    The statistics are stacked in PaddleSeg's order: mean and max of low, mean and max of high.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
        maximum: False leaves the maxima out (PaddleSeg's UAFM_SpAtten_S).
    """

    def __init__(
        self, low_channels: int, high_channels: int, out_channels: int, maximum: bool = True
    ) -> None:
        super().__init__(low_channels, high_channels, out_channels)
        self.maximum = maximum
        self.attention = nn.Sequential(
            ConvBNAct(4 if maximum else 2, 2, 3), ConvBNAct(2, 1, 3, act=None)
        )

    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Both (B, C, H, W) -> (B, C, H, W), weighted by (B, 1, H, W)."""
        statistics = []
        for x in (low, high):
            statistics.append(x.mean(1, keepdim=True))
            if self.maximum:
                statistics.append(x.amax(1, keepdim=True))
        weight = torch.sigmoid(self.attention(torch.cat(statistics, dim=1)))
        return torch.lerp(high, low, weight)


class UAFMChannel(ProjectedFusion):
    """One weight per channel, from the mean and the maximum over the pixels.

    The statistics are stacked in PaddleSeg's order: means of low and high, then their maxima.
    In training it needs more than one image per device: its BatchNorm normalises 1x1 maps.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
        maximum: False leaves the maxima out (PaddleSeg's UAFM_ChAtten_S).
    """

    def __init__(
        self, low_channels: int, high_channels: int, out_channels: int, maximum: bool = True
    ) -> None:
        super().__init__(low_channels, high_channels, out_channels)
        self.maximum = maximum
        hidden = max(high_channels // 2, 1)
        self.attention = nn.Sequential(
            ConvBNAct(
                (4 if maximum else 2) * high_channels,
                hidden,
                1,
                act=nn.LeakyReLU(0.01, inplace=True),
            ),
            ConvBNAct(hidden, high_channels, 1, act=None),
        )

    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Both (B, C, H, W) -> (B, C, H, W), weighted by (B, C, 1, 1)."""
        statistics = [x.mean((2, 3), keepdim=True) for x in (low, high)]
        if self.maximum:
            statistics += [x.amax((2, 3), keepdim=True) for x in (low, high)]
        weight = torch.sigmoid(self.attention(torch.cat(statistics, dim=1)))
        return torch.lerp(high, low, weight)
