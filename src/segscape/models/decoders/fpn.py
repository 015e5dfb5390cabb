"""FPN: the top-down pyramid decoder of SFNet, with any fusion at its levels.

Papers: Lin et al., Feature Pyramid Networks, CVPR 2017, arXiv 1612.03144; in this form Li et al.,
Semantic Flow for Fast and Accurate Scene Parsing (SFNet), ECCV 2020, arXiv 2002.10120, as in
lxtGH/SFSegNets: laterals with bias, BatchNorm and ReLU, one fusion per level, then all levels
resized to the finest one and joined. `fusion=flow_align` is SFNet; its sum of lateral and warped
feature belongs to the fusion here.

A context of other than `width` channels gets a 1x1 convolution; SFNet's has `width`.

Size at 128 channels over ResNet-18, without context and fusions: 1 091 712 parameters, 26.139 GMACs
at 512x1024 (height x width). SFNet with ResNet-18 as a whole has 12 869 715 and 60.744.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import ConvBNAct, resize, size_of
from segscape.models.projection import projection

_STRIDES = (4, 8, 16)


class FPN(nn.Module):
    """Fuse from deep to shallow at strides 16, 8 and 4, then join all levels at stride 4.

    Outputs: stride 4 is the joined map, strides 8 and 16 are the fused maps of these levels, the
    extra `fused4` is that of stride 4, the deepest stride of the encoder is the context. SFNet's
    auxiliary heads read the three fused maps.

    Args:
        spec: of the encoder.
        context_channels: channels of the context.
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
        spec.require(self.requires, "decoder fpn")
        self._deepest = spec.deepest
        outputs = dict.fromkeys((*_STRIDES, spec.deepest), width)
        self.spec = FeatureSpec(outputs, {"fused4": (4, width)})
        self.top = projection(context_channels, width)
        # Finest first, like `requires`.
        self.laterals = nn.ModuleList(
            [ConvBNAct(spec.channels[stride], width, 1, bias=True) for stride in _STRIDES]
        )
        self.fusions = nn.ModuleList([fusion(width, width, width) for _ in _STRIDES])
        self.outputs = nn.ModuleList([ConvBNAct(width, width, 3) for _ in _STRIDES])
        self.join = ConvBNAct((len(_STRIDES) + 1) * width, width, 3)

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride and the context (B, C, h, w) -> {4: (B, width, H/4, W/4), ...}."""
        top = self.top(context)
        high = top
        fused: Features = {}
        for index in reversed(range(len(_STRIDES))):
            stride = _STRIDES[index]
            high = self.fusions[index](self.laterals[index](features[stride]), high)
            fused[stride] = high
        levels = [
            output(fused[stride]) for stride, output in zip(_STRIDES, self.outputs, strict=True)
        ]
        size = size_of(levels[0])
        resized = [resize(x, size, align_corners=True) for x in (*levels, top)]
        joined = self.join(torch.cat(resized, dim=1))
        # In this order: if the encoder ends at stride 16, the fused map replaces the context.
        return {self._deepest: top, **fused, "fused4": fused[4], 4: joined}
