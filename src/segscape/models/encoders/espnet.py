"""ESPNet's encoder: efficient spatial pyramids of dilated convolutions.

Paper: Mehta et al., ESPNet: Efficient Spatial Pyramid of Dilated Convolutions for Semantic
Segmentation, ECCV 2018, arXiv 1803.06815; this is the ESPNet-C of its figure 4 without the
classifier. p blocks work at stride 4 and q blocks at stride 8. The image, pooled to their size, is
concatenated to the outputs of strides 2 and 4 ("input reinforcement"), and the first to the last
output of a stride.

As in the authors' code, BatchNorm's epsilon is 0.001, the convolutions have no BatchNorm of their
own (one follows the concatenation of the branches), and the blocks that halve the size reduce the
channels with a 3x3 instead of a 1x1 convolution.

Size with p = 2 and q = 8: 344 329 parameters and 3.428 GMACs at 512x1024 (height x width).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct, init_conv

_DILATIONS = (1, 2, 4, 8, 16)
_EPSILON = 1e-3


def conv_norm_act(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> ConvBNAct:
    """ESPNet's convolution with BatchNorm and PReLU."""
    layer = ConvBNAct(in_channels, out_channels, kernel, stride, act=nn.PReLU(out_channels))
    layer.norm.eps = _EPSILON
    return layer


class NormAct(nn.Module):
    """BatchNorm and PReLU, one slope for each channel.

    Args:
        channels: of the feature.
        eps: of the BatchNorm.
    """

    def __init__(self, channels: int, eps: float = _EPSILON) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, eps=eps)
        self.act = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> the same."""
        return self.act(self.norm(x))


class ESP(nn.Module):
    """Reduce, five dilated convolutions side by side, their running sums concatenated.

    The sums ("hierarchical feature fusion") remove the grid that a large dilation alone leaves.
    Each branch has a fifth of the channels, the undilated one the rest as well; it stays out of
    the sums. Below five channels there are only so many branches.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        stride: of the reduction: 1 with a 1x1, 2 with a 3x3 convolution.
        residual: whether the input is added; it then has `out_channels`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        assert not residual or (in_channels == out_channels and stride == 1)
        self.residual = residual
        dilations = _DILATIONS[:out_channels]
        width = out_channels // len(dilations)
        widths = [out_channels - width * (len(dilations) - 1)] + [width] * (len(dilations) - 1)
        kernel = 1 if stride == 1 else 3
        self.reduce = nn.Conv2d(in_channels, width, kernel, stride, kernel // 2, bias=False)
        self.branches = nn.ModuleList(
            nn.Conv2d(width, own, 3, padding=dilation, dilation=dilation, bias=False)
            for own, dilation in zip(widths, dilations, strict=True)
        )
        self.out = NormAct(out_channels)
        for conv in (self.reduce, *self.branches):
            assert isinstance(conv, nn.Conv2d)
            init_conv(conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        reduced = self.reduce(x)
        plain, *dilated = (branch(reduced) for branch in self.branches)
        outputs = [plain, *dilated[:1]]
        for branch in dilated[1:]:
            outputs.append(outputs[-1] + branch)
        joined = torch.cat(outputs, dim=1)
        return self.out(x + joined if self.residual else joined)


class ESPNet(nn.Module):
    """ESPNet-C without its classifier.

    Args:
        p: blocks at stride 4.
        q: blocks at stride 8. The paper's networks have 2 and 3, 5 or 8.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: the weights do not fit.
    """

    def __init__(self, p: int = 2, q: int = 8, weights: str | None = None) -> None:
        super().__init__()
        self.spec = FeatureSpec({2: 16 + 3, 4: 2 * 64 + 3, 8: 2 * 128})
        # As published: its decoder doubles the size three times.
        self.multiple = 8
        self.pool = nn.AvgPool2d(3, 2, 1)
        self.stem = conv_norm_act(3, 16, 3, 2)
        self.downs = nn.ModuleList([ESP(16 + 3, 64, 2), ESP(2 * 64 + 3, 128, 2)])
        self.stages = nn.ModuleList(
            nn.Sequential(*(ESP(width, width, residual=True) for _ in range(count)))
            for width, count in ((64, p), (128, q))
        )
        self.joins = nn.ModuleList(NormAct(channels) for channels in self.spec.channels.values())
        if weights is not None:
            load_local(self, weights, f"espnet_p{p}_q{q}")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 19, H/2, W/2), 4: (B, 131, H/4, W/4), 8: (B, 256, ...)}."""
        half = self.pool(image)
        quarter = self.pool(half)
        at_2 = self.joins[0](torch.cat([self.stem(image), half], dim=1))
        first = self.downs[0](at_2)
        at_4 = self.joins[1](torch.cat([self.stages[0](first), first, quarter], dim=1))
        first = self.downs[1](at_4)
        at_8 = self.joins[2](torch.cat([first, self.stages[1](first)], dim=1))
        return {2: at_2, 4: at_4, 8: at_8}
