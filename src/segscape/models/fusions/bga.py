"""BGA: the Bilateral Guided Aggregation of BiSeNetV2.

Paper: Yu et al., BiSeNet V2, IJCV 2021, arXiv 2004.02147. Low and high gate each other twice, at
the size of low and at that of high:

    left = D1(low) * sigmoid(up(S1(high)))      right = up(D2(low) * sigmoid(S2(high)))

and a 3x3 convolution follows the sum. This is CoinCheung's version: it enlarges by repetition
(mmsegmentation: bilinearly) and ends in a ReLU that the paper does not draw.

As published, low has four times the sides of high and D2 halves twice: a convolution with stride 2,
then an average pooling with stride 2. Here it halves as often as fits in the ratio of the sizes
(at equal sizes not at all), then repeats pixels for what is left, so that any sizes go.

Size at 128 channels: 478 720 parameters, 1.738 GMACs at a low of 64x128 and a high of 16x32. A
low or high feature with another number of channels than the result is projected to it before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import ConvBNAct, init_conv, size_of


class BGA(nn.Module):
    """Two features that gate each other at both sizes.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result, and of everything inside.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        width = out_channels
        self.project_low = _project(low_channels, width)
        self.project_high = _project(high_channels, width)
        self.detail_keep = _separable(width)
        self.detail_down = ConvBNAct(width, width, 3, 2, act=None)
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.semantic_up = ConvBNAct(width, width, 3, act=None)
        self.semantic_keep = _separable(width)
        self.out = ConvBNAct(width, width, 3)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        detail, semantic = self.project_low(low), self.project_high(high)
        fine, coarse = size_of(detail), size_of(semantic)
        left = self.detail_keep(detail) * torch.sigmoid(_repeat(self.semantic_up(semantic), fine))
        right = self._reduce(detail, coarse) * torch.sigmoid(self.semantic_keep(semantic))
        return self.out(left + _repeat(right, fine))

    def _reduce(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, C, H, W) -> (B, C, h, w): convolve, and halve while it stays as large as `size`."""
        down = self.detail_down
        stride = 2 if _halves(x, size) else 1
        y: Tensor = down.norm(F.conv2d(x, down.conv.weight, None, stride, down.conv.padding))
        while _halves(y, size):
            y = self.pool(y)
        return _repeat(y, size)


def _project(in_channels: int, out_channels: int) -> nn.Module:
    return nn.Identity() if in_channels == out_channels else ConvBNAct(in_channels, out_channels, 1)


def _separable(width: int) -> nn.Sequential:
    """Depthwise 3x3 convolution with BatchNorm, then a plain 1x1 convolution."""
    pointwise = nn.Conv2d(width, width, 1, bias=False)
    init_conv(pointwise)
    return nn.Sequential(ConvBNAct(width, width, 3, groups=width, act=None), pointwise)


def _halves(x: Tensor, size: tuple[int, int]) -> bool:
    """Whether half of x, rounded up, is still at least `size`, and x more than that."""
    height, width = size_of(x)
    half = (height + 1) // 2, (width + 1) // 2
    return half[0] >= size[0] and half[1] >= size[1] and (height, width) != size


def _repeat(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if size_of(x) == size else F.interpolate(x, size=size, mode="nearest")
