"""Reads what W&B recorded offline, from its own file."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def records(directory: Path) -> list[Any]:
    """The records of a .wandb file: a LevelDB log of protocol buffers behind 7 bytes of header."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = directory.glob("*.wandb")
    data, at, whole, found = path.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            found.append(Record.FromString(whole))
            whole = b""
    return found


def history(directory: Path) -> list[dict[str, Any]]:
    """The logged rows."""
    return [
        {
            item.key or "/".join(item.nested_key): json.loads(item.value_json)
            for item in r.history.item
        }
        for r in records(directory)
        if r.WhichOneof("record_type") == "history"
    ]


def read_summary(directory: Path) -> dict[str, Any]:
    """What the run's summary shows: the last value of every key."""
    found: dict[str, Any] = {}
    for record in records(directory):
        kind = record.WhichOneof("record_type")
        items = record.summary.update if kind == "summary" else ()
        items = record.history.item if kind == "history" else items
        for item in items:
            found[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return found
