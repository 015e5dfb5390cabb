"""The cascade of ICNet: two fusions upwards from the context, each with its own supervision.

Paper: Zhao et al., ICNet, ECCV 2018, arXiv 1704.08545. As in liminn/ICNet-pytorch the result is
up-sampled once more before the classifier.

Cascade label guidance: auxiliary heads on the deep input of each fusion, `decoder_guide_8` and
`decoder_guide_16`. A fusion that gives a view of its deep input (`GuidedFusion`, CFF does) is
asked for it; with any other fusion the guide is the deep input unchanged. It is not resized
first: the logits are, and a 1x1 classifier gives the same before a bilinear resize as after it.

All of its weights are in its fusions. Whole networks with 19 classes, without auxiliary heads:
icnet_resnet50 26 244 512 parameters, 28.508 GMACs at 512x1024; icnet_resnet18 12 119 072 and
16.445. (liminn's file also holds the 2 049 000 parameters of the ResNet's ImageNet classifier.)
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.fusions.cff import GuidedFusion
from segscape.models.layers import resize, size_of


class Cascade(nn.Module):
    """Fuse the context with stride 16, the result with stride 8, up-sample to stride 4.

    Args:
        spec: of the encoder.
        context_channels: channels of the context, at the encoder's deepest stride.
        fusion: makes the fusion of one level from (low, high, out) channels.
        channels: of all outputs.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (8, 16)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        channels: int = 128,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder cascade")
        # Finest first, like `requires`.
        highs = {8: (16, channels), 16: (spec.deepest, context_channels)}
        self.fusions = nn.ModuleList(
            [fusion(spec.channels[s], highs[s][1], channels) for s in self.requires]
        )
        self.spec = FeatureSpec(
            {4: channels, 8: channels, 16: channels},
            {
                f"guide_{s}": (s, f.guide_channels) if isinstance(f, GuidedFusion) else highs[s]
                for s, f in zip(self.requires, self.fusions, strict=True)
            },
        )

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride and the context -> {4: ..., 8: ..., 16: ..., "guide_8": ..., ...}."""
        x16, guide_16 = _fuse(self.fusions[1], features[16], context)
        x8, guide_8 = _fuse(self.fusions[0], features[8], x16)
        height, width = size_of(x8)
        x4 = resize(x8, (2 * height, 2 * width), align_corners=True)
        return {4: x4, 8: x8, 16: x16, "guide_8": guide_8, "guide_16": guide_16}


def _fuse(fusion: nn.Module, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The fused feature, and the guide for an auxiliary head."""
    if isinstance(fusion, GuidedFusion):
        return fusion.guided(low, high)
    return fusion(low, high), high
