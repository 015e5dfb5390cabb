"""No decoder: one feature of the encoder goes to the head as it is.

Paper: Dong et al., Head-Free Lightweight Semantic Segmentation with Linear Transformer,
AAAI 2023, arXiv 2301.04648. AFFormer calls its classifier on stride 8 "head-free"; with other
encoders this is the plainest baseline, and what a decoder gains can be read against it.

Size: no parameters, no multiply-adds.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec


class HeadFree(nn.Module):
    """Hand out the encoder's feature of one stride.

    Args:
        spec: of the encoder.
        context_channels: not used.
        fusion: not used.
        stride: of the feature.

    Raises:
        UserError: the encoder lacks the stride.
    """

    requires: tuple[int, ...] = (8,)
    uses: frozenset[str] = frozenset()

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int = 0,
        fusion: object = None,
        stride: int = 8,
    ) -> None:
        super().__init__()
        self.requires = (stride,)
        spec.require(self.requires, "decoder head_free")
        self.spec = FeatureSpec({stride: spec.channels[stride]})
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor | None = None) -> Features:
        """Features by stride -> {stride: (B, C, H/stride, W/stride)}."""
        return {stride: features[stride] for stride in self.requires}
