"""Xception-39: the small Xception that BiSeNet has as its fast context path.

Papers: Chollet, Xception, CVPR 2017, arXiv 1610.02357; Yu et al., BiSeNet, ECCV 2018,
arXiv 1808.00897, which names the network; its layers are those of the authors' code. Against
Xception: a quarter of the width and fewer blocks, ReLU after a block's addition instead of before
its convolutions, and bottlenecks that widen four times at their end.

Size: 306 264 parameters, 0.412 GMACs at 512x1024 (height x width).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 convolution and BatchNorm, then 1x1 convolution, BatchNorm and activation.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the depthwise convolution.
        act: the activation, or None.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        act: type[nn.Module] | None = nn.ReLU,
    ) -> None:
        super().__init__(
            ConvBNAct(in_channels, in_channels, 3, stride, groups=in_channels, act=None),
            ConvBNAct(in_channels, out_channels, 1, act=act),
        )


class XceptionBlock(nn.Module):
    """Three separable convolutions and a shortcut.

    Args:
        in_channels: channels of the input.
        width: channels inside; the output has four times as many.
        stride: of the first convolution; at 2 the shortcut is a separable convolution, too.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.convs = nn.Sequential(
            SeparableConv(in_channels, width, stride),
            SeparableConv(width, width),
            SeparableConv(width, out_channels, act=None),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.shortcut = SeparableConv(in_channels, out_channels, stride, act=None)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 width, H/stride, W/stride)."""
        return self.act(self.convs(x) + self.shortcut(x))


class Xception39(nn.Module):
    """Xception-39 without its classifier.

    Args:
        blocks: at strides 8, 16 and 32.
        widths: channels inside these blocks; a quarter of those of their outputs.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: the weights do not fit.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (4, 8, 4),
        widths: Sequence[int] = (16, 32, 64),
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.stem = ConvBNAct(3, 8, 3, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)
        channels, layers = 8, []
        for count, width in zip(blocks, widths, strict=True):
            layer = nn.Sequential()
            for index in range(count):
                layer.append(XceptionBlock(channels, width, 2 if index == 0 else 1))
                channels = width * XceptionBlock.expansion
            layers.append(layer)
        self.layers = nn.ModuleList(layers)
        outputs = (8, 8, *(width * XceptionBlock.expansion for width in widths))
        self.spec = FeatureSpec(dict(zip((2, 4, 8, 16, 32), outputs, strict=True)))
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, "xception39")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 8, H/2, W/2), 4: ..., 8: (B, 64, ...), 16: ..., 32: ...}."""
        x = self.stem(image)
        features: Features = {2: x}
        x = self.pool(x)
        features[4] = x
        for stride, layer in zip((8, 16, 32), self.layers, strict=True):
            x = layer(x)
            features[stride] = x
        return features
