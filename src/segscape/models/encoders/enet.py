"""ENet's encoder: bottlenecks down to stride 8, with the indices of its max pooling.

Paper: Paszke et al., ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation,
arXiv 1606.02147. This is the most used PyTorch version, davidtvs/PyTorch-ENet. Where it differs
from the authors' Lua code (e-lab/ENet-training):

- a bottleneck that halves the size is a quarter as wide as its input inside (theirs: its output);
- the third convolution of a bottleneck has an activation of its own before the sum;
- between the two halves of an asymmetric convolution there are BatchNorm and activation, and no
  convolution has a bias;
- the first max pooling is 3x3 (theirs 2x2); BatchNorm's epsilon is 1e-5 (theirs 1e-3).

Size: 317 244 parameters and 3.022 GMACs at 512x1024 (height x width); the whole network with 19
classes 351 660 and 4.037.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import init_conv

Activation = Callable[[], nn.Module]


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int] = (1, 1),
    stride: int = 1,
    dilation: int = 1,
    act: Activation | None = nn.PReLU,
) -> nn.Sequential:
    """Convolution, BatchNorm, activation; odd kernels are padded, the 2x2 with stride 2 is not."""
    rows, columns = kernel
    padding = dilation * ((rows - 1) // 2), dilation * ((columns - 1) // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, bias=False)
    init_conv(conv)
    layers = OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(out_channels))
    if act is not None:
        layers["act"] = act()
    return nn.Sequential(layers)


class InitialBlock(nn.Module):
    """A strided convolution beside a max pooling of the image itself, concatenated."""

    def __init__(self, out_channels: int = 16) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, out_channels - 3, 3, 2, 1, bias=False)
        init_conv(self.conv)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.act = nn.PReLU()

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, out_channels, H/2, W/2)."""
        return self.act(self.norm(torch.cat([self.conv(image), self.pool(image)], dim=1)))


class Bottleneck(nn.Module):
    """Down to a quarter of the channels, a convolution there, up again, dropout, sum.

    Args:
        channels: of the input and the output.
        dilation: of the 3x3 convolution.
        asymmetric: 5x1 and 1x5 for the 3x3.
        dropout: probability that a channel of the branch is dropped.
        act: PReLU in the encoder, ReLU in the decoder.
    """

    def __init__(
        self,
        channels: int,
        dilation: int = 1,
        asymmetric: bool = False,
        dropout: float = 0.1,
        act: Activation = nn.PReLU,
    ) -> None:
        super().__init__()
        inner = max(channels // 4, 1)
        self.reduce = conv_norm(channels, inner, act=act)
        kernels = ((5, 1), (1, 5)) if asymmetric else ((3, 3),)
        self.convs = nn.Sequential(
            *(conv_norm(inner, inner, kernel, dilation=dilation, act=act) for kernel in kernels)
        )
        self.expand = conv_norm(inner, channels, act=act)
        self.dropout = nn.Dropout2d(dropout)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) -> (B, channels, H, W)."""
        return self.act(x + self.dropout(self.expand(self.convs(self.reduce(x)))))


class DownBottleneck(nn.Module):
    """A bottleneck of stride 2 beside a max pooling, which is filled up with zero channels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, at least as many.
        dropout: probability that a channel of the branch is dropped.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        inner = max(in_channels // 4, 1)
        self.more = out_channels - in_channels
        self.reduce = conv_norm(in_channels, inner, (2, 2), stride=2)
        self.convs = nn.Sequential(conv_norm(inner, inner, (3, 3)))
        self.expand = conv_norm(inner, out_channels)
        self.dropout = nn.Dropout2d(dropout)
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, in, H, W) -> (B, out, H/2, W/2) and the indices of the maxima (B, in, H/2, W/2)."""
        pooled, indices = F.max_pool2d(x, 2, return_indices=True)
        branch = self.dropout(self.expand(self.convs(self.reduce(x))))
        return self.act(F.pad(pooled, (0, 0, 0, 0, 0, self.more)) + branch), indices


def _context_stage(channels: int, dropout: float) -> list[nn.Module]:
    """Regular, dilated 2, asymmetric, dilated 4, regular, dilated 8, asymmetric, dilated 16."""
    stage: list[nn.Module] = []
    for first, second in ((2, 4), (8, 16)):
        stage.append(Bottleneck(channels, dropout=dropout))
        stage.append(Bottleneck(channels, first, dropout=dropout))
        stage.append(Bottleneck(channels, asymmetric=True, dropout=dropout))
        stage.append(Bottleneck(channels, second, dropout=dropout))
    return stage


class ENet(nn.Module):
    """The first three stages of ENet.

    Its features are at strides 2, 4 and 8. The extras are the output of stage 2 and the indices
    of the two max poolings, int64, named by the stride that the pooling leads to: positions
    `y * W + x` in the map before it, for `decoder=unpool_enet`.

    Args:
        dropouts: probabilities of stage 1 and of stages 2 and 3.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: the weights do not fit.
    """

    def __init__(self, dropouts: Sequence[float] = (0.01, 0.1), weights: str | None = None) -> None:
        super().__init__()
        early, late = dropouts
        self.spec = FeatureSpec(
            {2: 16, 4: 64, 8: 128}, {"stage2": (8, 128), "pool_4": (4, 16), "pool_8": (8, 64)}
        )
        # Its max poolings of 2x2 would lose the last row of an odd map.
        self.multiple = 8
        self.initial = InitialBlock(16)
        self.down1 = DownBottleneck(16, 64, early)
        self.stage1 = nn.Sequential(*(Bottleneck(64, dropout=early) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, late)
        self.stage2 = nn.Sequential(*_context_stage(128, late))
        self.stage3 = nn.Sequential(*_context_stage(128, late))
        if weights is not None:
            load_local(self, weights, "enet")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 16, H/2, W/2), 4: (B, 64, ...), 8: (B, 128, ...), extras}."""
        half = self.initial(image)
        x, pool_4 = self.down1(half)
        quarter = self.stage1(x)
        x, pool_8 = self.down2(quarter)
        stage2 = self.stage2(x)
        return {
            2: half,
            4: quarter,
            8: self.stage3(stage2),
            "stage2": stage2,
            "pool_4": pool_4,
            "pool_8": pool_8,
        }
