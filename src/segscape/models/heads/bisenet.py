"""The heads of BiSeNet, BiSeNetV2 and, in training, of BiSeNetV2's semantic branch.

Papers: Yu et al., BiSeNet, ECCV 2018, arXiv 1808.00897; BiSeNetV2, IJCV 2021, arXiv 2004.02147.
Both follow CoinCheung's implementation: the classifier has a bias. The papers leave the width
open; CoinCheung has 256 channels in BiSeNet and 1024 in BiSeNetV2, which is more than a third of
the work of that network.

Size of the 1024 channels, from 128 channels to 19 classes: 1 201 171 parameters, 9.823 GMACs on a
64x128 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, init_conv


class BiSeNetHead(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, dropout, then a 1x1 classifier with bias.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        mid_channels: between the two. BiSeNet 256 (its auxiliary heads 64), BiSeNetV2 1024.
        dropout: probability that a value is dropped in training. BiSeNet 0, BiSeNetV2 0.1.
    """

    def __init__(
        self, in_channels: int, num_classes: int, mid_channels: int = 256, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.conv = ConvBNAct(in_channels, mid_channels, 3)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(mid_channels, num_classes, 1)
        init_conv(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(self.dropout(self.conv(x)))


class BoosterHead(nn.Module):
    """Auxiliary head of BiSeNetV2 ("booster"): as above, but classified at twice the size.

    The feature is enlarged twice by repetition, and as many channels classified as one of its
    pixels covers in the image: stride 4 has 16, stride 32 has 1024.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        classified: channels that the classifier reads.
        mid_channels: of the convolution before the enlargement.
        dropout: probability that a value is dropped in training.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        classified: int,
        mid_channels: int = 128,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.conv = ConvBNAct(in_channels, mid_channels, 3)
        self.dropout = nn.Dropout(dropout)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.widen = ConvBNAct(mid_channels, classified, 3)
        self.classifier = nn.Conv2d(classified, num_classes, 1)
        init_conv(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, 2h, 2w)."""
        return self.classifier(self.widen(self.enlarge(self.dropout(self.conv(x)))))
