"""Reading checkpoints as the plain data that they are: no Lightning, no code of a file is run."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from segscape.errors import UserError

BEST, LAST = "best.ckpt", "last.ckpt"


def find(place: str | Path, name: str | None = None) -> Path:
    """The checkpoint file meant by a file's or a run directory's name.

    Args:
        place: a file, or a run directory.
        name: which one of a run directory; by default the best, else the last.

    Raises:
        UserError: there is none.
    """
    path = Path(place)
    if path.is_dir():
        names = (BEST, LAST) if name is None else (name,)
        candidates = [path / "checkpoints" / n for n in names]
        path = next((c for c in candidates if c.is_file()), candidates[0])
    if not path.is_file():
        raise UserError(
            f"{place}: there is no checkpoint ({path} is missing)",
            "give a run directory or a .ckpt file of segscape",
        )
    return path


def read(path: str | Path, *, mmap: bool = True) -> dict[str, Any]:
    """Load a checkpoint of this project onto the CPU.

    Args:
        path: the file.
        mmap: read tensors from the file only when they are used.

    Raises:
        UserError: the file is missing, damaged, or not such a checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no checkpoint {path}")
    hint = "choose another checkpoint, or start again in a new run_dir"
    if not zipfile.is_zipfile(path):  # what torch has written since 1.6; mmap supports nothing else
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is truncated, or not written by segscape",
            f"{hint}; for an official file: segscape import-weights FILE",
        )
    try:
        data = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read as a checkpoint: {reason}", hint) from error
    if not isinstance(data, dict) or "segscape" not in data or "state_dict" not in data:
        raise UserError(
            f"{path} is not a checkpoint of segscape",
            "for an official file: segscape import-weights FILE, then weights=OUT.safetensors",
        )
    return data
