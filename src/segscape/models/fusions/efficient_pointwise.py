"""How ESPNetV2's decoder adds a level of the encoder: grouped convolution, weighed by channel.

Mehta et al., ESPNetv2, CVPR 2019, arXiv 1811.11431; the graph is that of the authors' EdgeNets,
where the part before the sum is called efficient point-wise convolution.

Size from 64 and 64 to 64 channels: 5 056 parameters, 0.005 GMACs on a 64x128 map.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from segscape.models.encoders.espnet import NormAct
from segscape.models.layers import ConvBNAct, init_conv, resize, size_of


class EfficientPointwise(nn.Module):
    """Weigh the convolved low by a gate from its mean, add the resized high, BatchNorm, PReLU.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result. Where high has others, a 1x1 convolution that
            ESPNetV2 does not need brings it there.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        groups = math.gcd(low_channels, out_channels)
        act = nn.PReLU(out_channels)
        self.expand = ConvBNAct(low_channels, out_channels, 3, groups=groups, act=act)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weigh = nn.Conv2d(low_channels, out_channels, 1, bias=False)
        self.project: nn.Module = nn.Identity()
        if high_channels != out_channels:
            self.project = ConvBNAct(high_channels, out_channels, 1)
        self.out = NormAct(out_channels, eps=1e-5)
        init_conv(self.weigh)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        x = self.expand(low) * self.weigh(self.pool(low)).sigmoid()
        return self.out(x + resize(self.project(high), size_of(x), align_corners=True))
