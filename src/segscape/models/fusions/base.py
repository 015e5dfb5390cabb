"""The frame that UAFM, add and concat share: project, resize, merge, convolve."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from segscape.models.layers import ConvBNAct, resize, size_of


class ProjectedFusion(nn.Module, ABC):
    """Project low to the channels of high, bring high to the size of low, merge, convolve.

    Subclasses define how to merge.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
        merged_channels: channels after the merge; default `high_channels`.
    """

    def __init__(
        self,
        low_channels: int,
        high_channels: int,
        out_channels: int,
        merged_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.project = ConvBNAct(low_channels, high_channels, 3)
        self.out = ConvBNAct(merged_channels or high_channels, out_channels, 3)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        x = self.project(low)
        return self.out(self.merge(x, resize(high, size_of(x))))

    @abstractmethod
    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Both (B, high, H, W) -> (B, merged_channels, H, W)."""
