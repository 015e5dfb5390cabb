"""Missing files: an error in general, a list of all of them for `segscape data check`.

A data set lists its files when it is opened, and reports each missing one by `report_missing`,
which raises. Inside `collect_missing` the errors are collected instead, and the listing continues
without those samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from segscape.errors import UserError


@dataclass(frozen=True)
class MissingFile:
    """A file that does not exist.

    Attributes:
        file: where it is expected.
        error: what is raised outside of `collect_missing`.
    """

    file: Path
    error: UserError


_collected: ContextVar[list[MissingFile] | None] = ContextVar("missing files", default=None)


def report_missing(file: Path, error: UserError) -> None:
    """Raise the error; inside `collect_missing` add it to the list and return.

    Raises:
        UserError: the given one.
    """
    collected = _collected.get()
    if collected is None:
        raise error
    collected.append(MissingFile(file, error))


def none_missing(missing: Sequence[Path], hint: str) -> bool:
    """Report each of these files; True if there are none.

    Raises:
        UserError: naming the first file, unless inside `collect_missing`.
    """
    for file in missing:
        report_missing(file, UserError(f"{file}: {why_missing(file)}", hint))
    return not missing


def why_missing(path: Path, kind: str = "file") -> str:
    """What is at a path instead of the expected file or folder."""
    if path.is_symlink():
        return "is a symbolic link that leads nowhere or in a circle"
    if kind == "file" and path.is_dir():
        return "is a folder, not a file"
    return "there is no such folder" if kind == "folder" else "the file does not exist"


@contextmanager
def collect_missing() -> Iterator[list[MissingFile]]:
    """Collect missing files in the list that this yields instead of raising."""
    collected: list[MissingFile] = []
    token = _collected.set(collected)
    try:
        yield collected
    finally:
        _collected.reset(token)
