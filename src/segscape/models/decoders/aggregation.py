"""The deep feature aggregation of DFANet: two more sub-networks, then a light decoder.

Paper: Li et al., DFANet: Deep Feature Aggregation for Real-Time Semantic Segmentation, CVPR 2019,
arXiv 1904.02216. The encoder is the first of three sub-networks. Sub-network aggregation: each
further one starts from the context of the one before it, fused with its finest feature; this is the
fusion of the decoder. Sub-stage aggregation: each of its stages also takes the stage of the one
before it that has the same size.

The graph is that of huaifeng1993/DFANet, the most used version (the authors published none), with
its slip: the attention of the second and third sub-network go through one and the same projection
(its decoder has a `conv4` for the second, and calls `conv5` twice). It counts 2.2 M parameters and
7.6 GMACs at 1024x1024 where the paper has 7.8 M and 3.4.

Whole networks with fca, subnet_concat and 19 classes: dfanet 2 174 800 parameters, 3.784 GMACs at
512x1024; dfanet_b 1 275 304 and 2.651.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segscape.models.contexts.fca import FCA
from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.encoders.xception_a import stage
from segscape.models.layers import ConvBNAct, resize, size_of


class SubNetwork(nn.Module):
    """An encoder whose second and third stage also take those of the encoder before it.

    Args:
        in_channels: channels of the input.
        earlier: channels of the earlier encoder's features that join before stages two and three.
        widths: channels of the three stages.
    """

    def __init__(self, in_channels: int, earlier: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            [
                stage(in_channels, widths[0], 3),
                stage(widths[0] + earlier[0], widths[1], 6),
                stage(widths[1] + earlier[1], widths[2], 3),
            ]
        )
        self.attention = FCA(widths[2])

    def forward(self, x: Tensor, earlier: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Features of the three stages, each half as large as the one before, and the context."""
        x = self.stages[0](x)
        features = [x]
        for layers, joining in zip(list(self.stages)[1:], earlier, strict=True):
            x = layers(torch.cat([x, joining], dim=1))
            features.append(x)
        return features, self.attention(x)


class Aggregation(nn.Module):
    """Two further sub-networks; the finest features and the contexts of all three are summed.

    Args:
        spec: of the encoder.
        context_channels: channels of the context.
        fusion: makes the input of a sub-network from (low, high, out) channels, where out is the
            sum of low and high.
        widths: channels of the stages of the further sub-networks. XceptionA (48, 96, 192), B
            (32, 64, 128).
        channels: of the output.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (4, 8, 16)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        widths: Sequence[int] = (48, 96, 192),
        channels: int = 64,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder aggregation")
        low, *earlier = (spec.channels[stride] for stride in self.requires)
        pairs = [(low, context_channels), (widths[0], widths[2])]
        self.fusions = nn.ModuleList([fusion(low, high, low + high) for low, high in pairs])
        self.networks = nn.ModuleList(
            [
                SubNetwork(sum(pairs[0]), earlier, widths),
                SubNetwork(sum(pairs[1]), widths[1:], widths),
            ]
        )
        self.shallow = nn.ModuleList(
            [ConvBNAct(width, channels, 1) for width in (low, widths[0], widths[0])]
        )
        self.merge = ConvBNAct(channels, channels, 3, bias=True)
        # The second one serves both sub-networks, see the head of this file.
        self.deep = nn.ModuleList(
            [ConvBNAct(context_channels, channels, 1), ConvBNAct(widths[2], channels, 1)]
        )
        self.spec = FeatureSpec({4: channels})

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride and the context -> {4: (B, channels, H/4, W/4)}."""
        stages = [features[stride] for stride in self.requires]
        fine, contexts = [stages[0]], [context]
        for fusion, network in zip(self.fusions, self.networks, strict=True):
            stages, high = network(fusion(stages[0], contexts[-1]), stages[1:])
            fine.append(stages[0])
            contexts.append(high)
        size = size_of(fine[0])
        shallow = [conv(x) for conv, x in zip(self.shallow, fine, strict=True)]
        deep = [self.deep[0](contexts[0]), *(self.deep[1](x) for x in contexts[1:])]
        merged = self.merge(_sum(shallow, size))
        return {4: merged + _sum(deep, size)}


def _sum(maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Maps of any sizes, resized and added."""
    first, *others = (resize(x, size, align_corners=True) for x in maps)
    return sum(others, first)
