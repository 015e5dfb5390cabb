"""FLD: the Flexible and Lightweight Decoder of PP-LiteSeg.

Paper: Peng et al., PP-LiteSeg, arXiv 2204.02681: a decoder that gets narrower towards the fine
levels, where every channel costs the most. As in PaddleSeg there are three fusions, the first
one at stride 32 itself (the paper's figure shows two).

All of its weights are in its fusions. Whole networks with STDC, SPPM, spatial UAFM and 19 classes,
without auxiliary heads: PP-LiteSeg-T 8 028 320 parameters, 11.421 GMACs at 512x1024; -B 12 234 752
and 19.228. (PaddleSeg has three parameters more, the constant `_scale` of each UAFM.)
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory


class FLD(nn.Module):
    """Fuse from deep to shallow at strides 32, 16 and 8.

    Args:
        spec: of the encoder.
        context_channels: channels of the context, at the encoder's stride 32.
        fusion: makes the fusion of one level from (low, high, out) channels.
        widths: channels at strides 8, 16 and 32. PP-LiteSeg-T (32, 64, 128), -B (64, 96, 128).

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (8, 16, 32)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        widths: Sequence[int] = (32, 64, 128),
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder fld")
        self.spec = FeatureSpec(dict(zip(self.requires, widths, strict=True)))
        highs = [*widths[1:], context_channels]
        # Finest first, like `requires`.
        self.fusions = nn.ModuleList(
            [
                fusion(spec.channels[stride], high, width)
                for stride, high, width in zip(self.requires, highs, widths, strict=True)
            ]
        )

    def forward(self, features: Features, context: Tensor) -> dict[int, Tensor]:
        """Features by stride and the context (B, C, H/32, W/32) -> {8: ..., 16: ..., 32: ...}."""
        outputs: dict[int, Tensor] = {}
        high = context
        for stride, fusion in zip(self.requires[::-1], list(self.fusions)[::-1], strict=True):
            high = fusion(features[stride], high)
            outputs[stride] = high
        return dict(sorted(outputs.items()))
