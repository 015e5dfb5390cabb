"""The pyramid pooling of ICNet: sums instead of concatenated projections.

Paper: Zhao et al., ICNet, ECCV 2018, arXiv 1704.08545. Against the PPM of PSPNet: no convolutions
at all; the pooled maps are resized back and added to the input.

As in liminn/ICNet-pytorch the bins are adaptive (Caffe: fixed kernels for one size of image) and
nothing reduces the channels afterwards (Caffe: a 1x1 convolution to 256).

Size: no parameters and no GMACs that are counted, at any number of channels.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import resize, size_of


class PPMSum(nn.Module):
    """Pool to a few sizes, resize back, add to the input.

    Args:
        in_channels: channels of the deepest feature.
        bins: sides of the pooled maps.
    """

    def __init__(self, in_channels: int, bins: Sequence[int] = (1, 2, 3, 6)) -> None:
        super().__init__()
        self.out_channels = in_channels
        self.bins = tuple(bins)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, in_channels, h, w)."""
        total = x
        for side in self.bins:
            pooled = F.adaptive_avg_pool2d(x, side)
            # A map of 1x1 needs no resize: the addition spreads it.
            total = total + (pooled if side == 1 else resize(pooled, size_of(x), True))
        return total
