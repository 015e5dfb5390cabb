"""Training transforms: one resampling of the pixels that a crop needs, then colour, then mixtures.

The whole image is never resized. Scale, rotation and position of the crop are drawn first,
then only the source pixels under the crop are resampled, once. The result is what resizing
the whole image (bilinear, half-pixel centres) and cutting the crop would give.

Images stay uint8; normalisation happens on the device (`Segmenter.normalize`).
"""

from segscape.data.transforms.base import Identity, LazyTransform, Others, Transform, for_classes
from segscape.data.transforms.checks import check_size
from segscape.data.transforms.colour import Blur, ColourJitter, PhotoMetricDistortion
from segscape.data.transforms.mixing import Mixing
from segscape.data.transforms.placement import Placement
from segscape.data.transforms.scaling import Scaling
from segscape.data.transforms.train import TrainTransform

__all__ = [
    "Blur",
    "ColourJitter",
    "Identity",
    "LazyTransform",
    "Mixing",
    "Others",
    "PhotoMetricDistortion",
    "Placement",
    "Scaling",
    "TrainTransform",
    "Transform",
    "check_size",
    "for_classes",
]
