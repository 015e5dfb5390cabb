"""The segmentation head of PP-LiteSeg (arXiv 2204.02681), as in PaddleSeg.

No dropout. Size from 32 channels to 19 classes: 9 888 parameters, 0.080 GMACs on a 64x128 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct


class SegHead(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, then a 1x1 classifier without bias.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        mid_channels: between the two; default min(in_channels, 64), which gives the published
            widths of PP-LiteSeg-T (32, 64, 64) and -B (64, 64, 64).
    """

    def __init__(self, in_channels: int, num_classes: int, mid_channels: int | None = None) -> None:
        super().__init__()
        mid = min(in_channels, 64) if mid_channels is None else mid_channels
        self.conv = ConvBNAct(in_channels, mid, 3)
        self.classifier = nn.Conv2d(mid, num_classes, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(self.conv(x))
