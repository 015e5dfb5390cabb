"""Jobs on this machine without the cost of imports: one process imports, and forks each job.

Importing torch and Lightning takes seconds of a core, longer than a small job's own work. The
process `python -P -m segscape.sweep.run.fork_server` imports them once, from the copied source of
the jobs, reads requests from its standard input, a line of JSON each, and answers in the same way
on its standard output. It computes nothing and never touches a GPU, so a job that is forked from it
begins where a fresh process is after its imports.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segscape.fast_exit import exit_fast

# What every training imports.
_MODULES = (
    *("cv2", "lightning", "torch", "torchmetrics", "rich.console"),
    *("segscape.data.loader", "segscape.engine.fit", "segscape.engine.task", "segscape.job"),
    *("segscape.models.segmenter", "segscape.profiling.complexity", "segscape.profiling.latency"),
    *("segscape.profiling.report", "segscape.sweep.run.worker"),
)
# Between two checks whether a job has ended, in seconds.
_LOOK_S = 0.1


@dataclass
class ForkedJob:
    """The runner's handle of a forked job: what it needs of a `subprocess.Popen`.

    Attributes:
        pid: of its process.
        lost: how it ends is no longer known; its lock shows whether it is running.
    """

    server: ForkServer
    pid: int
    lost: bool = False

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs, or when it is `lost`."""
        self.server.listen()
        return self.server.ended.get(self.pid)


@dataclass
class ForkServer:
    """The runner's side: the process that forks, and its replies.

    Args:
        environment: of the process and its jobs.
        process: that forks; None before the first job.
    """

    environment: Mapping[str, str]
    ended: dict[int, int] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    _jobs: list[ForkedJob] = field(default_factory=list)
    _said: bytes = b""
    _begun: list[int] = field(default_factory=list)

    def start(self, arguments: Sequence[str], cores: Sequence[int] | None) -> ForkedJob | None:
        """Fork a job.

        Args:
            arguments: of `segscape.sweep.run.worker`.
            cores: that it may use; None for those of the runner.

        Returns:
            None when the process cannot: the job has not begun then.
        """
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "segscape.sweep.run.fork_server"],
                env=dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        request = {"arguments": list(arguments), "cores": None if cores is None else list(cores)}
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        while not self._begun:
            if not self.listen(wait_s=None):
                return None
        job = ForkedJob(self, self._begun.pop())
        self._jobs.append(job)
        return job

    def listen(self, wait_s: float | None = 0.0) -> bool:
        """Read the replies of the process; False when there will be no more."""
        process = self.process
        if process is None or process.stdout is None:
            return False
        while select.select([process.stdout], [], [], wait_s)[0]:
            wait_s = 0.0
            heard = os.read(process.stdout.fileno(), 65536)
            if not heard:
                self._gone()
                return False
            *lines, self._said = (self._said + heard).split(b"\n")
            for line in lines:
                answer = json.loads(line)
                if "begun" in answer:
                    self._begun.append(answer["begun"])
                else:
                    self.ended[answer["ended"]] = answer["code"]
        return True

    def close(self) -> None:
        """Let it end after its last job."""
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def _gone(self) -> None:
        assert self.process is not None
        self.process.wait()
        for job in self._jobs:
            job.lost = job.pid not in self.ended


def serve() -> list[str] | None:
    """Fork a job for each request, until there are no more and the last one has ended.

    Returns:
        None in the process that forks; in a forked one the arguments of its job.
    """
    answers = os.dup(1)
    # What a package prints while it is imported is no reply.
    os.dup2(2, 1)
    for name in _MODULES:
        importlib.import_module(name)
    # The collector would touch, and so copy, every page that the jobs share.
    gc.collect()
    gc.freeze()
    heard, open_, living = b"", True, 0
    while open_ or living:
        if open_ and select.select([0], [], [], _LOOK_S if living else None)[0]:
            more = os.read(0, 65536)
            open_ = bool(more)
            *lines, heard = (heard + more).split(b"\n")
            for line in lines:
                request = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    os.close(answers)
                    return _job(request)
                living += 1
                _answer(answers, {"begun": pid})
        living -= _tell_ended(answers, wait=not open_)
    return None


def _tell_ended(answers: int, wait: bool) -> int:
    """Report which jobs have ended; their number."""
    found = 0
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, 0 if wait else os.WNOHANG))[0]:
            found += 1
            code = os.waitstatus_to_exitcode(ended[1])
            _answer(answers, {"ended": ended[0], "code": code})
            wait = False
    return found


def _answer(answers: int, values: Mapping[str, int]) -> None:
    # The jobs go on when the runner has ended.
    with contextlib.suppress(BrokenPipeError):
        os.write(answers, json.dumps(values).encode() + b"\n")


def _job(request: Mapping[str, Any]) -> list[str]:
    """Set up a forked process as one that was started as a command."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if request["cores"] is not None:
        os.sched_setaffinity(0, request["cores"])
    sys.argv = ["segscape.sweep.run.worker", *request["arguments"]]
    return list(request["arguments"])


def main() -> None:
    """Entry of `python -m segscape.sweep.run.fork_server`."""
    arguments = serve()
    if arguments is None:
        exit_fast(0)
    from segscape.sweep.run.worker import entry

    entry(arguments)


if __name__ == "__main__":
    main()
