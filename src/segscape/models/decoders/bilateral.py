"""The decoder of BiSeNetV2: details and context meet once.

Paper: Yu et al., BiSeNet V2, IJCV 2021, arXiv 2004.02147. All of its weights are in its fusion,
which is the guided aggregation (`fusion=bga`) in the paper and may be any here.

Size with `fusion=bga` in BiSeNetV2: 478 720 parameters, 1.738 GMACs at 512x1024 (height x width).
BiSeNetV2 as a whole has 3 358 627 and 24.603.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory


class Bilateral(nn.Module):
    """Fuse the encoder's extra `detail` (low) with the context (high).

    Args:
        spec: of the encoder.
        context_channels: channels of the context, at the encoder's deepest stride.
        fusion: makes the fusion from (low, high, out) channels.
        out_channels: channels of the fusion's result.

    Raises:
        UserError: the encoder has no extra `detail`.
    """

    requires: tuple[int, ...] = ()
    extras: tuple[str, ...] = ("detail",)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        out_channels: int = 128,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder bilateral", self.extras)
        stride, channels = spec.extras["detail"]
        self.spec = FeatureSpec({stride: out_channels})
        self.fusions = nn.ModuleList([fusion(channels, context_channels, out_channels)])

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features and context (B, C, H/32, W/32) -> {8: (B, out_channels, H/8, W/8)}."""
        return {self.spec.strides[0]: self.fusions[0](features["detail"], context)}
