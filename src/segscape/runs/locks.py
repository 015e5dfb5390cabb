"""Locks of files: the kernel drops them with the process that holds them, however it ends."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path


def try_lock(descriptor: int) -> bool:
    """Take the lock of an open file; False when another process holds it.

    The kernel drops it with the process. Where there are no locks nothing is locked.
    """
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True  # this file system has no locks: better a run without one than no run
    return True


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of a file. It is taken for a moment to find out."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except OSError:  # a file of another user, or a read-only disk
        return is_locked_for_readers(path)
    try:
        return not try_lock(descriptor)
    finally:
        os.close(descriptor)


def is_locked_for_readers(path: Path) -> bool:
    """The same by F_GETLK, which Linux allows without the right to write too."""
    if sys.platform != "linux":
        return False
    import fcntl

    # struct flock: type, whence, start, length, pid
    request = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    with path.open("rb") as file:
        answer = fcntl.fcntl(file, fcntl.F_GETLK, request)
    return struct.unpack("hhqqi4x", answer)[0] != fcntl.F_UNLCK
