"""Building blocks of AFFormer: pixel descriptor, adaptive frequency filter, prototype learning.

Paper: Dong et al., Head-Free Lightweight Semantic Segmentation with Linear Transformer,
AAAI 2023, arXiv 2301.04648. `encoders/afformer.py` puts them together.

Tokens are `(B, N, C)` with N = H W; the layers get the size of the map beside them, because half
of what they do to tokens is a depthwise convolution of the map that they form.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import ConvBNAct, init_conv, resize

HEADS = 8
"""Heads of the attention, everywhere."""

_KERNELS = {3: 2, 5: 3, 7: 3}
"""Kernels of the high-pass, with the number of heads that each filters."""

_BINS = (1, 2, 3, 6)
"""Sides of the pooled maps of the low-pass, one for each quarter of the channels."""


class DepthwiseEmbed(nn.Module):
    """Depthwise 3x3 with the stride, pointwise, BatchNorm, Hardswish; nothing in between.

    Args:
        channels: of the input and the output.
        stride: of the depthwise convolution.
    """

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.act = nn.Hardswish()
        init_conv(self.depthwise)
        init_conv(self.pointwise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H/stride, W/stride)."""
        return self.act(self.norm(self.pointwise(self.depthwise(x))))


class PixelDescriptor(nn.Module):
    """The bottleneck of the pixel branch: C -> C/2, depthwise 3x3, -> C, plus the input.

    Args:
        channels: of the input and the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvBNAct(channels, half, 1, act=nn.Hardswish)
        self.depthwise = ConvBNAct(half, half, 3, groups=half, act=nn.Hardswish)
        self.expand = ConvBNAct(half, channels, 1, act=None)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        return x + self.expand(self.depthwise(self.reduce(x)))


class HighPass(nn.Module):
    """Depthwise convolutions of three sizes, each on the channels of some heads.

    Args:
        channels: a multiple of `HEADS`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // HEADS
        self.convs = nn.ModuleList(
            [_depthwise(heads * width, kernel) for kernel, heads in _KERNELS.items()]
        )
        self.widths = [heads * width for heads in _KERNELS.values()]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        groups = x.split(self.widths, dim=1)
        return torch.cat([conv(y) for conv, y in zip(self.convs, groups, strict=True)], dim=1)


def low_pass(x: Tensor) -> Tensor:
    """Each quarter of the channels pooled to another grid and spread again; then ReLU.

    Args:
        x: (B, C, H, W), C a multiple of 4. The quarters cut across the heads.

    Returns:
        The same shape.
    """
    size = (x.shape[2], x.shape[3])
    quarters = x.chunk(len(_BINS), dim=1)
    pooled = [F.adaptive_avg_pool2d(y, side) for y, side in zip(quarters, _BINS, strict=True)]
    return torch.cat([resize(y, size) for y in pooled], dim=1).relu()


class FrequencyFilter(nn.Module):
    """Attention of linear cost plus a dynamic high-pass and a dynamic low-pass of the values.

    `y = q (softmax(k)^T v) / sqrt(C/heads) + q * high(v) + low(v)`, the softmax over the pixels,
    and a linear layer after it.

    Args:
        channels: a multiple of `HEADS`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = (channels // HEADS) ** -0.5
        self.qkv = _linear(channels, 3 * channels)
        self.project = _linear(channels, channels)

    def forward(self, x: Tensor, size: tuple[int, int], high_pass: nn.Module) -> Tensor:
        """Tokens (B, N, C) of a map of `size` -> the same shape.

        `high_pass` comes from outside: the layers of a stage share one.
        """
        q, k, v = self.qkv(x).chunk(3, dim=2)
        q_heads, k_heads, v_heads = _heads(q), _heads(k), _heads(v)  # (B, heads, N, C/heads)
        similarity = k_heads.softmax(dim=2).transpose(2, 3) @ v_heads
        attended = self.scale * (q_heads @ similarity)
        plain = attended.transpose(1, 2).flatten(2)
        values = to_map(v, size)
        return self.project(plain + q * to_tokens(high_pass(values)) + to_tokens(low_pass(values)))


class ConvFeedForward(nn.Module):
    """Linear, a depthwise 3x3 with a shortcut around it, GELU, linear.

    Args:
        channels: of the input and the output.
        hidden: channels in between.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand = _linear(channels, hidden)
        self.depthwise = _depthwise(hidden, 3)
        self.act = nn.GELU()
        self.reduce = _linear(hidden, channels)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens (B, N, C) of a map of `size` -> the same shape."""
        x = self.expand(x)
        return self.reduce(self.act(x + to_tokens(self.depthwise(to_map(x, size)))))


class PrototypeLayer(nn.Module):
    """Frequency filter and feed-forward, each after a LayerNorm and with a shortcut.

    Args:
        channels: of the tokens.
        mlp_ratio: hidden channels of the feed-forward for each of them.
    """

    def __init__(self, channels: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.filter = FrequencyFilter(channels)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = ConvFeedForward(channels, mlp_ratio * channels)

    def forward(self, x: Tensor, size: tuple[int, int], high_pass: nn.Module) -> Tensor:
        """Tokens (B, N, C) of a map of `size` -> the same shape."""
        x = x + self.filter(self.norm1(x), size, high_pass)
        return x + self.mlp(self.norm2(x), size)


class PrototypeLearning(nn.Module):
    """The transformer of a stage.

    Its layers share one position encoding (a depthwise convolution, added at the start of each
    layer) and one high-pass.

    Args:
        channels: of the input and the output.
        layers: number of layers.
        mlp_ratio: hidden channels of the feed-forward for each channel.
    """

    def __init__(self, channels: int, layers: int, mlp_ratio: int) -> None:
        super().__init__()
        self.position = _depthwise(channels, 3)
        self.high_pass = HighPass(channels)
        self.layers = nn.ModuleList([PrototypeLayer(channels, mlp_ratio) for _ in range(layers)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape."""
        size = (x.shape[2], x.shape[3])
        for layer in self.layers:
            tokens = to_tokens(x + self.position(x))
            x = to_map(layer(tokens, size, self.high_pass), size)
        return x


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, H W, C) -> (B, C, H, W), a view (channels last)."""
    return tokens.transpose(1, 2).unflatten(2, size)


def to_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H W, C), a view where the map is channels last."""
    return x.flatten(2).transpose(1, 2)


def _heads(tokens: Tensor) -> Tensor:
    """(B, N, C) -> (B, heads, N, C/heads)."""
    return tokens.unflatten(2, (HEADS, -1)).transpose(1, 2)


def _linear(in_channels: int, out_channels: int) -> nn.Linear:
    linear = nn.Linear(in_channels, out_channels)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear


def _depthwise(channels: int, kernel: int) -> nn.Conv2d:
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
    init_conv(conv)
    return conv
