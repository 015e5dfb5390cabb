"""Weights of an encoder from a local file, with every tensor accounted for.

Loading with `strict=False` hides a wrong file: the network then trains from scratch and is some
ten points of mIoU worse without a word. So a tensor of the encoder that the file lacks, or has in
another shape, is an error; what the file has beyond the encoder must be of a classifier.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

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


@contextmanager
def impatient_hub() -> Iterator[None]:
    """Without a network take weights from the Hugging Face cache, or fail at once.

    The hub's client otherwise retries for most of a minute, and prints every attempt, before it
    says that the host name does not resolve. Behind a proxy the name need not resolve here.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    proxied = any(name in getproxies() for name in ("https", "all"))
    host = urlsplit(constants.ENDPOINT).hostname
    try:
        if not proxied:
            socket.getaddrinfo(host, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def probe(encoder: nn.Module, height: int, width: int) -> list[Tensor]:
    """Outputs of an encoder on the meta device, where they have shapes and cost nothing.

    Args:
        encoder: gives a list of tensors; it is left as it is.
        height: of the image.
        width: of the image.
    """
    state = {
        name: tensor.to("meta")
        for name, tensor in [*encoder.named_parameters(), *encoder.named_buffers()]
    }
    image = torch.empty(1, 3, height, width, device="meta")
    training = encoder.training
    try:
        return list(torch.func.functional_call(encoder.eval(), state, (image,)))
    finally:
        encoder.train(training)
