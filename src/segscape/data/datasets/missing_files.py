"""Missing files: an error for everybody, a list of all of them for the doctor.

A data set lists its files when it is opened. Whoever finds one missing says so by `report_absent`,
which raises; inside `collecting` it takes a note instead, and the listing goes on without that
sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from segscape.errors import UserError


@dataclass(frozen=True)
class Absent:
    """A file that is not where it should be.

    Attributes:
        file: where it should be.
        error: what would have been raised.
    """

    file: Path
    error: UserError


_notes: ContextVar[list[Absent] | None] = ContextVar("absent files", default=None)


def report_absent(file: Path, error: UserError) -> None:
    """Raise the error; inside `collecting` note it and return.

    Raises:
        UserError: the given one, unless somebody collects.
    """
    notes = _notes.get()
    if notes is None:
        raise error
    notes.append(Absent(file, error))


@contextmanager
def collecting() -> Iterator[list[Absent]]:
    """Within it missing files are noted in the list that this gives, not raised."""
    token = _notes.set([])
    notes = _notes.get()
    assert notes is not None
    try:
        yield notes
    finally:
        _notes.reset(token)
