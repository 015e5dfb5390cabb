"""Fusion by concatenation, as U-Net joins its levels.

Paper: Ronneberger et al., U-Net, MICCAI 2015, arXiv 1505.04597. Here in the frame of UAFM, so
that only the merge differs between `concat`, `add` and `uafm_*`; U-Net has a transposed
convolution instead of the resize, two convolutions after the join and no projection before it.

Size from 256 and 64 to 32 channels: 184 512 parameters, 1.510 GMACs at a low of 64x128.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segscape.models.fusions.base import ProjectedFusion


class Concat(ProjectedFusion):
    """Project low, resize high, concatenate, convolve."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__(low_channels, high_channels, out_channels, 2 * high_channels)

    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Both (B, C, H, W) -> (B, 2 C, H, W)."""
        return torch.cat([low, high], dim=1)
