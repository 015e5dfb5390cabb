"""The light Xception encoders of DFANet, A and B.

Paper: Li et al., DFANet: Deep Feature Aggregation for Real-Time Semantic Segmentation, CVPR 2019,
arXiv 1904.02216. No official code was published; the blocks are those of huaifeng1993/DFANet, the
most used version. It has 3, 6 and 3 blocks with the stride in the first one (the paper's figure: 4,
6, 4), biased convolutions before each BatchNorm, and a projection around every block, also where
the shape does not change. The fully-connected attention on top is the context `fca` here.

Size: A 262 464 parameters and 1.397 GMACs at 512x1024 (height x width), B 122 120 and 0.669.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.errors import unknown
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct, init_conv

_WIDTHS = {"a": (48, 96, 192), "b": (32, 64, 128)}
_BLOCKS = (3, 6, 3)


class SeparableConv(nn.Module):
    """Depthwise 3x3, pointwise 1x1, both with bias, then BatchNorm and ReLU.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.ReLU(inplace=True)
        init_conv(self.depthwise)
        init_conv(self.pointwise)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        return self.act(self.norm(self.pointwise(self.depthwise(x))))


class XceptionBlock(nn.Module):
    """Three separable convolutions, narrow until the last, around a projected shortcut.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; a quarter of them inside.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        width = max(out_channels // 4, 1)
        self.convs = nn.Sequential(
            SeparableConv(in_channels, width, stride),
            SeparableConv(width, width),
            SeparableConv(width, out_channels),
        )
        self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        init_conv(self.shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        return self.convs(x) + self.shortcut(x)


def stage(in_channels: int, out_channels: int, blocks: int) -> nn.Sequential:
    """One stage (the paper's enc): the first block halves the size."""
    first = XceptionBlock(in_channels, out_channels, 2)
    return nn.Sequential(
        first, *(XceptionBlock(out_channels, out_channels) for _ in range(blocks - 1))
    )


class XceptionA(nn.Module):
    """XceptionA or B without attention and classifier.

    Args:
        variant: "a" (48, 96, 192 channels) or "b" (32, 64, 128).
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: unknown variant, or the weights do not fit.
    """

    def __init__(self, variant: str = "a", weights: str | None = None) -> None:
        super().__init__()
        if variant not in _WIDTHS:
            raise unknown(f"unknown variant {variant!r} of DFANet's Xception", variant, _WIDTHS)
        self.stem = ConvBNAct(3, 8, 3, 2)
        widths = _WIDTHS[variant]
        befores = (8, *widths[:-1])
        self.stages = nn.ModuleList(
            [stage(*each) for each in zip(befores, widths, _BLOCKS, strict=True)]
        )
        self.spec = FeatureSpec({2: 8, **dict(zip((4, 8, 16), widths, strict=True))})
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, f"xception_{variant}")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 8, H/2, W/2), 4: ..., 8: ..., 16: (B, 192, H/16, W/16)}."""
        x = self.stem(image)
        features: Features = {2: x}
        for stride, layers in zip((4, 8, 16), self.stages, strict=True):
            x = layers(x)
            features[stride] = x
        return features
