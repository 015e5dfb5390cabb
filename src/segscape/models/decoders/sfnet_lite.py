"""The decoder of SFNet-Lite: one fusion, from the context straight to the finest level.

Paper: Li et al., SFNet: Faster, Accurate, and Domain Agnostic Semantic Segmentation via Semantic
Flow, IJCV 2023, arXiv 2207.04415, as in lxtGH/SFSegNets (head type "v2"). Published with
`fusion=flow_align_gated`. That code also builds a lateral of the deepest level and an auxiliary
head that its forward never calls: 65 920 and 150 291 parameters for ResNet-18, not here.

Size at 128 channels over ResNet-18, without context and fusion: 336 896 parameters, 9.999 GMACs
at 512x1024 (height x width). SFNet-Lite with ResNet-18 as a whole has 12 079 863 and 44.489.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import ConvBNAct, resize, size_of
from segscape.models.projection import projection


class SFNetLite(nn.Module):
    """Fuse stride 4 with the context, add stride 16 by concatenation, convolve.

    Outputs: stride 4 is the result, stride 16 the lateral of that level, the deepest stride of the
    encoder the context.

    Args:
        spec: of the encoder.
        context_channels: channels of the context.
        fusion: makes the fusion from (low, high, out) channels.
        width: channels throughout.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (4, 16)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        width: int = 128,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder sfnet_lite")
        self._deepest = spec.deepest
        self.spec = FeatureSpec(dict.fromkeys((4, 16, spec.deepest), width))
        self.top = projection(context_channels, width)
        self.lateral4 = ConvBNAct(spec.channels[4], width, 1, bias=True)
        self.lateral16 = ConvBNAct(spec.channels[16], width, 1, bias=True)
        self.fusions = nn.ModuleList([fusion(width, width, width)])
        self.join = ConvBNAct(2 * width, width, 3)

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride and the context (B, C, h, w) -> {4: (B, width, H/4, W/4), ...}."""
        middle = self.lateral16(features[16])
        top = self.top(context)
        fused = self.fusions[0](self.lateral4(features[4]), top)
        resized = resize(middle, size_of(fused), align_corners=True)
        return {self._deepest: top, 16: middle, 4: self.join(torch.cat([fused, resized], dim=1))}
