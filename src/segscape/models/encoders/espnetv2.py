"""ESPNetV2's encoder: spatial pyramids of depthwise dilated convolutions.

Paper: Mehta et al., ESPNetv2: A Light-weight, Power Efficient, and General Purpose Convolutional
Neural Network, CVPR 2019, arXiv 1811.11431; built as in the authors' later code, EdgeNets, which
their segmentation weights belong to. The image, pooled to the size, is added to the output of
every block that halves it ("input reinforcement").

For segmentation the authors drop the level at stride 32. It is a choice here (`deepest=32`), for
decoders that read it; without the layers that only the ImageNet classifier has.

Size at 512x1024 (height x width): s = 0.5 62 242 parameters and 0.222 GMACs, 1.0 206 934 and
0.675, 1.25 310 350 and 0.969, 1.5 434 534 and 1.324, 2.0 745 206 and 2.217.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.espnet import NormAct
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct, init_conv

_CHANNELS = {
    0.5: (16, 32, 64, 128, 256),
    1.0: (32, 64, 128, 256, 512),
    1.25: (32, 80, 160, 320, 640),
    1.5: (32, 96, 192, 384, 768),
    2.0: (32, 128, 256, 512, 1024),
}
"""Channels at strides 2 to 32 by the width s."""

_BRANCHES = 4
_BLOCKS = {4: 0, 8: 3, 16: 7, 32: 3}
"""Blocks behind the one that halves the size, by stride."""
_FIELDS = {4: (13, 0), 8: (11, 9), 16: (9, 7), 32: (7, 5)}
"""Largest side of a branch's field by stride: of the block that halves, and of the others."""


class EESP(nn.Module):
    """Reduce, four depthwise dilated convolutions side by side, their running sums, expand.

    The 1x1 convolutions are in four groups. A branch that would see more than `field` is not
    dilated.

    Args:
        in_channels: channels of the input, divisible by 4.
        out_channels: channels of the output, divisible by 4.
        field: largest side of a branch's receptive field, pixels.
        stride: of the depthwise convolutions. At stride 1 the input is added, if it has
            `out_channels`, and a PReLU follows; at stride 2 neither.
    """

    def __init__(self, in_channels: int, out_channels: int, field: int, stride: int = 1) -> None:
        super().__init__()
        width = out_channels // _BRANCHES
        sides = (3 + 2 * index for index in range(_BRANCHES))
        dilations = sorted((side if side <= field else 3) // 2 for side in sides)
        act = nn.PReLU(width)
        self.reduce = ConvBNAct(in_channels, width, 1, groups=_BRANCHES, act=act)
        self.branches = nn.ModuleList(
            nn.Conv2d(width, width, 3, stride, d, dilation=d, groups=width, bias=False)
            for d in dilations
        )
        self.joined = NormAct(out_channels, eps=1e-5)
        self.expand = ConvBNAct(out_channels, out_channels, 1, groups=_BRANCHES, act=None)
        self.residual = stride == 1 and in_channels == out_channels
        self.act = nn.PReLU(out_channels) if stride == 1 else nn.Identity()
        for conv in self.branches:
            assert isinstance(conv, nn.Conv2d)
            init_conv(conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        reduced = self.reduce(x)
        outputs = [self.branches[0](reduced)]
        for branch in list(self.branches)[1:]:
            outputs.append(outputs[-1] + branch(reduced))
        y = self.expand(self.joined(torch.cat(outputs, dim=1)))
        return self.act(x + y if self.residual else y)


class Down(nn.Module):
    """Halve the size: pooled input beside an EESP, and the image on top.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, more than `in_channels`.
        field: of the EESP.
        reinforce: whether the pooled image is added.
    """

    def __init__(
        self, in_channels: int, out_channels: int, field: int, reinforce: bool = True
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.eesp = EESP(in_channels, out_channels - in_channels, field, stride=2)
        self.reinforce: nn.Sequential | None = None
        if reinforce:
            self.reinforce = nn.Sequential(
                ConvBNAct(3, 3, 3, act=nn.PReLU(3)), ConvBNAct(3, out_channels, 1, act=None)
            )
        self.act = nn.PReLU(out_channels)

    def forward(self, x: Tensor, image: Tensor) -> Tensor:
        """(B, in, H, W) and the image at half of that -> (B, out, H/2, W/2)."""
        y = torch.cat([self.pool(x), self.eesp(x)], dim=1)
        return self.act(y if self.reinforce is None else y + self.reinforce(image))


class ESPNetV2(nn.Module):
    """ESPNetV2 without its classifier.

    Args:
        s: width: 0.5, 1.0, 1.25, 1.5 or 2.0.
        deepest: stride of the last level, 16 as for segmentation or 32.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: unknown width or stride, or the weights do not fit.
    """

    def __init__(self, s: float = 1.0, deepest: int = 16, weights: str | None = None) -> None:
        super().__init__()
        if s not in _CHANNELS:
            names = ", ".join(map(str, _CHANNELS))
            raise UserError(f"unknown width s={s} of ESPNetV2", f"choices: {names}")
        if deepest not in (16, 32):
            raise UserError(f"ESPNetV2 has no stride {deepest} to end at", "choices: 16, 32")
        channels = {2 << i: width for i, width in enumerate(_CHANNELS[s]) if 2 << i <= deepest}
        self.spec = FeatureSpec(channels)
        # Any size: convolutions and poolings round up alike.
        self.multiple = 1
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.stem = ConvBNAct(3, channels[2], 3, 2, act=nn.PReLU(channels[2]))
        self.downs = nn.ModuleList()
        self.stages = nn.ModuleList()
        for stride in self.spec.strides[1:]:
            width, (first, others) = channels[stride], _FIELDS[stride]
            self.downs.append(Down(channels[stride // 2], width, first, reinforce=stride < 32))
            blocks = (EESP(width, width, others) for _ in range(_BLOCKS[stride]))
            self.stages.append(nn.Sequential(*blocks))
        if weights is not None:
            load_local(self, weights, f"espnetv2_s{s}")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, c, H/2, W/2), 4: ..., 8: ..., 16: ...}."""
        x = self.stem(image)
        features: Features = {2: x}
        small = self.pool(image)
        for stride, down, stage in zip(self.spec.strides[1:], self.downs, self.stages, strict=True):
            small = self.pool(small)
            x = stage(down(x, small))
            features[stride] = x
        return features
