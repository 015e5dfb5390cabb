"""The classifier of AFFormer: pointwise layers only.

Paper: Dong et al., Head-Free Lightweight Semantic Segmentation with Linear Transformer,
AAAI 2023, arXiv 2301.04648. The official class also builds a second convolution with GroupNorm
(`align`, 66 048 parameters) that no input ever reaches; it is left out here.

Size from 216 channels to 19 classes: 60 691 parameters, 0.493 GMACs on a 64x128 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.layers import init_conv


class AFFormerHead(nn.Module):
    """1x1 convolution, GroupNorm, ReLU, dropout of whole channels, 1x1 classifier.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        mid_channels: between the two, a multiple of `groups`.
        groups: of the GroupNorm.
        dropout: probability.

    Raises:
        UserError: channels that the groups do not divide.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        mid_channels: int = 256,
        groups: int = 32,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if mid_channels % groups:
            raise UserError(
                f"head.mid_channels={mid_channels}", f"it must be a multiple of {groups} (groups)"
            )
        self.conv = nn.Conv2d(in_channels, mid_channels, 1, bias=False)
        self.norm = nn.GroupNorm(groups, mid_channels)
        self.act = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(mid_channels, num_classes, 1)
        init_conv(self.conv)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        assert self.classifier.bias is not None
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(self.dropout(self.act(self.norm(self.conv(x)))))
