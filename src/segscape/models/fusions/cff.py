"""CFF: the Cascade Feature Fusion of ICNet.

Paper: Zhao et al., ICNet, ECCV 2018, arXiv 1704.08545: up-sample high, look around with a dilated
3x3 convolution, project low, add. For its cascade label guidance a classifier sits on the
up-sampled high input. As in liminn/ICNet-pytorch it sits behind the dilated convolution (the paper
and the Caffe code: before it), so CFF offers that feature, see `GuidedFusion`.

Size from 256 and 64 to 32 channels: 26 752 parameters, 0.218 GMACs at a low of 64x128.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import ConvBNAct, resize, size_of


@runtime_checkable
class GuidedFusion(Protocol):
    """A fusion that also gives its view of the high input, for an auxiliary head.

    Attributes:
        guide_channels: channels of that view.
    """

    guide_channels: int

    def guided(self, low: Tensor, high: Tensor, /) -> tuple[Tensor, Tensor]:
        """The fused feature and the guide (B, guide_channels, H, W), both at the size of low."""
        ...


class CFF(nn.Module):
    """Dilated 3x3 on the up-sampled high, 1x1 on low, sum, ReLU.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result and of the guide.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        self.guide_channels = out_channels
        self.low = ConvBNAct(low_channels, out_channels, 1, act=None)
        self.high = ConvBNAct(high_channels, out_channels, 3, dilation=2, act=None)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        return self.guided(low, high)[0]

    def guided(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The fused feature and the convolved high, both (B, out, H, W)."""
        guide = self.high(resize(high, size_of(low), align_corners=True))
        return F.relu(self.low(low) + guide), guide
