"""PPM: the Pyramid Pooling Module of PSPNet.

Paper: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105.

Differences from the official code: the branches are resized with `align_corners=False` (theirs
True), the 3x3 convolution after the concatenation gives 128 channels (theirs 512) and belongs
to the context here, to the head there, where a dropout follows.

Size at 1024 channels: 3 410 176 parameters, 1.221 GMACs on a 16x32 map.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import ConvBNAct, resize, size_of


class PPM(nn.Module):
    """Pool to a few sizes, project, resize back, concatenate with the input, convolve.

    In training the bin of 1x1 needs more than one image per device: BatchNorm cannot normalise a
    single value per channel.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the output.
        bins: sides of the pooled maps; each branch has `in_channels / len(bins)` channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 128, bins: Sequence[int] = (1, 2, 3, 6)
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.bins = tuple(bins)
        width = max(in_channels // len(self.bins), 1)
        self.branches = nn.ModuleList([ConvBNAct(in_channels, width, 1) for _ in self.bins])
        self.out = ConvBNAct(in_channels + width * len(self.bins), out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        size = size_of(x)
        levels = [x]
        for side, branch in zip(self.bins, self.branches, strict=True):
            levels.append(resize(branch(F.adaptive_avg_pool2d(x, side)), size))
        return self.out(torch.cat(levels, dim=1))
