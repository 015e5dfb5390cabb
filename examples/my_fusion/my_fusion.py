"""A fusion outside of segscape: project both inputs, mix them by one learned share per channel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, resize, size_of


class MyFusion(nn.Module):
    """Two 1x1 projections, a weighted sum, one convolution.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
        kernel: side of the last convolution, odd: a choice of our own.
    """

    def __init__(
        self, low_channels: int, high_channels: int, out_channels: int, kernel: int = 3
    ) -> None:
        super().__init__()
        self.low = ConvBNAct(low_channels, out_channels, 1)
        self.high = ConvBNAct(high_channels, out_channels, 1)
        self.share = nn.Parameter(torch.zeros(1, out_channels, 1, 1))
        self.out = ConvBNAct(out_channels, out_channels, kernel)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        low = self.low(low)
        high = resize(self.high(high), size_of(low))
        share = torch.sigmoid(self.share)
        return self.out(share * low + (1 - share) * high)
