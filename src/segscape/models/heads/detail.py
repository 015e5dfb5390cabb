"""The detail head of STDC-Seg: where the edges between the classes are.

Paper: Fan et al., Rethinking BiSeNet For Real-time Semantic Segmentation, CVPR 2021,
arXiv 2104.13188. In training it reads the encoder's feature at stride 8, so that this feature keeps
the details that BiSeNet has a branch for; its loss is `segscape.losses.detail.DetailLoss`.

The official code runs three more of them, at strides 2, 4 and 16, whose loss it never takes; they
are not here.

Size from 256 channels: 147 648 parameters, 1.208 GMACs on a 64x128 map, in training only.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, init_conv


class DetailHead(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, then a 1x1 convolution to one map, without bias.

    Args:
        in_channels: channels of the feature.
        num_classes: ignored on purpose: however many classes there are, an edge is an edge.
        mid_channels: between the two.
    """

    def __init__(self, in_channels: int, num_classes: int, mid_channels: int = 64) -> None:
        super().__init__()
        self.conv = ConvBNAct(in_channels, mid_channels, 3)
        self.edges = nn.Conv2d(mid_channels, 1, 1, bias=False)
        init_conv(self.edges)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits of edges (B, 1, h, w)."""
        return self.edges(self.conv(x))
