"""torchvision's names of its ResNet and VGG-16 classifiers, whose features are our encoders.

ResNet: He et al., arXiv 1512.03385; VGG: Simonyan and Zisserman, arXiv 1409.1556. The names of
the ResNet blocks are also those of most segmentation networks that were built upon torchvision.
ResNets with a stem of three convolutions (as PSPNet's authors trained on ImageNet) call these
conv1, conv2 and conv3.
"""

from __future__ import annotations

import re
from typing import Any

from segscape.errors import UserError
from segscape.models.weights.sources import Ignore, Source, Tensors

RESNET_LEAVES = (
    (r"\.conv(\d)\.weight", r".conv\1.conv.weight"),
    (r"\.bn(\d)\.(\w+)", r".conv\1.norm.\2"),
    (r"\.downsample\.0\.weight", ".shortcut.conv.weight"),
    (r"\.downsample\.1\.(\w+)", r".shortcut.norm.\1"),
)

_CLASSIFIER = "it sorts whole images, which segmentation has no use for"


def resnet_layers(theirs: str = "", ours: str = "") -> tuple[tuple[str, str], ...]:
    """Places of the four layers.

    Args:
        theirs: pattern of what stands before `layer1`.
        ours: prefix of our encoder.
    """
    return tuple(
        (rf"{theirs}layer{index + 1}\.(\d+)", rf"{ours}layers.{index}.\1") for index in range(4)
    )


def resnet_stem(theirs: str = "", ours: str = "") -> tuple[tuple[str, str], ...]:
    """Places of conv1 and bn1, and of conv2 to bn3 of a deep stem."""
    return tuple(
        (rf"{theirs}{kind}{index + 1}(?=\.)", f"{ours}stem.{index}.{name}")
        for index in range(3)
        for kind, name in (("conv", "conv"), ("bn", "norm"))
    )


def resnet_depth(tensors: Tensors, prefix: str = "") -> int:
    """Layers of the ResNet in a file, by its blocks.

    Args:
        tensors: of the file.
        prefix: what stands before `layer1`.

    Raises:
        UserError: a ResNet that is not known here.
    """
    found = (re.match(rf"{re.escape(prefix)}layer(\d)\.(\d+)\.conv", name) for name in tensors)
    blocks = {(int(match[1]), int(match[2])) for match in found if match}
    counts = tuple(sum(layer == index for layer, _ in blocks) for index in (1, 2, 3, 4))
    bottleneck = f"{prefix}layer1.0.conv3.weight" in tensors
    known: dict[tuple[bool, tuple[int, ...]], int] = {
        (False, (2, 2, 2, 2)): 18,
        (False, (3, 4, 6, 3)): 34,
        (True, (3, 4, 6, 3)): 50,
        (True, (3, 4, 23, 3)): 101,
    }
    if (bottleneck, counts) not in known:
        kind = "bottlenecks" if bottleneck else "basic blocks"
        raise UserError(
            f"The file's ResNet has {counts} {kind} in its layers.",
            "Known are ResNet-18, 34, 50 and 101.",
        )
    return known[bottleneck, counts]


def _infer_resnet(tensors: Tensors) -> dict[str, Any]:
    stem = "_deep" if "conv2.weight" in tensors else ""
    return {"encoder": f"resnet{resnet_depth(tensors)}{stem}"}


def vgg_places(
    names: list[str], ours: str = "", norms: list[str] | None = None
) -> tuple[tuple[str, str], ...]:
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
"""Where the convolutions stand in torchvision's `features`; a BatchNorm follows its own."""


def _vgg(option: str, signature: tuple[str, ...], places: tuple[tuple[str, str], ...]) -> Source:
    return Source(
        name=f"torchvision {option}",
        system="vgg",
        signature=signature,
        places=places,
        leaves=(),
        ignored=(Ignore("classifier", r"classifier\..+", _CLASSIFIER),),
        infer=lambda tensors: {"encoder": option},
    )


SOURCES = (
    Source(
        name="torchvision ResNet",
        system="resnet",
        signature=(r"^conv1\.weight$", r"^layer4\.1\.bn1\.weight$"),
        places=(*resnet_stem(), *resnet_layers()),
        leaves=RESNET_LEAVES,
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
