"""Gated fusion: a weight per pixel and per channel. Ours; there is no paper behind it.

UAFM weighs its two inputs per pixel (spatial) or per channel (channel), from a few statistics. Here
the weight is both: fine detail may win in the channels and at the places where it matters, and a
1x1 convolution of all channels of both inputs gives the gate. Nothing else differs from `add`, so a
comparison shows what the gate is worth. We have not shown that it is better than UAFM.

It is also the example of docs/extending.md: the whole of a new fusion is this file and
conf/fusion/gated.yaml.

Size from 256 and 64 to 32 channels: 174 400 parameters, 1.426 GMACs at a low of 64x128.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segscape.models.fusions.base import ProjectedFusion
from segscape.models.layers import ConvBNAct


class Gated(ProjectedFusion):
    """Project low, resize high, mix them by a learned gate, convolve."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__(low_channels, high_channels, out_channels)
        self.gate = ConvBNAct(2 * high_channels, high_channels, 1, act=None)

    def merge(self, low: Tensor, high: Tensor) -> Tensor:
        """Both (B, C, H, W) -> (B, C, H, W): `g * low + (1 - g) * high`, g (B, C, H, W)."""
        gate = torch.sigmoid(self.gate(torch.cat([low, high], dim=1)))
        return torch.lerp(high, low, gate)
