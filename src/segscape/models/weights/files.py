"""Our own weight files, and the one entry point for weights of any origin."""

from __future__ import annotations

import json
import os
import tempfile
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
            `licence`, whatever the caller knows. The format version is added.

    Returns:
        The path.

    Raises:
        UserError: a wrong suffix, metadata that is not strings, or the file cannot be written.
    """
    from safetensors.torch import save_file

    path = Path(path)
    if path.suffix != ".safetensors":
        raise UserError(
            f"Weights are written as .safetensors, not as '{path.name}'.",
            f"Use '{path.with_suffix('.safetensors').name}'.",
        )
    header = {"format": "pt", OWN_KEY: FORMAT_VERSION, **(metadata or {})}
    odd = [key for key, value in header.items() if not isinstance(value, str)]
    if odd:
        raise UserError(f"Metadata of a weight file is text only, not so: {', '.join(odd)}.")
    plain = {
        # Channels-last and shared tensors cannot be written as they are.
        name: value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, value in state_dict.items()
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        try:
            save_file(plain, temporary, header)
            # mkstemp makes files that only their owner can read.
            Path(temporary).chmod(0o666 & ~_umask())
            Path(temporary).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(temporary).unlink()
    except OSError as error:
        raise UserError(f"Cannot write '{path}': {error.strerror or error}.") from error
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def load_into(model: nn.Module, path: str | Path, system: str | None = None) -> ImportReport:
    """Fill a model with the weights of a file of any known origin.

    Our safetensors, the checkpoints of our trainings, and the checkpoints of every source that
    `sources.listed` knows, in any container that `read_tensors` knows.

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
                model, contents.tensors, contents.outside, lambda: _told(contents.metadata)
            )
        return load_official(model, contents.tensors, system)
    except UserError as error:
        raise UserError(f"Weights of '{path}': {error.what}", error.hint) from None


def _is_own(model: nn.Module, contents: Contents) -> bool:
    """Ours by what the file says, or, for a bare state dict, by its names."""
    if contents.own:
        version = contents.metadata.get(OWN_KEY, FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise UserError(
                f"the file has the format version {version}, this segscape reads {FORMAT_VERSION}",
                "Update segscape.",
            )
        return True
    return contents.tensors.keys() <= model.state_dict().keys()


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What one of our files says of itself; `choices` is decoded. Empty for other files.

    Raises:
        UserError: the file cannot be read.
    """
    contents = read(path)
    metadata = dict(contents.metadata) if contents.own else {}
    if isinstance(metadata.get("choices"), str):
        with suppress(json.JSONDecodeError):
            metadata["choices"] = json.loads(metadata["choices"])
    return metadata


def _told(metadata: Mapping[str, Any]) -> str | None:
    """What the file says of the network that it was made with."""
    known = [
        f"{key}={metadata[key]}"
        for key in ("system", "model", "choices", "num_classes")
        if metadata.get(key)
    ]
    return f"The file says of itself: {', '.join(known)}." if known else None
