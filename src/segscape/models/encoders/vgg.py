"""VGG-16 encoders, with the indices of their max poolings.

Paper: Simonyan and Zisserman, Very Deep Convolutional Networks for Large-Scale Image Recognition,
ICLR 2015, arXiv 1409.1556. Only the 13 convolutions are here; FCN's version of the two
fully connected layers is a context (`context=fc_conv`). With BatchNorm it is SegNet's encoder.

As in Caffe, from which FCN and SegNet come, a pooling rounds odd sides up; in torchvision it
rounds down. For even maps there is no difference.

Size: 14 714 688 parameters, with BatchNorm 14 723 136; 160.357 GMACs at 512x1024 (height x width).
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct, init_conv

_WIDTHS = (64, 128, 256, 512, 512)
_COUNTS = (2, 2, 3, 3, 3)


def _unit(in_channels: int, out_channels: int, batch_norm: bool) -> nn.Module:
    """3x3 convolution with bias, optional BatchNorm, ReLU."""
    if batch_norm:
        return ConvBNAct(in_channels, out_channels, 3, bias=True)
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    init_conv(conv)
    return nn.Sequential(OrderedDict(conv=conv, act=nn.ReLU(inplace=True)))


class VGG(nn.Module):
    """VGG-16 without its classifier.

    A feature at stride s is what the max pooling to that stride gives (pool3 of the literature is
    at stride 8). The extras `pool_2` to `pool_32` are the indices of these poolings, int64:
    positions `y * W + x` in the map before it, for `decoder=unpool`.

    Args:
        batch_norm: with BatchNorm.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: the weights do not fit.
    """

    def __init__(self, batch_norm: bool = True, weights: str | None = None) -> None:
        super().__init__()
        strides = [2 ** (stage + 1) for stage in range(len(_WIDTHS))]
        self.spec = FeatureSpec(
            dict(zip(strides, _WIDTHS, strict=True)),
            {f"pool_{s}": (s, width) for s, width in zip(strides, _WIDTHS, strict=True)},
        )
        # Decoders unpool the map at stride 2 to exactly twice its size.
        self.multiple = 2
        channels = 3
        stages = []
        for width, count in zip(_WIDTHS, _COUNTS, strict=True):
            units = [_unit(channels if i == 0 else width, width, batch_norm) for i in range(count)]
            stages.append(nn.Sequential(*units))
            channels = width
        self.stages = nn.ModuleList(stages)
        if weights is not None:
            load_local(self, weights, "vgg16_bn" if batch_norm else "vgg16")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 64, H/2, W/2), ..., 32: (B, 512, H/32, W/32), extras}."""
        features: Features = {}
        x = image
        for stride, stage in zip(self.spec.strides, self.stages, strict=True):
            x, indices = F.max_pool2d(stage(x), 2, ceil_mode=True, return_indices=True)
            features[stride] = x
            features[f"pool_{stride}"] = indices
        return features
