"""Bringing a feature to the channels that a part of the literature was built for."""

from __future__ import annotations

from torch import nn

from segscape.models.layers import ConvBNAct


def projection(in_channels: int, out_channels: int) -> nn.Module:
    """A 1x1 convolution with BatchNorm and ReLU, or nothing where the channels are right."""
    if in_channels == out_channels:
        return nn.Identity()
    return ConvBNAct(in_channels, out_channels, 1)
