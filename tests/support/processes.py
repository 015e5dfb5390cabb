"""Trainings in child processes that can be killed, without paying the imports each time."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["standin"])
# The server that imports everything once finds modules by this variable only.
_folders = [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _folders))


def _target(path: str, options: dict[str, Any]) -> None:
    # A group of its own, as a shell makes for a job: a signal to the group is a real Ctrl-C.
    os.setpgrp()
    log = Path(path).with_suffix(".log").open("a")
    os.dup2(log.fileno(), 2)
    faulthandler.register(signal.SIGUSR2)
    # Without a terminal the forkserver's children start with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import standin

    try:
        result = standin.train(path, **options)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    Path(path).with_suffix(".result").write_bytes(pickle.dumps(result))
    sys.stdout.flush()
    os._exit(result.exit_code)


class Child:
    """A training in a process of its own."""

    def __init__(self, path: Path, **options: Any) -> None:
        self.path = path
        self.process = _context.Process(target=_target, args=(str(path), options))
        self.process.start()

    def end(self, timeout: float = 300) -> int:
        """Exit code; negative is the signal that killed it."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.signal(signal.SIGKILL)
            raise TimeoutError(self.log())
        return self.process.exitcode

    def signal(self, number: int) -> None:
        """To the whole group, as a terminal or a batch system does."""
        assert self.process.pid is not None
        os.killpg(self.process.pid, number)

    def wait_for(self, happened: Callable[[], bool], timeout: float = 300) -> None:
        end = time.monotonic() + timeout
        while not happened():
            assert self.process.is_alive() and time.monotonic() < end, self.log()
            time.sleep(0.005)

    def log(self) -> str:
        file = self.path.with_suffix(".log")
        return file.read_text() if file.is_file() else ""


def run(path: Path, **options: Any) -> int:
    """Train to the end in a child process; its exit code."""
    child = Child(path, **options)
    code = child.end()
    assert code != 1, child.log()
    return code
