"""Files that are always whole: YAML, JSON and CSV, written atomically and read in one way.

A file is written to a temporary neighbour, flushed to the disk and renamed into place, so a process
that is killed at any moment results in the previous version or the new one, never half of one.

Reading: a file that is missing is empty. One that is damaged (a disk may be full or fail), or that
holds something else, is a `UserError` which names it; no reader takes a part of it or skips it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import yaml

from segscape.errors import UserError

# libyaml's loader is ten times as fast, where PyYAML was built with it.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that readers see the old or the new one, even after a power cut.

    Args:
        path: the file; its directory is made.
        content: text (written as UTF-8) or bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write strict JSON atomically: numpy and torch figures as plain ones, nan and inf as null."""
    write_atomically(path, json.dumps(plain(values), indent=2, allow_nan=False) + "\n")


def write_yaml(path: Path, data: Any) -> None:
    """Write YAML atomically, from plain data, numpy and torch figures."""
    text = yaml.safe_dump(plain(data, keep_nan=True), sort_keys=False, allow_unicode=True)
    write_atomically(path, text)


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> None:
    """Write CSV atomically; a row without a column has an empty cell there."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when there is no file.

    Raises:
        UserError: the file is damaged, or holds something else than an object.
    """
    found = _read(path, json.loads)
    if found is not None and not isinstance(found, dict):
        raise damaged(path, "it holds no JSON object, as in {KEY: VALUE, ...}")
    return found or {}


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; None when there is no file.

    Raises:
        UserError: the file is damaged.
    """
    return _read(path, lambda text: yaml.load(text, Loader=_YAML))


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a CSV file, as texts; both empty when there is no file.

    Raises:
        UserError: the file is damaged.
    """
    lines = _read(path, lambda text: list(csv.reader(io.StringIO(text, newline="")))) or [[]]
    columns = lines[0]
    return columns, [
        dict(zip_longest(columns, line[: len(columns)], fillvalue="")) for line in lines[1:] if line
    ]


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # CSV: line breaks inside of cells
            return parse(file.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, csv.Error, yaml.YAMLError) as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, reason: str) -> UserError:
    """The error for a file of which the content is not what it should be."""
    hint = "remove it and run the command of its run or sweep again: it goes on from what is there"
    return UserError(f"{path} is damaged: {reason}", hint)


def plain(value: Any, keep_nan: bool = False) -> Any:
    """The same data in types that JSON and YAML support."""
    if isinstance(value, Mapping):
        return {str(key): plain(each, keep_nan) for key, each in value.items()}
    if hasattr(value, "tolist"):  # numpy arrays and figures, torch tensors
        value = value.tolist()
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each, keep_nan) for each in value]
    if isinstance(value, float) and not math.isfinite(value) and not keep_nan:
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
