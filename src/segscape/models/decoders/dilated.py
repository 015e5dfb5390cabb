"""No decoder: a dilated encoder is fine enough, and its context goes straight to the head.

Papers: Yu et al., Dilated Residual Networks, CVPR 2017, arXiv 1705.09914; it stands under PSPNet
(Zhao et al., CVPR 2017, arXiv 1612.01105) and under the FCN with a ResNet (torchvision's; an FCN
only by name, without the skips of arXiv 1411.4038). The encoder keeps stride 8 by dilation
(`encoder=resnet50_dilated`, or `encoder.strides` and `encoder.dilations` of another ResNet); with
an encoder that strides further the logits are as coarse as its deepest feature.

Without parameters. Whole networks with 19 classes, without auxiliary heads: PSPNet-50 46 715 347
parameters, 363.777 GMACs at 713x713; FCN with ResNet-50 32 955 987 and 276.728 at 512x1024.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory


class Dilated(nn.Module):
    """Pass the context on, at the encoder's deepest stride.

    Args:
        spec: of the encoder; any.
        context_channels: channels of the context.
        fusion: not used.
    """

    requires: tuple[int, ...] = ()
    uses: frozenset[str] = frozenset({"context"})

    def __init__(
        self, spec: FeatureSpec, context_channels: int, fusion: FusionFactory | None = None
    ) -> None:
        super().__init__()
        self.spec = FeatureSpec({spec.deepest: context_channels})
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor) -> Features:
        """The context (B, C, H/s, W/s) -> {s: (B, C, H/s, W/s)}."""
        return {self.spec.deepest: context}
