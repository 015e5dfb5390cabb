"""PPM: the Pyramid Pooling Module of PSPNet, and the variant that SFNet uses.

Paper: Zhao et al., Pyramid Scene Parsing Network, CVPR 2017, arXiv 1612.01105. Its convolution
after the concatenation belongs to the context here, to the head in the official code, where a
dropout follows.

- `ppm_psp` is the official PSPNet: 512 channels, branches resized with `align_corners=True`.
- `ppm_sfnet` is SFNet's (arXiv 2002.10120, code lxtGH/SFSegNets): the branches are as wide as
  the output and have no ReLU, the feature comes last in the concatenation, a 1x1 convolution and
  a dropout follow.
- `ppm` is a small one: 128 channels, `align_corners=False`.

Size on a 16x32 map: `ppm` at 1024 channels 3 410 176 parameters and 1.221 GMACs, `ppm_psp` at
2048 channels 23 073 792 and 9.716, `ppm_sfnet` at 512 channels 394 496 and 0.070.
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
        bins: sides of the pooled maps.
        branch_channels: channels of each branch; default `in_channels / len(bins)`.
        branch_relu: whether the branches end in a ReLU.
        kernel: side of the convolution after the concatenation.
        feature_first: whether the feature stands before the branches or after them.
        dropout: probability that a channel of the output is dropped in training.
        align_corners: how the branches are resized.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 128,
        bins: Sequence[int] = (1, 2, 3, 6),
        branch_channels: int | None = None,
        branch_relu: bool = True,
        kernel: int = 3,
        feature_first: bool = True,
        dropout: float = 0.0,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.bins = tuple(bins)
        self.feature_first = feature_first
        self.align_corners = align_corners
        width = branch_channels or max(in_channels // len(self.bins), 1)
        act = nn.ReLU if branch_relu else None
        self.branches = nn.ModuleList([ConvBNAct(in_channels, width, 1, act=act) for _ in bins])
        self.out = ConvBNAct(in_channels + width * len(self.bins), out_channels, kernel)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        size = size_of(x)
        levels = []
        for side, branch in zip(self.bins, self.branches, strict=True):
            pooled = branch(F.adaptive_avg_pool2d(x, side))
            levels.append(resize(pooled, size, self.align_corners))
        levels.insert(0 if self.feature_first else len(levels), x)
        return self.dropout(self.out(torch.cat(levels, dim=1)))
