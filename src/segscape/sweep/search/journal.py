"""The lock of a study's journal, which ends with its process."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from optuna.storages.journal import JournalFileSymlinkLock

from segscape.sweep.search.locks import NO_LOCKS


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
            if error.errno not in NO_LOCKS:
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
