"""The pyramid of FaPN: fusions that read the encoder's features themselves.

Paper: Huang et al., FaPN: Feature-aligned Pyramid Network for Dense Image Prediction, ICCV 2021,
arXiv 2108.07058, as in EMI-Group/FaPN: no laterals (the fusion selects from the raw feature), one
3x3 output convolution per fused level and none on the deepest, all convolutions with bias and
without normalisation. Published with `fusion=fapn` and 256 channels.

The code has FaPN as a backbone of PointRend; the real-time network of the paper (ResNet-18, a
light head) was not released. Here the levels are resized to stride 4 and added, as the semantic
head of Panoptic FPN (arXiv 1901.02446) does after its convolutions, and a small head follows.

Size at 128 channels over ResNet-18, without fusions: 508 416 parameters, 6.375 GMACs at 512x1024
(height x width); the whole network of that size has 13 191 560 and 46.704. The paper gives 12.6 M
for its own.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import init_conv, resize, size_of

_STRIDES = (4, 8, 16)


class FaPN(nn.Module):
    """Fuse from deep to shallow at strides 16, 8 and 4, convolve each, add all at stride 4.

    Outputs: stride 4 is the sum, strides 8, 16 and the deepest of the encoder the levels alone.

    Args:
        spec: of the encoder.
        context_channels: channels of the context; `context=identity` is published.
        fusion: makes the fusion of one level from (low, high, out) channels.
        width: channels of every level.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = _STRIDES
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        width: int = 128,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder fapn")
        self._deepest = spec.deepest
        self.spec = FeatureSpec(dict.fromkeys((*_STRIDES, spec.deepest), width))
        self.top = nn.Conv2d(context_channels, width, 1)
        init_conv(self.top)
        # Finest first, like `requires`.
        self.fusions = nn.ModuleList(
            [fusion(spec.channels[stride], width, width) for stride in _STRIDES]
        )
        self.outputs = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in _STRIDES])
        for output in self.outputs:
            assert isinstance(output, nn.Conv2d)
            init_conv(output)

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride and the context (B, C, h, w) -> {4: (B, width, H/4, W/4), ...}."""
        top = self.top(context)
        high = top
        levels: Features = {}
        for index in reversed(range(len(_STRIDES))):
            high = self.fusions[index](features[_STRIDES[index]], high)
            levels[_STRIDES[index]] = self.outputs[index](high)
        total = levels[4]
        for level in (levels[8], levels[16], top):
            total = total + resize(level, size_of(total))
        # In this order: if the encoder ends at stride 16, the fused level replaces the context.
        return {self._deepest: top, **levels, 4: total}
