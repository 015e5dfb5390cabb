"""ESPNet's decoder: maps of class scores, doubled by transposed convolutions.

Paper: Mehta et al., ESPNet, ECCV 2018, arXiv 1803.06815 (figure 4, ESPNet). The deepest feature is
classified at once, and what is doubled and merged with the finer levels has one channel for each
class: light, and no head is left (`head=scores`). The last layer doubles to the size of the image.

Size for ESPNet's encoder at 512x1024 (height x width): 10 188 parameters and 0.623 GMACs with 12
outputs, 20 780 and 1.352 with 20. Whole networks with 20: p=2, q=8 365 109 and 4.780, q=5 267 957
and 3.994, q=3 203 189 and 3.470.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.encoders.espnet import ESP, NormAct, conv_norm_act
from segscape.models.layers import init_conv, resize, size_of

_EPSILON = 1e-3


class ESPNetDecoder(nn.Module):
    """Classify the context, then double, merge with stride 4, double, merge with 2, double.

    With ESPNet the context is the encoder's feature at stride 8 as it is (`context=identity`).
    From an encoder whose deepest stride is another one, the scores are resized to stride 4.

    Args:
        spec: of the encoder.
        context_channels: channels of the context.
        fusion: not used, its way to merge is its own.
        num_classes: channels of the scores.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (2, 4)
    uses: frozenset[str] = frozenset({"context"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory | None,
        num_classes: int,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder espnet")
        self.spec = FeatureSpec(dict.fromkeys((1, 2, 4), num_classes))
        self.fusions = nn.ModuleList()
        self.classify = nn.Conv2d(context_channels, num_classes, 1, bias=False)
        self.norm = nn.BatchNorm2d(num_classes, eps=_EPSILON)
        self.up_4 = _double(num_classes)
        self.classify_4 = nn.Conv2d(spec.channels[4], num_classes, 1, bias=False)
        self.merge_4 = nn.Sequential(NormAct(2 * num_classes), ESP(2 * num_classes, num_classes))
        self.up_2 = nn.Sequential(_double(num_classes), NormAct(num_classes))
        self.merge_2 = conv_norm_act(num_classes + spec.channels[2], num_classes, 3)
        self.up_1 = _double(num_classes)
        init_conv(self.classify)
        init_conv(self.classify_4)

    def forward(self, features: Features, context: Tensor) -> dict[int, Tensor]:
        """Features and the context (B, C, H/8, W/8) -> {1: scores (B, classes, H, W), 2: .., 4}."""
        scores = self.up_4(self.norm(self.classify(context)))
        scores = resize(scores, size_of(features[4]), align_corners=True)
        at_4 = self.merge_4(torch.cat([self.classify_4(features[4]), scores], dim=1))
        scores = resize(self.up_2(at_4), size_of(features[2]), align_corners=True)
        at_2 = self.merge_2(torch.cat([scores, features[2]], dim=1))
        return {1: self.up_1(at_2), 2: at_2, 4: at_4}


def _double(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2, bias=False)
