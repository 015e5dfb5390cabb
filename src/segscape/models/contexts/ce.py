"""CE: the Context Embedding block at the end of BiSeNetV2's semantic branch.

Paper: Yu et al., BiSeNet V2, IJCV 2021, arXiv 2004.02147. The projected global average is added
to the feature, then a 3x3 convolution follows.

As in CoinCheung and mmsegmentation, BatchNorm and ReLU follow that convolution; in the paper and in
PaddleSeg it is a plain one with bias.

Size at 128 channels: 164 608 parameters, 0.076 GMACs on a 16x32 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct


class CE(nn.Module):
    """Add the projected global average, convolve.

    In training it needs more than one image per device: its BatchNorms see 1x1 maps.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int = 128) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.norm = nn.BatchNorm2d(in_channels)
        self.average = ConvBNAct(in_channels, in_channels, 1)
        self.out = ConvBNAct(in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        return self.out(x + self.average(self.norm(x.mean((2, 3), keepdim=True))))
