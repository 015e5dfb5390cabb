"""The status of every job, read from its files and from the queue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Protocol

from segscape.exit_codes import STOPPED
from segscape.runs.locks import is_locked
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory

# An attempt is recorded before it is submitted: for so long it may not be in the queue yet.
_ON_ITS_WAY_S = 60.0
# A queue's cause begins so when a job was taken out of it by the scheduler's own command.
_BY_HAND = "cancelled"
_VANISHED = "its process was killed, or vanished with the machine"


class State(StrEnum):
    """Of a job.

    A job FAILED by its own fault: the same configuration would fail again. It is LOST when its
    process was killed or vanished, and STOPPED when it saved after a signal.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    LOST = "lost"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
    PRUNED = "pruned"


LIVE = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class JobStatus:
    """The status of a job.

    Attributes:
        job: which.
        state: see `State`.
        cause: why it is not running, or waits, in a few words.
        attempts: how often it was handed to a queue.
        row: last row of metrics.csv, empty before the first.
        summary: of a finished job.
        log: what it printed.
        started: when its latest process began, ISO 8601.
        record: `status.json` of its run.
    """

    job: Job
    state: State
    cause: str | None
    attempts: int
    row: Mapping[str, Any]
    summary: Mapping[str, Any]
    log: Path
    started: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Live:
    """The state in a queue of an attempt that has not ended.

    Attributes:
        state: waiting for its turn, or running.
        note: why it waits, or where it runs.
    """

    state: Literal["queued", "running"]
    note: str = ""


class Asked(Protocol):
    """The methods of a queue from which the status of its jobs is found."""

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """By token, those attempts that wait or run; the others have ended."""

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """Why an attempt ended, as recorded by the queue, in a few words."""


QueueOf = Callable[[Attempt], Asked]


def job_statuses(
    sweep: SweepDirectory, queue_of: QueueOf, jobs: Iterable[Job] | None = None
) -> list[JobStatus]:
    """The status of each job.

    Args:
        sweep: where they are.
        queue_of: the queue that an attempt was handed to.
        jobs: by default all of the manifest.
    """
    wanted = list(sweep.jobs() if jobs is None else jobs)
    latest = {job.id: sweep.attempts(job) for job in wanted}
    # The queue is read before the files: what ends meanwhile is then found there. A
    # sweep that is done needs no queue, which may be on another machine.
    asked: dict[str, dict[str, Attempt]] = {}
    for job in wanted:
        if latest[job.id] and not sweep.run(job).is_finished():
            last = latest[job.id][-1]
            asked.setdefault(last.launcher, {})[last.token] = last
    live: dict[str, Live] = {}
    for attempts in asked.values():
        live |= queue_of(next(iter(attempts.values()))).live(sweep, attempts)
    return [_job_status(sweep, job, latest[job.id], live, queue_of) for job in wanted]


def worker_lives(place: Path) -> bool:
    """Whether a process on this or another machine holds the lock of a job's worker."""
    return is_locked(place / ".worker")


def _job_status(
    sweep: SweepDirectory,
    job: Job,
    attempts: list[Attempt],
    live: Mapping[str, Live],
    queue_of: QueueOf,
) -> JobStatus:
    run = RunDirectory(sweep.place(job))
    status, worker = run.read_status(), sweep.worker(job)
    state, cause = _state(sweep, job, attempts, live, queue_of, status, worker)
    begun = bool(attempts) and worker.get("token") == attempts[-1].token
    rows = run.read_metrics() if state is not State.WAITING else []
    return JobStatus(
        job=job,
        state=state,
        cause=cause,
        attempts=len(attempts),
        row=rows[-1] if rows else {},
        summary=run.read_summary() if state is State.FINISHED else {},
        log=sweep.log_path(job),
        started=worker.get("started") if begun else None,
        record=status,
    )


def _state(
    sweep: SweepDirectory,
    job: Job,
    attempts: list[Attempt],
    live: Mapping[str, Live],
    queue_of: QueueOf,
    status: Mapping[str, Any],
    worker: Mapping[str, Any],
) -> tuple[State, str | None]:
    # A third-party launcher records no attempts: then there is only the run directory.
    if status.get("state") == "finished":
        return State.FINISHED, None
    if not attempts:
        return _without_attempts(sweep.place(job), status)
    last = attempts[-1]
    found = live.get(last.token)
    if found is not None:
        running = found.state == "running"
        return (State.RUNNING if running else State.QUEUED), found.note or None
    if last.cancelled:
        pruned = last.reason == "pruned"
        return (State.PRUNED if pruned else State.CANCELLED), last.reason or None
    if worker.get("token") == last.token and worker.get("exit") is not None:
        if worker["exit"] == STOPPED:
            known = queue_of(last).cause(sweep, last)
            if known and known.startswith(_BY_HAND):
                return State.CANCELLED, known
            return State.STOPPED, f"saved after {worker.get('signal') or 'a signal'}"
        return State.FAILED, status.get("error") or f"exit code {worker['exit']}"
    if last.queue_id is None and _age_s(last.submitted) < _ON_ITS_WAY_S:
        return State.QUEUED, "being submitted"
    cause = queue_of(last).cause(sweep, last)
    if cause and cause.startswith(_BY_HAND):
        return State.CANCELLED, cause
    return State.LOST, cause or _VANISHED


def _without_attempts(place: Path, status: Mapping[str, Any]) -> tuple[State, str | None]:
    if status.get("state") == "failed":
        return State.FAILED, status.get("error")
    if status.get("state") == "stopped":
        return State.STOPPED, "saved after a signal"
    if status.get("state") == "running":
        if is_locked(place / ".lock"):
            return State.RUNNING, None
        return State.LOST, _VANISHED
    return State.WAITING, None


def _age_s(stamp: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(stamp)).total_seconds()
