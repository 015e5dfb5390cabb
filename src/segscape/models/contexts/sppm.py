"""SPPM: the Simple Pyramid Pooling Module of PP-LiteSeg.

Paper: Peng et al., PP-LiteSeg: A Superior Real-Time Semantic Segmentation Model,
arXiv 2204.02681. Against the PPM of PSPNet: fewer channels, no shortcut, and the branches are
added instead of concatenated.

As in PaddleSeg, its convolutions have a bias although BatchNorm follows (512 redundant
parameters), so that official checkpoints fit.

Size at 1024 channels: 542 208 parameters, 0.078 GMACs on a 16x32 map.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.layers import ConvBNAct, resize, size_of


class SPPM(nn.Module):
    """Pool to a few sizes, project, resize back, add, convolve.

    In training the bin of 1x1 needs more than one image per device: BatchNorm cannot normalise a
    single value per channel.

    Args:
        in_channels: channels of the deepest feature.
        out_channels: channels of the branches and of the output.
        bins: sides of the pooled maps.
    """

    def __init__(
        self, in_channels: int, out_channels: int = 128, bins: Sequence[int] = (1, 2, 4)
    ) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.bins = tuple(bins)
        self.branches = nn.ModuleList(
            [ConvBNAct(in_channels, out_channels, 1, bias=True) for _ in self.bins]
        )
        self.out = ConvBNAct(out_channels, out_channels, 3, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        size = size_of(x)
        # A map of 1x1 needs no resize: the addition spreads it.
        levels = [level if side == 1 else resize(level, size) for side, level in self._pooled(x)]
        return self.out(sum(levels[1:], levels[0]).expand(-1, -1, *size))

    def _pooled(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        for side, branch in zip(self.bins, self.branches, strict=True):
            yield side, branch(F.adaptive_avg_pool2d(x, side))
