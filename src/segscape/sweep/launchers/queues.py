"""The one place that chooses a queue by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from segscape.errors import unknown
from segscape.sweep.launchers.base import Queue
from segscape.sweep.launchers.local import LocalQueue
from segscape.sweep.launchers.slurm import SlurmQueue
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory
from segscape.sweep.memory.status import JobStatus, job_statuses

#: By the name of their launcher.
QUEUES: dict[str, Callable[..., Queue]] = {"local": LocalQueue, "slurm": SlurmQueue}


def queue_from(name: str, settings: Mapping[str, Any]) -> Queue:
    """The queue of a sweep, from what `sweep.json` keeps of it.

    Raises:
        UserError: there is no such queue.
    """
    if name not in QUEUES:
        raise unknown(f"there is no queue {name!r}", name, QUEUES, label="queues")
    return QUEUES[name](**settings)


def own_queue(sweep: SweepDirectory) -> Queue:
    """The queue that `sweep.json` names; this machine's, where it names none."""
    launcher = sweep.read_description().get("launcher") or {"name": "local", "settings": {}}
    return queue_from(launcher["name"], launcher["settings"])


def queue_of(sweep: SweepDirectory, attempt: Attempt, queue: Queue | None = None) -> Queue:
    """The queue that an attempt was handed to.

    Args:
        sweep: of the attempt.
        attempt: of a job.
        queue: the one in use; it is returned if the attempt was handed to one of its name.
    """
    if queue is not None and attempt.launcher == queue.name:
        return queue
    launcher = sweep.read_description().get("launcher") or {}
    same = launcher.get("name") == attempt.launcher
    return queue_from(attempt.launcher, launcher["settings"] if same else {})


def statuses(
    sweep: SweepDirectory, queue: Queue | None = None, jobs: Iterable[Job] | None = None
) -> list[JobStatus]:
    """The status of each job.

    Args:
        sweep: where they are.
        queue: the one in use; attempts in others are looked up in queues of that name. None: the
            one of `sweep.json`.
        jobs: by default all of the manifest.
    """
    return job_statuses(sweep, lambda attempt: queue_of(sweep, attempt, queue), jobs)
