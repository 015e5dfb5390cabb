"""Locks, also for a process without the right to write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from segscape.errors import UserError
from segscape.runs import locks
from segscape.runs.run_directory import RunDirectory

HOLD = """
import os, sys
from segscape.runs.locks import try_lock
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
print(try_lock(descriptor), flush=True)
sys.stdin.read()
"""


def test_a_lock_is_seen_with_and_without_the_right_to_write(tmp_path: Path) -> None:
    file = tmp_path / ".lock"
    assert not locks.is_locked(file)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"True\n"
        assert locks.is_locked(file)
        if sys.platform == "linux":
            assert locks.is_locked_for_readers(file)
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait()
    assert not locks.is_locked(file)
    assert not locks.is_locked_for_readers(file)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": "fin')
    with pytest.raises(UserError, match=r"status\.json is damaged"):
        RunDirectory(tmp_path).read_status()
