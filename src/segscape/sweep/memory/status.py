"""What has become of every job, read from its files and from the queue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from segscape.runs.locks import is_locked
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.launchers.base import Live, Queue, queue_from
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory

# A submitter records an attempt before it asks the queue: so long it may be on its way.
_ON_ITS_WAY_S = 60.0
STOPPED_EXIT_CODE = 3
# How a queue calls it when somebody took a job out of it without telling us: it was on purpose.
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
class Standing:
    """How a job stands.

    Attributes:
        job: which.
        state: see `State`.
        cause: why it is not running, or waits, in a few words.
        attempts: how often it was handed to a queue.
        row: last row of metrics.csv, empty before the first.
        summary: of a finished job.
        log: what it printed.
        started: when its latest process began, ISO 8601.
    """

    job: Job
    state: State
    cause: str | None
    attempts: int
    row: Mapping[str, Any]
    summary: Mapping[str, Any]
    log: Path
    started: str | None = None
    status: Mapping[str, Any] = field(default_factory=dict)


def standings(
    sweep: SweepDirectory, queue: Queue | None = None, jobs: Iterable[Job] | None = None
) -> list[Standing]:
    """How the jobs stand.

    Args:
        sweep: where they are.
        queue: the one in use; attempts in others are looked up in queues of that name. None: the
            one of `sweep.json`.
        jobs: by default all of the manifest.
    """
    wanted = list(sweep.jobs() if jobs is None else jobs)
    latest = {job.id: sweep.attempts(job) for job in wanted}
    unfinished = {
        job.id: latest[job.id]
        for job in wanted
        if sweep.run(job).read_status().get("state") != "finished"
    }
    # The queue is asked before the files are read: what ends meanwhile is then found there. A
    # sweep that is done needs no queue, which may be on another machine.
    live = _live(sweep, queue, unfinished)
    return [_standing(sweep, job, latest[job.id], live, queue) for job in wanted]


def own_queue(sweep: SweepDirectory) -> Queue:
    """The queue that `sweep.json` names; this machine's, where it names none."""
    launcher = sweep.read_description().get("launcher") or {"name": "local", "settings": {}}
    return queue_from(launcher["name"], launcher["settings"])


def queue_of(sweep: SweepDirectory, attempt: Attempt, queue: Queue | None) -> Queue:
    """The queue that an attempt was handed to."""
    if queue is not None and attempt.launcher == queue.name:
        return queue
    launcher = sweep.read_description().get("launcher") or {}
    if launcher.get("name") == attempt.launcher:
        return queue_from(attempt.launcher, launcher["settings"])
    return queue_from(attempt.launcher, {})


def worker_lives(place: Path) -> bool:
    """Whether a process on this or another machine holds the lock of a job's worker."""
    return is_locked(place / ".worker")


def _live(
    sweep: SweepDirectory, queue: Queue | None, latest: Mapping[str, list[Attempt]]
) -> dict[str, Live]:
    by_queue: dict[str, dict[str, Attempt]] = {}
    for attempts in latest.values():
        if attempts:
            last = attempts[-1]
            by_queue.setdefault(last.launcher, {})[last.token] = last
    found: dict[str, Live] = {}
    for asked in by_queue.values():
        first = next(iter(asked.values()))
        found |= queue_of(sweep, first, queue).live(sweep, asked)
    return found


def _standing(
    sweep: SweepDirectory,
    job: Job,
    attempts: list[Attempt],
    live: Mapping[str, Live],
    queue: Queue | None,
) -> Standing:
    run = RunDirectory(sweep.place(job))
    status, worker = run.read_status(), sweep.worker(job)
    state, cause = _state(sweep, job, attempts, live, queue, status, worker)
    begun = bool(attempts) and worker.get("token") == attempts[-1].token
    rows = run.read_metrics() if state is not State.WAITING else []
    return Standing(
        job=job,
        state=state,
        cause=cause,
        attempts=len(attempts),
        row=rows[-1] if rows else {},
        summary=run.read_summary() if state is State.FINISHED else {},
        log=sweep.log_path(job),
        started=worker.get("started") if begun else None,
        status=status,
    )


def _state(
    sweep: SweepDirectory,
    job: Job,
    attempts: list[Attempt],
    live: Mapping[str, Live],
    queue: Queue | None,
    status: Mapping[str, Any],
    worker: Mapping[str, Any],
) -> tuple[State, str | None]:
    # A foreign launcher leaves no attempts: then the run directory is all there is.
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
        if worker["exit"] == STOPPED_EXIT_CODE:
            known = queue_of(sweep, last, queue).cause(sweep, last)
            if known and known.startswith(_BY_HAND):
                return State.CANCELLED, known
            return State.STOPPED, f"saved after {worker.get('signal') or 'a signal'}"
        return State.FAILED, status.get("error") or f"exit code {worker['exit']}"
    if last.queue_id is None and _age_s(last.submitted) < _ON_ITS_WAY_S:
        return State.QUEUED, "being submitted"
    cause = queue_of(sweep, last, queue).cause(sweep, last)
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
