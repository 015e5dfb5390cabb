"""How far the jobs of a sweep are, read from what they write anyway."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segscape.config.training import LATENCY, SCORE, with_one_budget
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import LIVE, JobStatus, State

BROKEN = (State.FAILED, State.LOST)


@dataclass(frozen=True)
class JobProgress:
    """How far one job is.

    Attributes:
        status: its state, cause and log.
        epoch: epochs done at the last validation, or None before it.
        epochs: of the budget, None for a budget in steps.
        step: optimiser steps done at the last validation.
        steps: of the budget, None for a budget in epochs.
        best: highest val/miou so far.
        latency: median milliseconds from image to logits.
        seconds_left: of a running job; None if nothing is known yet.
        seconds: that a finished job took.
    """

    status: JobStatus
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    best: float | None = None
    latency: float | None = None
    seconds_left: float | None = None
    seconds: float | None = None

    @property
    def where(self) -> str:
        """Epoch, or step, of the budget."""
        done, total = (self.step, self.steps) if self.epochs is None else (self.epoch, self.epochs)
        unit = "step " if self.epochs is None and self.steps is not None else ""
        if not total or (done is None and self.status.state is not State.RUNNING):
            return ""
        return f"{unit}{done or 0}/{total}"

    def plain(self) -> dict[str, Any]:
        """The same as data for --json."""
        status = self.status
        return {
            "id": status.job.id,
            "name": status.job.name,
            "folder": status.job.folder,
            "state": str(status.state),
            "cause": status.cause,
            "attempts": status.attempts,
            "started": status.started,
            "epoch": self.epoch,
            "epochs": self.epochs,
            "step": self.step,
            "steps": self.steps,
            SCORE: self.best,
            LATENCY: self.latency,
            "seconds_left": self.seconds_left,
            "log": str(status.log),
            "varied": dict(status.job.varied),
            "cost": dict(status.job.cost),
        }


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        jobs: how far each is.
        seconds_left: of the whole sweep at the pace so far; None if nothing is known yet.
    """

    jobs: Sequence[JobProgress]
    seconds_left: float | None = None

    @property
    def counts(self) -> dict[State, int]:
        """Jobs by state, in the order of `State`, those with none left out."""
        return counted(each.status for each in self.jobs)

    @property
    def broken(self) -> list[JobProgress]:
        """Jobs that failed or were lost."""
        return [each for each in self.jobs if each.status.state in BROKEN]


@dataclass
class ProgressReader:
    """Reads the state of a sweep repeatedly; what cannot change is read once.

    Args:
        sweep: which.
    """

    sweep: SweepDirectory
    _budgets: dict[str, tuple[int | None, int | None, int]] = field(default_factory=dict)
    _best: dict[str, tuple[float, float | None]] = field(default_factory=dict)

    def read(self, statuses: Sequence[JobStatus], slots: int | None = None) -> SweepProgress:
        """How far everything is.

        Args:
            statuses: of the jobs.
            slots: how many run at once; None: as many as run now.
        """
        jobs = [self._progress(each) for each in statuses]
        return SweepProgress(jobs, _seconds_left(jobs, slots))

    def _progress(self, status: JobStatus) -> JobProgress:
        if status.state is State.WAITING:
            return JobProgress(status)
        epochs, steps, batch = self._budget(status.job)
        row, summary = status.row, status.summary
        written = _written(self.sweep.run(status.job).metrics_path)
        best, seconds, left = _number(summary.get(SCORE)), None, None
        if best is None and row and written is not None:
            best = self._best_so_far(status.job, written)
        if status.state is State.FINISHED:
            seconds = _between(status.record.get("started"), status.record.get("updated"))
        if status.state is State.RUNNING and row and written is not None:
            left = _job_left(status, epochs, steps, batch, written)
        return JobProgress(
            status=status,
            epoch=_whole(row.get("epoch")),
            epochs=epochs,
            step=_whole(row.get("step")),
            steps=steps,
            best=best,
            latency=_number(summary.get(LATENCY, row.get(LATENCY))),
            seconds_left=left,
            seconds=seconds,
        )

    def _budget(self, job: Job) -> tuple[int | None, int | None, int]:
        """Epochs or steps of a job, and its images per step."""
        if job.id not in self._budgets:
            config = self.sweep.saved(job).get("config") or {}
            if config.get("trainer"):
                config = with_one_budget(config, job.overrides)
            trainer = config.get("trainer") or {}
            steps, epochs = _whole(trainer.get("max_steps")), _whole(trainer.get("max_epochs"))
            steps = steps if steps and steps > 0 else None
            batch = _whole((config.get("data") or {}).get("batch_size")) or 0
            batch *= _whole(trainer.get("accumulate_grad_batches")) or 1
            self._budgets[job.id] = (None if steps else epochs, steps, batch)
        return self._budgets[job.id]

    def _best_so_far(self, job: Job, written: float) -> float | None:
        """The highest score in metrics.csv, read again only when the file is another."""
        if self._best.get(job.id, (None,))[0] != written:
            scores = [_number(row.get(SCORE)) for row in self.sweep.run(job).read_metrics()]
            self._best[job.id] = (written, max((s for s in scores if s is not None), default=None))
        return self._best[job.id][1]


def _job_left(
    status: JobStatus, epochs: int | None, steps: int | None, batch: int, written: float
) -> float | None:
    """Seconds that a running job still needs, from its last row and when it was written."""
    step, epoch = _number(status.row.get("step")), _number(status.row.get("epoch"))
    done, total = (step, steps) if steps else (epoch, epochs)
    if not done or not total or status.started is None:
        return None
    begun = datetime.fromisoformat(status.started).timestamp()
    first = status.record.get("started")
    # At which step a continued job continued is not recorded: the rate that it reports has to
    # do, which leaves out the validations.
    continued = first is not None and (_between(first, status.started) or 0) > 0
    if first is not None and not continued:
        # Importing and building come once: the clock starts behind them.
        begun = datetime.fromisoformat(first).timestamp()
    if not continued and written > begun:
        per_unit = (written - begun) / done
    else:
        rate = _number(status.row.get("train/images_per_second"))
        if not rate or not step or not batch:
            return None
        per_unit = (step / done) * batch / rate
    since = datetime.now(UTC).timestamp() - written
    return max(0.0, (total - done) * per_unit - since)


def _seconds_left(jobs: Sequence[JobProgress], slots: int | None) -> float | None:
    """Work that is left at the mean duration so far, shared among what runs at once."""
    running = [each for each in jobs if each.status.state is State.RUNNING]
    pending = sum(each.status.state in (State.QUEUED, State.WAITING) for each in jobs)
    if not any(each.status.state in LIVE for each in jobs):
        return None
    taken = [each.seconds for each in jobs if each.seconds is not None]
    known = [each.seconds_left for each in running if each.seconds_left is not None]
    mean = sum(taken) / len(taken) if taken else None
    if (pending and mean is None) or (running and not known and mean is None):
        return None
    unknown = (len(running) - len(known)) * (mean or (sum(known) / max(len(known), 1)))
    work = sum(known) + unknown + pending * (mean or 0.0)
    at_once = min(slots or max(len(running), 1), len(running) + pending)
    return max(work / max(at_once, 1), max(known, default=0.0))


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _between(first: Any, last: Any) -> float | None:
    if not first or not last:
        return None
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else None


def counted(statuses: Iterable[JobStatus]) -> dict[State, int]:
    """Jobs by state, in the order of `State`, those with none left out."""
    found = Counter(each.state for each in statuses)
    return {state: found[state] for state in State if found[state]}


def shares(counts: Mapping[State, int]) -> str:
    """`12 jobs: 4 finished, 2 running, 6 queued`."""
    total = sum(counts.values())
    listed = ", ".join(f"{number} {state}" for state, number in counts.items())
    return f"{total} job{'s' if total != 1 else ''}" + (f": {listed}" if listed else "")
