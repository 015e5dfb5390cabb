"""ARM: attention refinement and a global average, the end of BiSeNet's context path.

Paper: Yu et al., BiSeNet, ECCV 2018, arXiv 1808.00897. STDC-Seg (arXiv 2104.13188) has the same.
The refined feature is `f * sigmoid(BN(conv1x1(mean(f))))` with `f = ReLU(BN(conv3x3(x)))`; the
projected global average of x is added to it.

Differences between the public implementations: none in the arithmetic. The paper draws the global
average as an up-sampling; a map of 1x1 up-sampled is a broadcast.

Size at 512 channels: 672 512 parameters, 0.302 GMACs on a 16x32 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct


class AttentionRefinement(nn.Module):
    """3x3 convolution, then one weight per channel from the global average.

    In training it needs more than one image per device: its BatchNorm normalises 1x1 maps.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = ConvBNAct(in_channels, out_channels, 3)
        self.attention = ConvBNAct(out_channels, out_channels, 1, act=nn.Sigmoid)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        x = self.conv(x)
        return x * self.attention(x.mean((2, 3), keepdim=True))


class ARM(nn.Module):
    """Refine the deepest feature and add its projected global average.

    In training it needs more than one image per device: its BatchNorms see 1x1 maps.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int = 128) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.refine = AttentionRefinement(in_channels, out_channels)
        self.average = ConvBNAct(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        return self.refine(x) + self.average(x.mean((2, 3), keepdim=True))
