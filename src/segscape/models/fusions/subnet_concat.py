"""The sub-network aggregation of DFANet: up-sample, concatenate, nothing else.

Paper: Li et al., DFANet, CVPR 2019, arXiv 1904.02216. In DFANet the result has the channels of both
inputs and feeds the next sub-network, which does the mixing; where a decoder wants another number
of channels, a 1x1 convolution gives it.

Size from 256 and 64 to 32 channels: 10 304 parameters, 0.084 GMACs at a low of 64x128; to 320
channels none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, resize, size_of


class SubnetConcat(nn.Module):
    """Resize high, concatenate, project if need be.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result; without a convolution if it is the sum of both.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        both = low_channels + high_channels
        self.project: nn.Module = (
            nn.Identity() if both == out_channels else ConvBNAct(both, out_channels, 1)
        )

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        high = resize(high, size_of(low), align_corners=True)
        return self.project(torch.cat([low, high], dim=1))
