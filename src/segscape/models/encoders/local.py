"""Weights of an encoder from a local file, with every tensor accounted for.

Loading with `strict=False` hides a wrong file: the network then trains from scratch and is some
ten points of mIoU worse without a word. So a tensor of the encoder that the file lacks, or has in
another shape, is an error; what the file has beyond the encoder must be of a classifier.

Checkpoints in the names of an official implementation are converted first, as `init=FILE` does.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.weights.read import WRAPPERS, read_tensors
from segscape.models.weights.sources import detect

CLASSIFIERS = ("fc.", "classifier.", "head.", "last_linear.", "linear.")
"""Prefixes of the ImageNet classifier's layers, which segmentation does not use."""

_PART = "encoder."


def check_fit(
    expected: Mapping[str, Tensor], given: Mapping[str, Tensor], path: str, owner: str
) -> None:
    """Compare names and shapes of two state dicts.

    Args:
        expected: of the encoder.
        given: of the file.
        path: of the file, for the message.
        owner: name of the encoder, for the message.

    Raises:
        UserError: tensors are missing, of another shape, not finite or left over; names some of
            each.
    """
    # Old checkpoints lack BatchNorm's counter, which only a momentum of None would read.
    missing = [
        name for name in expected if name not in given and not name.endswith("num_batches_tracked")
    ]
    reshaped = [
        f"{name} {tuple(given[name].shape)} for {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    broken = [name for name in expected if name in given and not torch.isfinite(given[name]).all()]
    left = [name for name in given if name not in expected and not name.startswith(CLASSIFIERS)]
    problems = [
        f"{len(names)} {what} (first: {', '.join(names[:3])})"
        for what, names in (
            ("tensors of the encoder are not in it", missing),
            ("tensors have another shape", reshaped),
            ("of its tensors have no place", left),
            ("tensors hold values that are not finite", broken),
        )
        if names
    ]
    if problems:
        raise UserError(
            f"{path} does not fit encoder {owner}: {'; '.join(problems)}",
            "the names must be those of the encoder or of its official implementation; to start "
            "from a whole network use init=FILE instead of encoder.weights=FILE",
        )


def load_local(encoder: nn.Module, path: str, owner: str) -> None:
    """Fill an encoder from a file.

    Args:
        encoder: to fill.
        path: a file with the encoder's state dict, or with its official checkpoint (one of a
            source in `segscape.models.weights`), a classifier allowed in both; or with a whole
            network, ours or official, whose encoder is taken.
        owner: name of the encoder, for messages.

    Raises:
        UserError: the file cannot be read or does not fit.
    """
    tensors: Mapping[str, Tensor] = read_tensors(path)
    expected = encoder.state_dict()
    for prefix in WRAPPERS:
        # The reader removes prefixes of trainers; here the prefix belongs to the encoder's names.
        if all(n.startswith(prefix) for n in expected) and not any(
            n.startswith(prefix) for n in tensors
        ):
            tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    known = tensors.keys() & expected.keys()
    # Official names may begin with `encoder.` too (ESPNet's do): what follows decides.
    inside = {name.removeprefix(_PART) for name in tensors if name.startswith(_PART)}
    ours = 2 * len(inside & expected.keys()) > len(expected)
    if 2 * len(known) <= len(tensors) and not ours:
        tensors = _converted(tensors, path)
    if any(name.startswith(_PART) for name in tensors):
        tensors = {
            name.removeprefix(_PART): tensor
            for name, tensor in tensors.items()
            if name.startswith(_PART)
        }
    check_fit(expected, tensors, path, owner)
    with torch.no_grad():
        for name, tensor in expected.items():
            if name in tensors:
                tensor.copy_(tensors[name])


def _converted(tensors: Mapping[str, Tensor], path: str) -> Mapping[str, Tensor]:
    """An official checkpoint under our names; a file of no known source as it is.

    Tensors without a place keep their name, so that `check_fit` reports them.
    """
    try:
        source = detect(tensors)
    except UserError:
        return tensors
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        rule = source.ignore_rule(name)
        if rule is not None:
            objection = rule.check(name, tensors) if rule.check else None
            if objection is not None:
                raise UserError(
                    f"{path} ({source.name}): '{name}' cannot be ignored as '{rule.rule}': "
                    f"{objection}"
                )
            continue
        ours = source.rename(name) or name
        if ours in found:
            raise UserError(f"{path} ({source.name}): two tensors stand for '{ours}'")
        found[ours] = source.converted(name, tensor)
    return found
