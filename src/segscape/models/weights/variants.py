"""The variant of a network from the tensors of a file: shared by `Source.infer` of the sources."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from segscape.errors import UserError
from segscape.models.weights.sources import Ignore, Tensors

Key = TypeVar("Key")


def shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    """The shape of a tensor.

    Raises:
        UserError: the file has no such tensor.
    """
    if name not in tensors:
        raise UserError(
            f"the file lacks the tensor '{name}'",
            "it may be truncated, or of a variant that is not known here",
        )
    return tuple(tensors[name].shape)


def count(tensors: Tensors, pattern: str) -> int:
    """Number of layers whose tensors begin with a pattern, whose only group is their number."""
    found = (re.match(pattern, name) for name in tensors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def one_of(known: Mapping[Key, str], key: Key, what: str) -> str:
    """The name of our variant.

    Args:
        known: the names here, by what distinguishes the variants.
        key: what the file has.
        what: the same in words, after "the file is of".

    Raises:
        UserError: we have no such variant.
    """
    if key not in known:
        listing = ", ".join(f"{name} with {key}" for key, name in known.items())
        raise UserError(f"the file is of {what}, which is not known here", f"known: {listing}")
    return known[key]


def always(
    variant: str, classes_of: str, axis: int = 0, **choices: str
) -> Callable[[Tensors], dict[str, Any]]:
    """`infer` for a source of one variant.

    Args:
        variant: our model.
        classes_of: the tensor whose size is the number of classes.
        axis: of that tensor.
        **choices: options of its parts.
    """

    def infer(tensors: Tensors) -> dict[str, Any]:
        classes = shape(tensors, classes_of)[axis]
        return {"variant": variant, "num_classes": classes, **choices}

    return infer


_RESNETS: dict[tuple[bool, tuple[int, ...]], int] = {
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
}
"""Depths by whether the blocks are bottlenecks, and how many each layer has."""


def resnet_depth(tensors: Tensors, prefix: str = "", among: tuple[int, ...] = ()) -> int:
    """Depth of the ResNet in a file, by its blocks.

    Args:
        tensors: of the file.
        prefix: of the official name, before `layer1`.
        among: the depths that the caller has variants for; default all.

    Raises:
        UserError: another ResNet.
    """
    blocks = tuple(
        count(tensors, rf"{re.escape(prefix)}layer{layer}\.(\d+)\.conv") for layer in (1, 2, 3, 4)
    )
    bottlenecks = f"{prefix}layer1.0.conv3.weight" in tensors
    depth = _RESNETS.get((bottlenecks, blocks))
    if depth is None or (among and depth not in among):
        kind = "bottlenecks" if bottlenecks else "basic blocks"
        raise UserError(
            f"the file is of a ResNet with {blocks} {kind}, which is not known here",
            f"known: {', '.join(f'ResNet-{d}' for d in among or _RESNETS.values())}",
        )
    return depth


_STDC_STARTS = {8: {2: 0, 4: 1, 8: 2, 16: 4, 32: 6}, 14: {2: 0, 4: 1, 8: 2, 16: 6, 32: 11}}
"""Index of the first layer of each stride, by the number of layers (STDC1, STDC2)."""

_STDC_LAYERS = r"(?:(?:cp\.)?backbone\.)?features\.(\d+)\."


def stdc(tensors: Tensors) -> str:
    """`stdc1` or `stdc2`, by the layers of the STDC in a file.

    Raises:
        UserError: another number of layers.
    """
    found = count(tensors, _STDC_LAYERS)
    return one_of({8: "stdc1", 14: "stdc2"}, found, f"an STDC with {found} layers")


def stdc_ignored(prefix: str, *, by_stride: bool) -> tuple[Ignore, ...]:
    """The rules for the tensors of an STDC that have no place in ours.

    Args:
        prefix: pattern of what comes before `features`.
        by_stride: the second names of the layers count from the first layer of a stride (`x8.0.1`
            is its second layer), and not from the first layer of all.
    """

    def objection(name: str, tensors: Tensors) -> str | None:
        match = re.fullmatch(r"(.*?)x(\d+)\.(?:0\.)?(\d+)\.(.+)", name)
        starts = _STDC_STARTS.get(count(tensors, _STDC_LAYERS), {})
        if match is None or int(match[2]) not in starts:
            return "it is no copy of a known layer"
        index = int(match[3]) + (starts[int(match[2])] if by_stride else 0)
        return differs(f"{match[1]}features.{index}.{match[4]}", name, tensors)

    return (
        Ignore(
            "classifier of the encoder",
            rf"{prefix}(?:conv_last|fc|bn|linear|cls)\..+",
            "layers for ImageNet classification that take no part in segmentation",
        ),
        Ignore(
            "second name of a layer",
            rf"{prefix}x(?:2|4|8|16|32)\..+",
            "the same tensors are in the file under 'features'",
            objection,
        ),
    )


def differs(twin: str, name: str, tensors: Tensors) -> str | None:
    """What is wrong with a tensor that should repeat another one; None if it does."""
    if twin in tensors and torch.equal(tensors[twin], tensors[name]):
        return None
    return f"it differs from '{twin}', which it should repeat"
