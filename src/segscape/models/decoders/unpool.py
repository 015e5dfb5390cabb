"""SegNet's decoder: max-unpooling with the encoder's indices, then convolutions.

Paper: Badrinarayanan et al., SegNet: A Deep Convolutional Encoder-Decoder Architecture for Image
Segmentation, TPAMI 2017, arXiv 1511.00561. It mirrors a VGG-16: nothing of the encoder's features
is read but the deepest one and where the maxima were.

`unpool` is PaddleSeg's, with three convolutions at stride 2; the authors' Caffe network has two
(`unpool_caffe`). Widths follow from the encoder's indices. Needs an encoder that gives the indices
of all its max poolings (`encoder=vgg16_bn`, `encoder=vgg16`).

Unpooling is a scatter here. `torch.nn.MaxUnpool2d` is not deterministic on CUDA and has no ONNX
form; a scatter is and has (ScatterElements). Runtimes still need the indices of the pooling, which
ONNX Runtime computes and TensorRT does not.

Size of the whole network with VGG-16 BN and 19 classes: 29 601 811 parameters, 344.872 GMACs at
512x1024 (height x width); Caffe's 29 453 971 and 325.545.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import ConvBNAct, size_of

_STRIDES = (2, 4, 8, 16, 32)


def unpool(x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """Put values where the maxima of a max pooling were, zeros elsewhere.

    Args:
        x: (B, C, h, w).
        indices: (B, C, h, w) int64, positions `y * W + x` in the map before the pooling.
        size: of that map, (H, W).

    Returns:
        (B, C, H, W), in the memory format of `x`.
    """
    batch, channels = x.shape[:2]
    height, width = size
    if x.is_contiguous():
        flat = x.new_zeros(batch, channels, height * width)
        flat = flat.scatter(2, indices.flatten(2), x.flatten(2))
        return flat.view(batch, channels, height, width)
    pixels = x.new_zeros(batch, height * width, channels)
    pixels = pixels.scatter(1, _by_pixel(indices), _by_pixel(x))
    return pixels.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _by_pixel(x: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, h w, C)."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


class Unpool(nn.Module):
    """Unpool and convolve five times, from stride 32 to the full size.

    Args:
        spec: of the encoder; with the extras `pool_2` to `pool_32`.
        context_channels: not used.
        fusion: not used.
        depths: number of convolutions after each unpooling, finest first. The last of a level
            gives the channels of the next finer one.

    Raises:
        UserError: the encoder lacks a stride or the indices.
    """

    requires: tuple[int, ...] = _STRIDES
    extras: tuple[str, ...] = tuple(f"pool_{stride}" for stride in _STRIDES)
    uses: frozenset[str] = frozenset()

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int = 0,
        fusion: FusionFactory | None = None,
        depths: Sequence[int] = (1, 3, 3, 3, 3),
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder unpool", self.extras)
        # Finest first, like `requires`. What is unpooled has the channels of the pooling.
        widths = [spec.channels_of(name) for name in self.extras]
        outs = [widths[0], *widths[:-1]]
        self.spec = FeatureSpec(dict(zip((1, *_STRIDES[:-1]), outs, strict=True)))
        deepest = spec.channels[_STRIDES[-1]]
        self.project: nn.Module = (
            nn.Identity() if deepest == widths[-1] else ConvBNAct(deepest, widths[-1], 1)
        )
        self.levels = nn.ModuleList(
            [
                _level(width, out, depth)
                for width, out, depth in zip(widths, outs, depths, strict=True)
            ]
        )
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor | None = None) -> Features:
        """Features and indices -> {1: (B, C, H, W), 2: (B, C, H/2, W/2), ..., 16: ...}."""
        height, width = size_of(features[2])
        sizes = [(2 * height, 2 * width), *(size_of(features[s]) for s in _STRIDES[:-1])]
        outputs: Features = {}
        x = self.project(features[_STRIDES[-1]])
        for index in reversed(range(len(self.levels))):
            x = unpool(x, features[self.extras[index]], sizes[index])
            x = self.levels[index](x)
            outputs[self.spec.strides[index]] = x
        return dict(sorted(outputs.items(), key=lambda item: int(item[0])))


def _level(width: int, out_channels: int, depth: int) -> nn.Sequential:
    """`depth` 3x3 convolutions, the last one to `out_channels`; biases as published."""
    outs = [*[width] * (depth - 1), out_channels]
    return nn.Sequential(*(ConvBNAct(width, out, 3, bias=True) for out in outs))
