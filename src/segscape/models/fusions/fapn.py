"""The fusion of FaPN: the deep feature is sampled by a deformable convolution, guided by both.

Paper: Huang et al., FaPN: Feature-aligned Pyramid Network for Dense Image Prediction, ICCV 2021,
arXiv 2108.07058, as in EMI-Group/FaPN: feature selection on the shallow feature (FSM), then
alignment of the deep one to it (FAM). The paper concatenates the two features for the offsets, the
code the selected one and twice the deep one; the code is followed. Nothing is normalised. A deep
feature of other than `out_channels` is brought there by a 1x1 convolution first. The eight groups
of the deformable convolution become fewer where the channels do not divide by eight.

The sampling is `torchvision.ops.deform_conv2d`. ONNX has an operator for it since opset 19, but
PyTorch's exporters do not map torchvision's to it by themselves (pytorch issue 185195, of 2.12): a
network with this fusion is exported with a translation given to `torch.onnx.export`. On a GPU its
backward pass adds up in no fixed order.

Size from 96 and 128 to 128 channels and a low of 32x64 (the size of the parity record): 450 904
parameters, 0.904 GMACs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import deform_conv2d

from segscape.models.layers import resize, size_of
from segscape.models.projection import projection

_GROUPS = 8
_KERNEL = 3


class FeatureSelection(nn.Module):
    """FSM: emphasise channels by what they hold on average, then project.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.attention = _xavier(nn.Conv2d(in_channels, in_channels, 1, bias=False))
        self.project = _xavier(nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H, W)."""
        weight = torch.sigmoid(self.attention(x.mean((2, 3), keepdim=True)))
        return self.project(x + x * weight)


class GuidedDeformConv(nn.Module):
    """DCNv2 (arXiv 1811.11168) whose offsets and weights come from a guide, not from its input.

    They start as no offset and half the weight: half of a plain 3x3 convolution.

    Args:
        channels: of the input, the guide and the output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.groups = math.gcd(channels, _GROUPS)
        self.taps = self.groups * _KERNEL**2
        self.guide = nn.Conv2d(channels, 3 * self.taps, _KERNEL, padding=_KERNEL // 2)
        for parameter in self.guide.parameters():
            nn.init.zeros_(parameter)
        self.weight = nn.Parameter(torch.empty(channels, channels, _KERNEL, _KERNEL))
        self.bias = nn.Parameter(torch.zeros(channels))
        bound = 1 / math.sqrt(channels * _KERNEL**2)
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """Input and guide (B, C, H, W) -> (B, C, H, W)."""
        # Per group and tap: down and to the right (2/3 of the channels), then the weight.
        offsets, importance = self.guide(guide).split([2 * self.taps, self.taps], dim=1)
        # All of one type: torchvision's operator does not mix them, which automatic mixed
        # precision would have it do. Positions need the digits of single precision anyway.
        dtype = torch.promote_types(x.dtype, torch.float32)
        sampled = deform_conv2d(
            x.to(dtype),
            offsets.to(dtype),
            self.weight.to(dtype),
            self.bias.to(dtype),
            padding=_KERNEL // 2,
            mask=torch.sigmoid(importance.to(dtype)),
        )
        return sampled.to(x.dtype)


class FaPNFusion(nn.Module):
    """Select from low, align high to it, add.

    Args:
        low_channels: channels of the finer, shallower feature.
        high_channels: channels of the coarser, deeper feature.
        out_channels: channels of the result.
    """

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        self.select = FeatureSelection(low_channels, out_channels)
        self.project_high = projection(high_channels, out_channels)
        self.compare = _xavier(nn.Conv2d(2 * out_channels, out_channels, 1, bias=False))
        self.align = GuidedDeformConv(out_channels)

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        """Low (B, low, H, W) and high (B, high, h, w) -> (B, out, H, W)."""
        selected = self.select(low)
        high = resize(self.project_high(high), size_of(low))
        guide = self.compare(torch.cat([selected, 2 * high], dim=1))
        # In this order, since a sum has the memory format of its first term.
        return selected + F.relu(self.align(high, guide))


def _xavier(conv: nn.Conv2d) -> nn.Conv2d:
    """Uniform by fan-in, as detectron2 starts the convolutions of its pyramids."""
    nn.init.kaiming_uniform_(conv.weight, a=1)
    return conv
