"""A 3x3 convolution and a classifier: SFNet's auxiliary heads and both heads of AlignSeg.

SFNet (arXiv 2002.10120): ReLU. AlignSeg (arXiv 2003.00872): leaky ReLU, as its normalisation
layers have it. The convolution has a bias although BatchNorm follows, as in both codes.

Size from 128 channels to 19 classes: 150 291 parameters, 1.228 GMACs on a 64x128 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct


class ConvHead(nn.Module):
    """3x3 convolution, BatchNorm, (leaky) ReLU, dropout of channels, 1x1 classifier with bias.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        mid_channels: between the two; default `in_channels`.
        dropout: probability that a channel is dropped in training.
        slope: of the ReLU below zero.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        mid_channels: int | None = None,
        dropout: float = 0.1,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        mid = mid_channels or in_channels
        act = nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU
        self.conv = ConvBNAct(in_channels, mid, 3, bias=True, act=act)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.classifier = nn.Conv2d(mid, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(self.dropout(self.conv(x)))
