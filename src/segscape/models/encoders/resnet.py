"""ResNet encoders: the residual networks under most systems of the field.

Papers: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385; the
dilated ones: Yu et al., Dilated Residual Networks, CVPR 2017, arXiv 1705.09914.

As in torchvision a bottleneck strides in its 3x3 convolution (the paper: in its first 1x1). What
the systems change about it are choices here:

- `stem="deep"`: three 3x3 convolutions (64, 64, 128) for the 7x7 one (PSPNet, SFNet, AlignSeg);
- `strides` and `dilations` of the last layers: (1, 2) and (1, 2) keep stride 8 with a wide view
  (PSPNet, FCN). SFNet dilates and strides;
- `first_dilated`: whether the first block of a dilated layer is dilated like the others (PSPNet)
  or like those of the layer before it (torchvision);
- `ceil_mode` of the max pooling (AlignSeg).

Size: ResNet-18 11 176 512 parameters and 18.950 GMACs at 512x1024 (height x width), ResNet-50
23 508 032 and 42.730; dilated to stride 8 ResNet-50 has 128.7 GMACs.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segscape.errors import UserError, unknown
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. The dilation is of the second one only.

    Args:
        in_channels: channels of the input.
        width: channels of the output.
        stride: of the first convolution and of the shortcut.
        dilation: of the second convolution.
    """

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.conv1 = ConvBNAct(in_channels, width, 3, stride)
        self.conv2 = ConvBNAct(width, width, 3, dilation=dilation, act=None)
        self.shortcut = _shortcut(in_channels, width, stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, width, H/stride, W/stride)."""
        return self.act(self.conv2(self.conv1(x)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut; stride and dilation are of the 3x3.

    Args:
        in_channels: channels of the input.
        width: channels inside; the output has four times as many.
        stride: of the 3x3 convolution and of the shortcut.
        dilation: of the 3x3 convolution.
    """

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = ConvBNAct(in_channels, width, 1)
        self.conv2 = ConvBNAct(width, width, 3, stride, dilation=dilation)
        self.conv3 = ConvBNAct(width, out_channels, 1, act=None)
        self.shortcut = _shortcut(in_channels, out_channels, stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, 4 width, H/stride, W/stride)."""
        return self.act(self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvBNAct(in_channels, out_channels, 1, stride, act=None)


class ResNet(nn.Module):
    """ResNet without its classifier.

    Where a layer keeps the stride of the one before it, the later one is keyed by the stride;
    every layer also has a name: the extras `layer1` to `layer4` that the spec does not list by
    stride.

    Args:
        depth: 18, 34, 50 or 101.
        stem: "plain" (7x7, 64 channels) or "deep" (three 3x3, 128 channels).
        strides: of layers 3 and 4.
        dilations: of the 3x3 convolutions in layers 3 and 4.
        first_dilated: whether the first block of layers 3 and 4 has the layer's dilation; False
            gives it that of the layer before.
        ceil_mode: of the max pooling.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: unknown depth or stem, or the weights do not fit.
    """

    def __init__(
        self,
        depth: int = 18,
        stem: str = "plain",
        strides: Sequence[int] = (2, 2),
        dilations: Sequence[int] = (1, 1),
        first_dilated: bool = True,
        ceil_mode: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise UserError(f"unknown ResNet depth {depth}", "choices: 18, 34, 50, 101")
        block = BasicBlock if depth < 50 else Bottleneck
        self.stem = _stem(stem)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=ceil_mode)
        channels, stride, before = 128 if stem == "deep" else 64, 4, 1
        self._keys: list[int | str] = []
        layers, found = [], []
        for index, (width, count) in enumerate(zip(_WIDTHS, _BLOCKS[depth], strict=True)):
            step = (1, 2, *strides)[index]
            dilation = (1, 1, *dilations)[index]
            blocks = []
            for position in range(count):
                first = position == 0
                own = dilation if first_dilated or not first else before
                blocks.append(block(channels, width, step if first else 1, own))
                channels = width * block.expansion
            stride, before = stride * step, dilation
            layers.append(nn.Sequential(*blocks))
            found.append((stride, channels))
        self.layers = nn.ModuleList(layers)
        # The last layer of each stride is keyed by the stride, the others keep their names.
        last = {stride: index for index, (stride, _) in enumerate(found)}
        self._keys = [s if last[s] == i else f"layer{i + 1}" for i, (s, _) in enumerate(found)]
        self.spec = FeatureSpec(
            {2: 128 if stem == "deep" else 64} | {s: found[i][1] for s, i in last.items()},
            {k: f for k, f in zip(self._keys, found, strict=True) if isinstance(k, str)},
        )
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, f"resnet{depth}")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 64, H/2, W/2), 4: ..., 8: ..., 16: ..., 32: ...}."""
        x = self.stem(image)
        features: Features = {2: x}
        x = self.pool(x)
        for key, layer in zip(self._keys, self.layers, strict=True):
            x = layer(x)
            features[key] = x
        return features


def _stem(kind: str) -> nn.Sequential:
    if kind == "plain":
        return nn.Sequential(ConvBNAct(3, 64, 7, 2))
    if kind == "deep":
        return nn.Sequential(ConvBNAct(3, 64, 3, 2), ConvBNAct(64, 64), ConvBNAct(64, 128))
    raise unknown(f"unknown stem {kind!r} of a ResNet", kind, ("plain", "deep"))
