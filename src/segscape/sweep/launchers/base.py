"""What a queue of jobs can do, and the frame of the Hydra launchers that own one."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from segscape.errors import UserError, nearest
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory, now

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

#: Why an attempt was cancelled that the queue did not take.
REFUSED = "refused by SLURM"


@dataclass(frozen=True)
class Live:
    """What a queue says of an attempt that has not ended.

    Attributes:
        state: waiting for its turn, or running.
        note: why it waits, or where it runs.
    """

    state: Literal["queued", "running"]
    note: str = ""


class Queue(Protocol):
    """Runs jobs. It keeps nothing in memory: what it knows is in files, or with the scheduler."""

    name: str
    poll_s: float  # between two looks at it, in seconds

    @property
    def slots(self) -> int | None:
        """How many jobs run at once; None: the scheduler decides."""

    def settings(self) -> dict[str, Any]:
        """Plain data from which `queue_from` makes the same queue."""

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        """Hand jobs over; the caller holds the sweep's lock.

        An attempt is recorded before the queue is asked and completed afterwards, so that a
        submitter that dies in between leaves nothing that could be run twice.
        """

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """By token, those attempts that wait or run; the others have ended."""

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        """Take them out of the queue, or ask them to save and stop."""

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """Why an attempt ended, as far as the queue knows, in a few words."""


def new_attempt(queue: Queue, code: str) -> Attempt:
    """An attempt that is about to be handed over."""
    return Attempt(secrets.token_hex(8), queue.name, None, now(), code)


def queue_from(name: str, settings: Mapping[str, Any]) -> Queue:
    """The queue of a sweep, from what `sweep.json` keeps of it.

    Raises:
        UserError: there is no such queue.
    """
    made = _queues()
    if name not in made:
        close = nearest(name, made)
        hint = f"did you mean {close}? " if close else ""
        raise UserError(f"there is no queue {name!r}", f"{hint}queues: {', '.join(made)}")
    return made[name](**settings)


def _queues() -> dict[str, Callable[..., Queue]]:
    from segscape.sweep.launchers.local import LocalQueue
    from segscape.sweep.launchers.slurm import SlurmQueue

    return {"local": LocalQueue, "slurm": SlurmQueue}


class QueueLauncher(Launcher):
    """A Hydra launcher that hands jobs to a queue of ours.

    Our own sweepers use `queue`; a foreign sweeper calls `launch`, which plans, submits and waits.
    """

    queue: Queue

    def __init__(self) -> None:
        self.config: DictConfig | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives every launcher."""
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs for a foreign sweeper and wait for their scores.

        Args:
            job_overrides: of each job.
            initial_job_idx: number of the first; jobs have identities here, so it has no use.
        """
        from segscape.sweep.launchers.plugin import run_batch

        assert self.config is not None, "setup() comes first"
        scores = run_batch(self.config, self.queue, job_overrides)
        returned = []
        for overrides, score in zip(job_overrides, scores, strict=True):
            result = JobReturn(overrides=list(overrides))
            if isinstance(score, Exception):
                result.status = JobStatus.FAILED
            else:
                result.status = JobStatus.COMPLETED
            result.return_value = score
            returned.append(result)
        return returned
