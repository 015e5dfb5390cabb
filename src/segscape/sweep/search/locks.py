"""Locks that end with their process: of the study's journal, and of a living searcher.

The kernel drops them when a process is killed, so nothing has to wait for a lock to grow old.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from optuna.storages.journal import JournalFileSymlinkLock

# Without locks in the file system the age of a file says whether its writer lives.
_HEARTBEAT_S = 300.0
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class JournalLock(JournalFileSymlinkLock):
    """Makes one process at a time append to a journal, and mends what a killed one left.

    Half a line at the end of the journal would make every later line unreadable. Writers append
    under this lock only, so that half a line belongs to a writer that has died: it is cut off.

    Where the file system has no locks, Optuna's own way is used, which waits half a minute for a
    dead process.

    Args:
        journal: the file.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._file = journal.with_name(f"{journal.name}.flock")
        self._held: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._held = descriptor
        except OSError as error:
            os.close(descriptor)
            if error.errno not in _NO_LOCKS:
                raise
            super().acquire()
        self._mend()
        return True

    def release(self) -> None:
        """Let the next one write."""
        if self._held is None:
            super().release()
        else:
            os.close(self._held)
            self._held = None

    def mend(self) -> None:
        """Cut off half a line now, so that reading the journal does not stumble over it."""
        self.acquire()
        self.release()

    def _mend(self) -> None:
        with self._journal.open("ab+") as file:
            end = file.tell()
            if not end:
                return
            file.seek(end - 1)
            if file.read(1) == b"\n":
                return
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


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

    def beat(self) -> None:
        """Say that this process lives, for file systems without locks."""
        os.utime(self._path)

    def lives(self, token: str) -> bool:
        """Whether the searcher with this token is this one, or another that lives."""
        return token == self.token or _lives(_file_of(self._folder, token))


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
        if error.errno not in _NO_LOCKS:
            raise
        return None
    return True
