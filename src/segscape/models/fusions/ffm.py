"""FFM: the Feature Fusion Module of BiSeNet, and its variant in STDC-Seg.

Papers: Yu et al., BiSeNet, ECCV 2018, arXiv 1808.00897; Fan et al., STDC-Seg, CVPR 2021,
arXiv 2104.13188. Concatenate, project to h, and return `h + h * a` with one weight a in 0..1 per
channel, from the global average of h.

They differ in how a is computed. CoinCheung's BiSeNet, which `ffm` follows: one 1x1 convolution
with BatchNorm. STDC-Seg (`ffm_stdc`): two 1x1 convolutions with a quarter of the channels between
them, no BatchNorm. (The authors' BiSeNet has two as well, but with all channels between them.)

Size from 128 and 128 to 256 channels: ffm 132 096 parameters, 0.537 GMACs at a low of 64x128;
ffm_stdc 98 816 and 0.537.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, init_conv, resize, size_of


class _FeatureFusion(nn.Module, ABC):
    """Concatenate, project, weight the channels; subclasses compute the weights."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        self.project = ConvBNAct(low_channels + high_channels, out_channels, 1)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        x = self.project(torch.cat([low, resize(high, size_of(low))], dim=1))
        return x + x * self.weight(x.mean((2, 3), keepdim=True))

    @abstractmethod
    def weight(self, average: Tensor) -> Tensor:
        """Global average (B, out, 1, 1) -> weights (B, out, 1, 1) in 0..1."""


class FFM(_FeatureFusion):
    """BiSeNet's fusion as in CoinCheung: one convolution with BatchNorm makes the weights.

    In training it needs more than one image per device: its BatchNorm normalises 1x1 maps.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__(low_channels, high_channels, out_channels)
        self.attention = ConvBNAct(out_channels, out_channels, 1, act=nn.Sigmoid)

    def weight(self, average: Tensor) -> Tensor:
        """(B, out, 1, 1) -> (B, out, 1, 1)."""
        return self.attention(average)


class FFMSTDC(_FeatureFusion):
    """STDC-Seg's fusion: two convolutions without BatchNorm make the weights.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
        reduction: how many times fewer channels there are between the convolutions.
    """

    def __init__(
        self, low_channels: int, high_channels: int, out_channels: int, reduction: int = 4
    ) -> None:
        super().__init__(low_channels, high_channels, out_channels)
        hidden = max(out_channels // reduction, 1)
        self.reduce = nn.Conv2d(out_channels, hidden, 1, bias=False)
        self.expand = nn.Conv2d(hidden, out_channels, 1, bias=False)
        init_conv(self.reduce)
        init_conv(self.expand)

    def weight(self, average: Tensor) -> Tensor:
        """(B, out, 1, 1) -> (B, out, 1, 1)."""
        return torch.sigmoid(self.expand(torch.relu(self.reduce(average))))
