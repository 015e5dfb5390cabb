"""FCN's context: the fully connected layers of VGG-16 as convolutions.

Paper: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, arXiv
1411.4038. fc6 covers 7x7 cells of stride 32 and fc7 one.

The authors pad the image by 100 pixels instead of fc6, so that it has real cells of empty image
to see beyond the border; here fc6 is padded with zeros and the map keeps its size.

Size at 512 channels: 119 545 856 parameters, 61.203 GMACs on a 16x32 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import init_conv


class FCConv(nn.Module):
    """7x7 and 1x1 convolutions with bias, each with ReLU and dropout.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: of both convolutions.
        kernel: side of the first one, odd.
        dropout: probability that a value is dropped in training.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 4096, kernel: int = 7, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.fc6 = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
        self.fc7 = nn.Conv2d(out_channels, out_channels, 1)
        self.act = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(dropout)
        init_conv(self.fc6)
        init_conv(self.fc7)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        x = self.dropout(self.act(self.fc6(x)))
        return self.dropout(self.act(self.fc7(x)))
