"""ASPP: the Atrous Spatial Pyramid Pooling of DeepLabV3.

Paper: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, arXiv 1706.05587.

Differences: 128 channels (theirs 256), and no dropout (torchvision's and
segmentation-models-pytorch's versions have one of 0.5 at the end, the paper does not mention it).
The rates are the paper's for a feature at stride 16; at stride 32 they see twice as far, and on
small maps most of their weights meet padding.

Size at 1024 channels: 3 884 544 parameters, 1.921 GMACs on a 16x32 map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, resize, size_of


class ASPP(nn.Module):
    """Convolutions of several dilations and the mean of the map, concatenated and projected.

    In training the mean needs more than one image per device: BatchNorm cannot normalise a single
    value per channel.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the branches and of the output.
        rates: dilations of the 3x3 convolutions beside the 1x1 one.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 128, rates: Sequence[int] = (6, 12, 18)
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.branches = nn.ModuleList(
            [
                ConvBNAct(in_channels, out_channels, 1),
                *(ConvBNAct(in_channels, out_channels, 3, dilation=rate) for rate in rates),
            ]
        )
        self.pooled = ConvBNAct(in_channels, out_channels, 1)
        self.out = ConvBNAct(out_channels * (len(rates) + 2), out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        levels = [branch(x) for branch in self.branches]
        levels.append(resize(self.pooled(x.mean((2, 3), keepdim=True)), size_of(x)))
        return self.out(torch.cat(levels, dim=1))
