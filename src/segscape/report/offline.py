"""Reads what W&B recorded offline, where there is no run directory beside it."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segscape.errors import UserError

_HEADER = 7  # of the file, and of every piece
_BLOCK = 32768
_WHOLE, _FIRST, _LAST = 1, 2, 4


@dataclass
class Recorded:
    """What W&B recorded of a run.

    Attributes:
        name: that it shows.
        config: by key.
        summary: last value of every key, or the one that was set.
        history: logged rows.
        exit_code: of the process; None if it never ended properly.
        git: commit.
    """

    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    git: str = ""


def read(path: Path) -> Recorded:
    """The content of a `run-ID.wandb` file.

    Raises:
        UserError: it cannot be read, or wandb is not installed.
    """
    try:
        from wandb.proto import wandb_internal_pb2
    except ImportError as error:
        raise UserError(f"{path} is read with the package wandb", "pip install wandb") from error
    messages: Any = wandb_internal_pb2  # its classes are made when it is imported
    found = Recorded(name=path.stem)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    for piece in _pieces(data):
        try:
            _take(found, messages.Record.FromString(piece))
        except ValueError as error:
            raise UserError(f"{path} is damaged: {error}") from error
    return found


def _take(found: Recorded, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind == "run":
        found.name = record.run.display_name or found.name
        found.git = record.run.git.commit
        _update(found.config, record.run.config.update)
    elif kind == "config":
        _update(found.config, record.config.update)
    elif kind == "summary":
        _update(found.summary, record.summary.update)
    elif kind == "history":
        row: dict[str, Any] = {}
        _update(row, record.history.item)
        found.history.append(row)
        found.summary.update(row)
    elif kind == "exit":
        found.exit_code = int(record.exit.exit_code)


def _update(into: dict[str, Any], items: Any) -> None:
    for item in items:
        key = item.key or "/".join(item.nested_key)
        into[key] = json.loads(item.value_json)


def _pieces(data: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log; one that a killed process left unfinished is dropped."""
    at, whole = _HEADER, b""
    while at + _HEADER <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER:  # the rest of a block is filled up
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        start, at = at + _HEADER, at + _HEADER + length
        if at > len(data) or kind == 0:
            return
        whole = b"" if kind in (_WHOLE, _FIRST) else whole
        whole += data[start:at]
        if kind in (_WHOLE, _LAST):
            yield whole
