"""The head of FCNs with a dilated ResNet, which is also the auxiliary head of PSPNet.

Papers: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, arXiv
1411.4038, for the name; the head is torchvision's, which the paper does not have. PSPNet (Zhao et
al., CVPR 2017, arXiv 1612.01105) has the same layers on its third ResNet layer; its dropout takes
whole maps where torchvision's takes single values.

Size from 2048 channels to 19 classes: 9 447 955 parameters, 77.389 GMACs on a 64x128 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, init_conv


class FCNHead(nn.Module):
    """3x3 convolution to a quarter of the channels, BatchNorm, ReLU, dropout, 1x1 classifier.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        mid_channels: between the two convolutions; default `in_channels / 4`.
        dropout: probability.
        whole_maps: drop whole channels (PSPNet) or single values (torchvision).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        mid_channels: int | None = None,
        dropout: float = 0.1,
        whole_maps: bool = False,
    ) -> None:
        super().__init__()
        mid = max(in_channels // 4, 1) if mid_channels is None else mid_channels
        self.conv = ConvBNAct(in_channels, mid, 3)
        self.dropout = nn.Dropout2d(dropout) if whole_maps else nn.Dropout(dropout)
        self.classifier = nn.Conv2d(mid, num_classes, 1)
        init_conv(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(self.dropout(self.conv(x)))
