"""Who searches: a lock for each searcher that lives, and a word to end them all.

The kernel drops the locks when a process is killed, so nothing has to wait for one to grow old.
"""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segscape.runs.files import write_atomically

FOLDER = "search"
# Without locks in the file system the age of a file says whether its writer lives.
_HEARTBEAT_S = 300.0
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Owner:
    """A searcher that lives: a locked file, by whose name trials say whose they are.

    Args:
        folder: where the files of all searchers of a sweep are.
    """

    def __init__(self, folder: Path) -> None:
        self.token = secrets.token_hex(8)
        self._folder = folder
        self._path = _file_of(folder, self.token)

    @contextmanager
    def living(self) -> Iterator[Owner]:
        """Be alive for as long as the block runs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _locked(descriptor)
            yield self
        finally:
            self._path.unlink(missing_ok=True)
            os.close(descriptor)

    @functools.cached_property
    def place(self) -> str:
        """What the folder is called in a study: the same wherever it is mounted or moved to.

        Whoever asks first holds the sweep's lock.
        """
        file = self._folder / "place"
        if not file.is_file():
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(file, secrets.token_hex(8))
        return file.read_text()

    def stop_word(self) -> str:
        """Changes when the searchers of this sweep are told to end."""
        try:
            return (self._folder / "stop").read_text()
        except FileNotFoundError:
            return ""

    def beat(self) -> None:
        """Say that this process lives, for file systems without locks."""
        os.utime(self._path)

    def lives(self, token: str) -> bool:
        """Whether the searcher with this token is this one, or another that lives."""
        return token == self.token or _lives(_file_of(self._folder, token))


def end_all(folder: Path) -> int:
    """Let all searchers of a sweep end; its jobs are left to the caller, who holds the lock.

    Returns:
        How many there are.
    """
    living = [file for file in folder.glob("*.lock") if _lives(file)]
    if living:
        write_atomically(folder / "stop", secrets.token_hex(8))
    return len(living)


def _file_of(folder: Path, token: str) -> Path:
    return folder / f"{token}.lock"


def _lives(path: Path, clock: Callable[[], float] = time.time) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        locked = _locked(descriptor)
        if locked is None:
            return clock() - path.stat().st_mtime < _HEARTBEAT_S
        return not locked
    except FileNotFoundError:  # it ended while we looked
        return False
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Whether the lock could be taken; None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return None
    return True
