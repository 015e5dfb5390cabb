"""The end of a process that has torch in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import atexit, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
{first}
from segscape.fast_exit import exit_fast

class Taken:
    def __del__(self):
        print("taken down")

kept = Taken()
atexit.register(print, "called at the exit")
threading.Thread(target=lambda: (time.sleep(0.3), print("a thread ended"))).start()
pool = ThreadPoolExecutor(1)
pool.submit(print, "pooled")
print("said", end="")
exit_fast(3)
"""


@pytest.mark.parametrize("first", ["import torch", ""])
def test_everything_is_said_and_called(first: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(first=first)], capture_output=True, text=True
    )
    assert done.returncode == 3, done.stderr
    assert "a thread ended" in done.stdout and "said" in done.stdout and "pooled" in done.stdout
    assert "called at the exit" in done.stdout
    # What is not there with torch is the slow part.
    assert ("taken down" in done.stdout) is (not first)
    assert not done.stderr
