"""Fusion by addition, UAFM without its attention.

This is the base class of UAFM in PaddleSeg and the baseline against which PP-LiteSeg
(Peng et al., arXiv 2204.02681) shows its attention: the same two convolutions, and a plain sum
between them.

Size from 256 and 64 to 32 channels: 166 080 parameters, 1.359 GMACs at a low of 64x128.
"""

from __future__ import annotations

from torch import Tensor

from segscape.models.fusions.base import ProjectedFusion


class Add(ProjectedFusion):
    """Project low, resize high, add, convolve."""

    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Both (B, C, H, W) -> (B, C, H, W)."""
        return low + high
