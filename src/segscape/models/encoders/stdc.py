"""STDC encoders: Short-Term Dense Concatenate networks.

Paper: Fan et al., Rethinking BiSeNet For Real-time Semantic Segmentation, CVPR 2021,
arXiv 2104.13188. Only the features are here, not the ImageNet classifier.

Differences between the public implementations: the official one counts the zero padding in the
average pooling of the stride-2 blocks (`count_include_pad=True`), PaddleSeg's, which PP-LiteSeg
uses, does not (`False`, the default here). Checkpoints of the one lose a little at the border
in the other.

Size: STDC1 5 318 304 parameters and 7.864 GMACs at 512x1024 (height x width), STDC2 9 348 768
and 14.458.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.errors import unknown
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct

_BLOCKS = {"stdc1": (2, 2, 2), "stdc2": (4, 5, 3)}
_CHANNELS = {2: 32, 4: 64, 8: 256, 16: 512, 32: 1024}


class STDCBlock(nn.Module):
    """Four convolutions with shrinking widths, concatenated; no residual.

    Widths are N/2 (kernel 1), N/4, N/8, N/8 (kernel 3). At stride 2 the first output goes
    through a depthwise stride-2 convolution before the others, and through an average pooling
    before the concatenation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, count_include_pad: bool
    ) -> None:
        super().__init__()
        half, quarter, eighth = out_channels // 2, out_channels // 4, out_channels // 8
        self.convs = nn.ModuleList(
            [
                ConvBNAct(in_channels, half, 1),
                ConvBNAct(half, quarter),
                ConvBNAct(quarter, eighth),
                ConvBNAct(eighth, eighth),
            ]
        )
        self.down: nn.Module = nn.Identity()
        self.pool: nn.Module = nn.Identity()
        if stride == 2:
            self.down = ConvBNAct(half, half, 3, 2, groups=half, act=None)
            self.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, out_channels, H/stride, W/stride)."""
        first = self.convs[0](x)
        outputs = [self.pool(first)]
        y = self.down(first)
        for conv in list(self.convs)[1:]:
            y = conv(y)
            outputs.append(y)
        return torch.cat(outputs, dim=1)


class STDC(nn.Module):
    """STDC1 or STDC2 without its classifier.

    Args:
        variant: "stdc1" (2, 2, 2 blocks at strides 8, 16, 32) or "stdc2" (4, 5, 3).
        count_include_pad: whether the average pooling of the stride-2 blocks counts the padding.
            False as in PaddleSeg (PP-LiteSeg), True as in the official STDC.
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: unknown variant, or the weights do not fit.
    """

    def __init__(
        self,
        variant: str = "stdc1",
        count_include_pad: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if variant not in _BLOCKS:
            raise unknown(f"unknown STDC variant {variant!r}", variant, _BLOCKS)
        self.spec = FeatureSpec(_CHANNELS)
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        # A flat list, as in every public checkpoint, with the last layer of each stride noted.
        layers: list[nn.Module] = [ConvBNAct(3, 32, 3, 2), ConvBNAct(32, 64, 3, 2)]
        self._taps = {0: 2, 1: 4}
        channels = 64
        for stride, count in zip((8, 16, 32), _BLOCKS[variant], strict=True):
            width = _CHANNELS[stride]
            for index in range(count):
                layers.append(STDCBlock(channels, width, 2 if index == 0 else 1, count_include_pad))
                channels = width
            self._taps[len(layers) - 1] = stride
        self.layers = nn.ModuleList(layers)
        if weights is not None:
            load_local(self, weights, variant)

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 32, H/2, W/2), ..., 32: (B, 1024, H/32, W/32)}."""
        features: Features = {}
        x = image
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in self._taps:
                features[self._taps[index]] = x
        return features
