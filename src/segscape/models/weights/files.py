"""Our own weight files, and the one entry point for weights of any origin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.weights.importer import ImportReport, load_official, load_own
from segscape.models.weights.read import OWN_KEY, Contents, read

FORMAT_VERSION = "1"


def save(
    path: str | Path, state_dict: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write weights as safetensors: to a temporary file first, then renamed into place.

    Args:
        path: ends in `.safetensors`; its directory is made when missing.
        state_dict: of one of our models.
        metadata: strings for the header: `system`, `source`, `num_classes`, `choices` (JSON),
            `licence`, any of them. The format version is added.

    Returns:
        The path.

    Raises:
        UserError: a wrong suffix, metadata that is not strings, or the file cannot be written.
    """
    from safetensors.torch import save as serialize

    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(
            f"weights are written as .safetensors, not as '{path.name}'",
            f"use '{path.with_suffix('.safetensors').name}'",
        )
    header = {**(metadata or {}), "format": "pt", OWN_KEY: FORMAT_VERSION}
    odd = [key for key, value in header.items() if not isinstance(value, str)]
    if odd:
        raise UserError(f"metadata of a weight file is text only, not so: {', '.join(odd)}")
    plain = {
        # Channels-last and shared tensors cannot be written as they are.
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in state_dict.items()
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not safetensors' save_file, whose files only their owner can read.
        with temporary.open("wb") as file:
            file.write(serialize(plain, header))
            file.flush()
            os.fsync(file.fileno())  # renamed only once it is on the disk
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"cannot write '{path}': {error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def load_into(model: nn.Module, path: str | Path, system: str | None = None) -> ImportReport:
    """Fill a model with the weights of a file of any known origin.

    Our safetensors, the checkpoints of our trainings, and the checkpoints of every source that
    `sources.listed` names, in any container that `read_tensors` reads.

    Args:
        model: filled in place; its devices and types are kept.
        path: the file.
        system: expect an official checkpoint of this system; None accepts any.

    Raises:
        UserError: the file cannot be read, or does not fit the model; the model is unchanged.
    """
    contents = read(path)
    try:
        if _is_own(model, contents):
            return load_own(
                model, contents.tensors, contents.outside, lambda: _recorded(contents.metadata)
            )
        return load_official(model, contents.tensors, system)
    except UserError as error:
        raise UserError(f"weights of '{path}': {error.what}", error.hint) from None


def _is_own(model: nn.Module, contents: Contents) -> bool:
    """Whether segscape wrote the file: marked so, or a bare state dict with mostly our names."""
    if contents.own:
        version = contents.metadata.get(OWN_KEY, FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise UserError(
                f"the file has the format version {version}, this segscape reads {FORMAT_VERSION}",
                "update segscape",
            )
        return True
    known = contents.tensors.keys() & model.state_dict().keys()
    return 2 * len(known) > len(contents.tensors)


def _recorded(metadata: Mapping[str, Any]) -> str | None:
    """What the file records of the network that it was made with."""
    known = [
        f"{key}={metadata[key]}"
        for key in ("system", "model", "choices", "num_classes")
        if metadata.get(key)
    ]
    return f"the file records: {', '.join(known)}" if known else None
