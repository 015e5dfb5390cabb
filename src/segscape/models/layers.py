"""Layers that several parts share."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F


class ConvBNAct(nn.Module):
    """Convolution, BatchNorm, activation.

    The size is kept at stride 1 and halved (rounded up) at stride 2: padding is
    `dilation * (kernel // 2)`. Weights start from He et al.'s normal initialisation by fan-out
    (arXiv 1502.01852), see `init_conv`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel, odd.
        stride: of the convolution.
        groups: `in_channels` makes it depthwise.
        dilation: of the kernel.
        bias: of the convolution; redundant before BatchNorm, there for networks that have it.
        act: the activation, or None. Default ReLU, in place.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        groups: int = 1,
        dilation: int = 1,
        bias: bool = False,
        act: type[nn.Module] | nn.Module | None = nn.ReLU,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=bias
        )
        self.norm = nn.BatchNorm2d(out_channels)
        # In place is safe: BatchNorm keeps its input for the backward pass, not its output.
        self.act = nn.ReLU(inplace=True) if act is nn.ReLU else _module(act)
        init_conv(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        return self.act(self.norm(self.conv(x)))


def _module(act: type[nn.Module] | nn.Module | None) -> nn.Module:
    if act is None:
        return nn.Identity()
    return act() if isinstance(act, type) else act


def init_conv(conv: nn.Conv2d) -> None:
    """Normal(0, sqrt(2 / fan_out)), the fan-out counted per group; bias 0.

    PaddleSeg draws the convolutions of its STDC from Normal(0, 0.001). That is harmless there,
    because pretrained weights overwrite it; from scratch it is not. BatchNorm hides the scale of
    a weight in the forward pass, but the gradient grows with its inverse, so the first steps at
    lr 0.01 would be hundreds of times the size of the weights.
    """
    fan_out = conv.kernel_size[0] * conv.kernel_size[1] * conv.out_channels / conv.groups
    nn.init.normal_(conv.weight, 0.0, math.sqrt(2.0 / fan_out))
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def resize(x: Tensor, size: tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear resize of (B, C, h, w) to `size` (H, W); the same tensor if it has that size."""
    if (x.shape[2], x.shape[3]) == tuple(size):
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def size_of(x: Tensor) -> tuple[int, int]:
    """Height and width of (B, C, H, W)."""
    return x.shape[2], x.shape[3]
