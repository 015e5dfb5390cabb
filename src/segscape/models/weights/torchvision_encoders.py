"""torchvision's names of its ResNet and VGG-16 classifiers, whose features are our encoders.

ResNet: He et al., arXiv 1512.03385; VGG: Simonyan and Zisserman, arXiv 1409.1556. The names of
the ResNet blocks are also those of most segmentation networks that were built upon torchvision.
ResNets with a stem of three convolutions (as PSPNet's authors trained on ImageNet) call these
conv1, conv2 and conv3.
"""

from __future__ import annotations

import re
from typing import Any

from segscape.models.weights.rows import Rows, resnet_layers, resnet_stem
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import resnet_depth

_CLASSIFIER = "it classifies whole images and takes no part in segmentation"


def _infer_resnet(tensors: Tensors) -> dict[str, Any]:
    stem = "_deep" if "conv2.weight" in tensors else ""
    return {"encoder": f"resnet{resnet_depth(tensors)}{stem}"}


def vgg_places(names: list[str], ours: str = "", norms: list[str] | None = None) -> Rows:
    """Places of the 13 convolutions of VGG-16, and of the BatchNorm behind each.

    Args:
        names: of the convolutions, in order.
        ours: prefix of our encoder.
        norms: names of the BatchNorms, in order.
    """
    spots = [
        f"{ours}stages.{s}.{i}" for s, count in enumerate((2, 2, 3, 3, 3)) for i in range(count)
    ]
    found = [
        (rf"{re.escape(name)}(?=\.)", f"{spot}.conv")
        for name, spot in zip(names, spots, strict=True)
    ]
    found += [
        (rf"{re.escape(name)}(?=\.)", f"{spot}.norm")
        for name, spot in zip(norms or [], spots if norms else [], strict=True)
    ]
    return tuple(found)


_PLAIN = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
_WITH_NORM = (0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40)
"""Indices of the convolutions in torchvision's `features`; each BatchNorm follows its own."""


def _vgg(option: str, signature: tuple[str, ...], places: Rows) -> Source:
    return Source(
        name=f"torchvision {option}",
        system="vgg",
        signature=signature,
        places=places,
        ignored=(Ignore("classifier", r"classifier\..+", _CLASSIFIER),),
        infer=lambda tensors: {"encoder": option},
    )


SOURCES = (
    Source(
        name="torchvision ResNet",
        system="resnet",
        signature=(r"^conv1\.weight$", r"^layer4\.1\.bn1\.weight$"),
        places=(*resnet_stem(), *resnet_layers()),
        ignored=(Ignore("classifier", r"fc\..+", _CLASSIFIER),),
        infer=_infer_resnet,
    ),
    # The positions of two convolutions that no other VGG has both of.
    _vgg(
        "vgg16",
        (r"^features\.2\.weight$", r"^features\.17\.weight$", r"^features\.24\.weight$"),
        vgg_places([f"features.{i}" for i in _PLAIN]),
    ),
    _vgg(
        "vgg16_bn",
        (r"^features\.1\.running_mean$", r"^features\.41\.running_mean$"),
        vgg_places(
            [f"features.{i}" for i in _WITH_NORM],
            norms=[f"features.{i + 1}" for i in _WITH_NORM],
        ),
    ),
)
