"""What the adapters of timm and smp share: shapes of features, downloads of pretrained weights."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn


@contextmanager
def fail_fast_offline() -> Iterator[None]:
    """Without a network, take weights from the Hugging Face cache or fail at once.

    The hub's client otherwise retries for most of a minute, and prints every attempt, before it
    has found that the host name does not resolve. Behind a proxy the name need not resolve here.
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


def fetch_hint(where: str, file: str, encoder: str = "") -> str:
    """What to do when a download is impossible.

    Args:
        where: address of the page or folder that has the file.
        file: its name.
        encoder: the choice of encoder that takes the file, where it is another than the user's.
    """
    command = f"{encoder} encoder.weights=FILE".lstrip()
    return (
        f"fetch {file} from {where} where there is a network, copy it here and give its path: "
        f"{command}; without a network at all: encoder=efficientnet_lite0 "
        "encoder.weights=imagenet takes its weights from a Python package, "
        "encoder.weights=null starts from random ones"
    )


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
