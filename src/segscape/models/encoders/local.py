"""Weights of an encoder from a local file, with every tensor accounted for.

Loading with `strict=False` hides a wrong file: the network then trains from scratch and is some
ten points of mIoU worse without a word. So a tensor of the encoder that the file lacks, or has in
another shape, is an error; what the file has beyond the encoder must be of a classifier.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.weights.read import read_tensors

CLASSIFIERS = ("fc.", "classifier.", "head.", "last_linear.", "linear.")
"""Where ImageNet checkpoints keep the layers that segmentation has no use for."""


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
        UserError: tensors are missing, of another shape or left over; names some of each.
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
    left = [name for name in given if name not in expected and not name.startswith(CLASSIFIERS)]
    problems = [
        f"{len(names)} {what} (first: {', '.join(names[:3])})"
        for what, names in (
            ("tensors of the encoder are not in it", missing),
            ("tensors have another shape", reshaped),
            ("of its tensors have no place", left),
        )
        if names
    ]
    if problems:
        raise UserError(
            f"{path} does not fit encoder {owner}: {'; '.join(problems)}.",
            "The names must be those of the encoder's own implementation. For a checkpoint of a "
            "whole official network use init=FILE instead of encoder.weights=FILE.",
        )


def load_local(encoder: nn.Module, path: str, owner: str) -> None:
    """Fill an encoder from a file.

    Args:
        encoder: to fill.
        path: a file with the encoder's state dict, a classifier allowed, or with that of a
            whole network of ours, whose `encoder.` part is taken.
        owner: name of the encoder, for messages.

    Raises:
        UserError: the file cannot be read or does not fit.
    """
    tensors = read_tensors(path)
    if any(name.startswith("encoder.") for name in tensors):
        prefix = len("encoder.")
        tensors = {k[prefix:]: v for k, v in tensors.items() if k.startswith("encoder.")}
    expected = encoder.state_dict()
    check_fit(expected, tensors, path, owner)
    with torch.no_grad():
        for name, tensor in expected.items():
            if name in tensors:
                tensor.copy_(tensors[name])
