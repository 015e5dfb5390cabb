"""DAPPM: the Deep Aggregation Pyramid Pooling Module of DDRNet.

Paper: Hong et al., Deep Dual-resolution Networks for Real-time and Accurate Semantic Segmentation
of Road Scenes, arXiv 2101.06085. Against the PPM of PSPNet: each scale is convolved together with
the finer one before it, and a shortcut adds the projected input. As in the authors' code BatchNorm
and ReLU come before every convolution, so the output is not rectified.

Size at 512 channels (DDRNet-23-slim) 1 073 408 parameters; at 1024 channels 1 472 768 and 0.500
GMACs on a 16x32 map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import init_conv, resize, size_of


class NormActConv(nn.Module):
    """BatchNorm, ReLU, convolution without bias: ConvBNAct in the opposite order.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel, odd.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.act = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
        init_conv(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        return self.conv(self.act(self.norm(x)))


class DAPPM(nn.Module):
    """Pool over growing windows, each scale refined with the one before; concatenate, project.

    In training the mean of the map, and on a small map the widest windows too, need more than one
    image per device: BatchNorm cannot normalise a single value per channel.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the output.
        branch_channels: channels of each scale.
        windows: sides of the pooling windows, odd; their stride is half of it. The whole map
            always follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        branch_channels: int = 128,
        windows: Sequence[int] = (5, 9, 17),
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.windows = tuple(windows)
        scales = len(self.windows) + 2
        self.scales = nn.ModuleList(
            [NormActConv(in_channels, branch_channels, 1) for _ in range(scales)]
        )
        self.refine = nn.ModuleList(
            [NormActConv(branch_channels, branch_channels, 3) for _ in range(scales - 1)]
        )
        self.out = NormActConv(branch_channels * scales, out_channels, 1)
        self.shortcut = NormActConv(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        pooled = [F.avg_pool2d(x, side, side // 2, side // 2) for side in self.windows]
        pooled.append(x.mean((2, 3), keepdim=True))
        first, *scales = self.scales
        levels = [first(x)]
        for scale, refine, level in zip(scales, self.refine, pooled, strict=True):
            levels.append(refine(resize(scale(level), size_of(x)) + levels[-1]))
        return self.out(torch.cat(levels, dim=1)) + self.shortcut(x)
