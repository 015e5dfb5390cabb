"""The encoder of BiSeNetV2: a detail branch beside a semantic branch.

Paper: Yu et al., BiSeNet V2: Bilateral Network with Guided Aggregation for Real-time Semantic
Segmentation, IJCV 2021, arXiv 2004.02147. The authors released no code; this follows CoinCheung's.
Against the paper's figures, as in all public implementations: a ReLU after the widening depthwise
convolution of the gather-and-expansion layers with stride 1. As in CoinCheung, the last BatchNorm
of each of these layers starts at 0, so that each starts as its shortcut.

BiSeNetV2-Large is published as "width 2.0, depth 3.0", 118.51 GMACs at 512x1024 (5.6 times those
of BiSeNetV2), without code or a definition. Read here as twice the channels everywhere, those of
context, fusion and head included, and three times the gather-and-expansion layers: 105.670 GMACs,
11 % less. (BiSeNetV2 itself has 24.603 with CoinCheung's wide head, against 21.15 published.)
Widening the semantic branch alone would give 36.5.

Size at 512x1024 (height x width): 1 514 128 parameters, 12.967 GMACs; large 15 237 920 and 59.463.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct

_EXPANSION = 6
_DETAIL, _CONVS = (64, 64, 128), (2, 3, 3)
"""Detail branch: channels and convolutions at strides 2, 4 and 8."""
_SEMANTIC, _BLOCKS = (16, 32, 64, 128), (2, 2, 4)
"""Semantic branch: channels at strides 4 (the stem), 8, 16 and 32; layers at the last three."""


class Stem(nn.Module):
    """To stride 4 in two ways, by convolution and by max pooling.

    Args:
        out_channels: channels of the output.
    """

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNAct(3, out_channels, 3, 2)
        self.left = nn.Sequential(
            ConvBNAct(out_channels, out_channels // 2, 1),
            ConvBNAct(out_channels // 2, out_channels, 3, 2),
        )
        self.right = nn.MaxPool2d(3, 2, 1)
        self.fuse = ConvBNAct(2 * out_channels, out_channels, 3)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, out_channels, H/4, W/4)."""
        x = self.conv(image)
        return self.fuse(torch.cat([self.left(x), self.right(x)], dim=1))


class GatherExpand(nn.Module):
    """Gather by 3x3, expand six times by depthwise 3x3, project by 1x1; with a shortcut.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output; the same at stride 1.
        stride: 1 or 2. At 2 there are two depthwise convolutions, and one in the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        wide = in_channels * _EXPANSION
        self.gather = ConvBNAct(in_channels, in_channels, 3)
        self.expand: nn.Module = ConvBNAct(in_channels, wide, 3, groups=in_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.expand = nn.Sequential(
                ConvBNAct(in_channels, wide, 3, 2, groups=in_channels, act=None),
                ConvBNAct(wide, wide, 3, groups=wide),
            )
            self.shortcut = nn.Sequential(
                ConvBNAct(in_channels, in_channels, 3, 2, groups=in_channels, act=None),
                ConvBNAct(in_channels, out_channels, 1, act=None),
            )
        self.project = ConvBNAct(wide, out_channels, 1, act=None)
        nn.init.zeros_(self.project.norm.weight)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        return self.act(self.project(self.expand(self.gather(x))) + self.shortcut(x))


class BiSeNetV2Encoder(nn.Module):
    """The pyramid of the semantic branch, and the extra `detail` from the detail branch.

    Args:
        width: factor of all channels.
        depth: factor of the number of gather-and-expansion layers.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: the weights do not fit.
    """

    def __init__(self, width: float = 1.0, depth: int = 1, weights: str | None = None) -> None:
        super().__init__()
        wide = [round(width * channels) for channels in _DETAIL]
        narrow = [round(width * channels) for channels in _SEMANTIC]
        self.detail: nn.Module | None = nn.Sequential(
            *(
                _detail_stage(before, after, count)
                for before, after, count in zip([3, *wide], wide, _CONVS, strict=False)
            )
        )
        self.stem = Stem(narrow[0])
        self.stages = nn.ModuleList(
            _semantic_stage(before, after, depth * count)
            for before, after, count in zip(narrow, narrow[1:], _BLOCKS, strict=False)
        )
        self.spec = FeatureSpec(
            dict(zip((4, 8, 16, 32), narrow, strict=True)), {"detail": (8, wide[-1])}
        )
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, "bisenetv2")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {4: (B, 16, H/4, W/4), ..., 32: ..., "detail": (B, 128, H/8, W/8)}."""
        x = self.stem(image)
        features: Features = {4: x}
        for stride, stage in zip((8, 16, 32), self.stages, strict=True):
            x = stage(x)
            features[stride] = x
        if self.detail is not None:
            features["detail"] = self.detail(image)
        return features

    def drop(self, name: str) -> None:
        """Take off the branch that gives `detail`."""
        assert name == "detail"
        self.detail = None
        self.spec = FeatureSpec(self.spec.channels)


def _detail_stage(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """Plain convolutions, the first one with stride 2."""
    stage = nn.Sequential(ConvBNAct(in_channels, out_channels, 3, 2))
    for _ in range(count - 1):
        stage.append(ConvBNAct(out_channels, out_channels, 3))
    return stage


def _semantic_stage(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    """Gather-and-expansion layers, the first one with stride 2."""
    stage = nn.Sequential(GatherExpand(in_channels, out_channels, 2))
    for _ in range(count - 1):
        stage.append(GatherExpand(out_channels, out_channels, 1))
    return stage
