"""FCA: the fully-connected attention of DFANet.

Paper: Li et al., DFANet, CVPR 2019, arXiv 1904.02216: the encoder's ImageNet classifier is kept
and turned into one weight per channel. As in huaifeng1993/DFANet its second layer is linear with a
sigmoid behind it (the paper's figure: a 1x1 convolution with BatchNorm and ReLU).

Size at 192 channels: 384 000 parameters, 0.0004 GMACs at any size of the map.
"""

from __future__ import annotations

from torch import Tensor, nn


class FCA(nn.Module):
    """Mean over the pixels, two linear layers, sigmoid; multiply the channels by it.

    Args:
        in_channels: channels of the deepest feature.
        hidden: width between the two layers: the number of ImageNet's classes.
    """

    def __init__(self, in_channels: int, hidden: int = 1000) -> None:
        super().__init__()
        self.out_channels = in_channels
        self.weights = nn.Sequential(
            nn.Linear(in_channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, in_channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, in_channels, h, w)."""
        return x * self.weights(x.mean((2, 3)))[:, :, None, None]
