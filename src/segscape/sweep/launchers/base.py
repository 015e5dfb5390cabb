"""What a queue of jobs can do, and the command line of a job's process."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from segscape.sweep.memory.code_snapshot import python_path
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory, now
from segscape.sweep.memory.status import Live as Live

#: Why an attempt was cancelled that the queue did not take.
REFUSED = "refused by SLURM"
_WORKER = [sys.executable, "-P", "-m", "segscape.sweep.run.worker"]


class Queue(Protocol):
    """Runs jobs. It keeps nothing in memory: its state is in files, or with the scheduler.

    Attributes:
        name: by which `queue_from` makes it again.
        poll_s: pause between two queries of it, in seconds.
        background: whether jobs run without the command that submitted them, from a copy of the
            source. Else `run_here` runs them, and the queue exists within one command only.
    """

    name: str
    poll_s: float = 1.0
    background: bool = True

    @property
    def slots(self) -> int | None:
        """How many jobs run at once; None: the scheduler decides."""

    def settings(self) -> dict[str, Any]:
        """Plain data from which `queue_from` makes the same queue."""

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        """Hand jobs over; the caller holds the sweep's lock.

        An attempt is recorded before it is submitted and completed afterwards, so that nothing
        is run twice when the submitting process is killed in between.
        """

    def run_here(self, sweep: SweepDirectory) -> None:
        """Run to their end the jobs that were submitted; nothing to do for one in the background.

        The caller does not hold the sweep's lock.
        """
        return None

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """By token, those attempts that wait or run; the others have ended."""

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        """Take them out of the queue, or signal them to save and stop."""

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """Why an attempt ended, as recorded by the queue, in a few words."""


def new_attempt(queue: Queue, code: str) -> Attempt:
    """An attempt that is about to be handed over."""
    return Attempt(secrets.token_hex(8), queue.name, None, now(), code)


def worker_command(sweep: SweepDirectory, job: Job, attempt: Attempt) -> list[str]:
    """The command line of an attempt: later edits of yaml files and source do not change it."""
    path = python_path(sweep.path, attempt.code)
    return ["env", f"PYTHONPATH={path}", *_WORKER, str(sweep.place(job)), attempt.token]


def worker_arguments(command: Sequence[str]) -> tuple[str, list[str]] | None:
    """PYTHONPATH and arguments in a command line of `worker_command`; None for any other."""
    _, path, *rest = command if len(command) > 1 else ("", "")
    name, _, value = path.partition("=")
    if command[0] != "env" or name != "PYTHONPATH" or rest[: len(_WORKER)] != _WORKER:
        return None
    return value, list(rest[len(_WORKER) :])
