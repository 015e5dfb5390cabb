"""Training transforms: scale, crop and flip in one resampling, then colour jitter.

The whole image is never resized. The scale and the position of the crop are drawn first,
then only the source pixels under the crop are resampled, once. The result is what resizing
the whole image (bilinear, half-pixel centres) and cutting the crop would give.

Images stay uint8; normalisation happens on the device (`Segmenter.normalize`).
"""

from segscape.data.transforms.base import (
    Identity,
    LazyTransform,
    Others,
    Transform,
    for_classes,
)
from segscape.data.transforms.checks import check_size
from segscape.data.transforms.colour import ColourJitter
from segscape.data.transforms.train import TrainTransform

__all__ = [
    "ColourJitter",
    "Identity",
    "LazyTransform",
    "Others",
    "TrainTransform",
    "Transform",
    "check_size",
    "for_classes",
]
