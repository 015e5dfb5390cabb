"""ESPNetV2's decoder: efficient pyramid pooling at every level, ending in class scores.

Paper: Mehta et al., ESPNetv2, CVPR 2019, arXiv 1811.11431; the graph is that of the authors'
EdgeNets, which has a lighter decoder than the paper (its efficient pyramid pooling is that of
DiCENet, arXiv 1906.03516). The width inside the poolings is half the number of classes, 16 at the
most, so the classes are known to the decoder and no head is left (`head=scores`).

Whole networks with 20 outputs at 512x1024 (height x width): s = 0.5 80 230 parameters and 0.596
GMACs, 1.0 233 786 and 1.085, 1.25 342 818 and 1.409, 1.5 468 010 and 1.713, 2.0 788 762 and 2.698.
(EdgeNets has 112 to 480 parameters more, PReLUs that its forward passes by.)
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.encoders.espnet import NormAct
from segscape.models.layers import ConvBNAct, init_conv, resize, size_of

_SCALES = (2.0, 1.5, 1.0, 0.5, 0.1)
_SMALLEST = 5
"""Side that a scale does not go below, pixels."""


class EfficientPyramidPooling(nn.Module):
    """Depthwise convolutions of the same map at five sizes, brought back and mixed.

    Args:
        in_channels: channels of the input.
        width: channels at each of the sizes.
        out_channels: channels of the output.
        last: whether the output is one of scores: a bias, no BatchNorm and no PReLU.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int, last: bool = False) -> None:
        super().__init__()
        joined = width * len(_SCALES)
        self.project = ConvBNAct(in_channels, width, 1, act=nn.PReLU(width))
        self.scales = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False) for _ in _SCALES
        )
        self.joined = NormAct(joined, eps=1e-5)
        self.shuffle = nn.ChannelShuffle(len(_SCALES))
        self.mix = ConvBNAct(joined, width, 3, groups=width, act=nn.PReLU(width))
        self.classify = nn.Conv2d(width, out_channels, 1, bias=last)
        self.out = nn.Identity() if last else NormAct(out_channels, eps=1e-5)
        for conv in (*self.scales, self.classify):
            assert isinstance(conv, nn.Conv2d)
            init_conv(conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        x = self.project(x)
        levels = [
            self._at(scale, conv, x) for scale, conv in zip(_SCALES, self.scales, strict=True)
        ]
        # Shuffled, each group of the next convolution sees one channel at all five sizes.
        mixed = self.mix(self.shuffle(self.joined(torch.cat(levels, dim=1))))
        return self.out(self.classify(mixed))

    @staticmethod
    def _at(scale: float, conv: nn.Module, x: Tensor) -> Tensor:
        height, width = (max(math.ceil(side * scale), _SMALLEST) for side in size_of(x))
        if scale == 1.0:
            return conv(x)
        if scale < 1.0:
            small = conv(F.adaptive_avg_pool2d(x, (height, width)))
            return resize(small, size_of(x), align_corners=True)
        large = conv(resize(x, (height, width), align_corners=True))
        return F.adaptive_avg_pool2d(large, size_of(x))


class PyramidRefinement(nn.Module):
    """Pool the context, then at strides 8, 4 and 2: fuse with the encoder, pool.

    With ESPNetV2 the context is the encoder's feature at stride 16 as it is
    (`context=identity`), and the fusion is `efficient_pointwise`.

    Args:
        spec: of the encoder.
        context_channels: channels of the context.
        fusion: makes the fusion of one level from (low, high, out) channels.
        num_classes: channels of the scores.
        base: the levels have 4, 3 and 2 times as many channels; also the largest width inside.
            The authors have 16, for COCO 32.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (2, 4, 8)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        num_classes: int,
        base: int = 16,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder pyramid_refinement")
        self.spec = FeatureSpec({2: num_classes, 4: 2 * base, 8: 3 * base})
        width = max(min(num_classes // 2, base), 1)
        # Deepest first.
        self.pools = nn.ModuleList(
            [
                EfficientPyramidPooling(context_channels, width, 4 * base),
                EfficientPyramidPooling(4 * base, width, 3 * base),
                EfficientPyramidPooling(3 * base, width, 2 * base),
                EfficientPyramidPooling(2 * base, width, num_classes, last=True),
            ]
        )
        # Finest first, like `requires`.
        self.fusions = nn.ModuleList(
            fusion(spec.channels[stride], times * base, times * base)
            for stride, times in zip(self.requires, (2, 3, 4), strict=True)
        )

    def forward(self, features: Features, context: Tensor) -> dict[int, Tensor]:
        """Features and the context (B, C, H/16, W/16) -> {2: scores (B, classes, ..), 4: .., 8}."""
        outputs: dict[int, Tensor] = {}
        first, *others = self.pools
        x = first(context)
        levels = zip(self.requires[::-1], list(self.fusions)[::-1], others, strict=True)
        for stride, fusion, pool in levels:
            x = pool(fusion(features[stride], x))
            outputs[stride] = x
        return dict(sorted(outputs.items()))
