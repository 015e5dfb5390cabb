"""Brings the jobs of a sweep to their end: what is missing is submitted, nothing is run twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segscape.config.identity import changes, identity
from segscape.errors import UserError
from segscape.exit_codes import STOPPED
from segscape.sweep.launchers.base import Queue
from segscape.sweep.launchers.queues import queue_of, statuses
from segscape.sweep.memory.code_snapshot import take_snapshot
from segscape.sweep.memory.directory import Attempt, Job, Planned, SweepDirectory
from segscape.sweep.memory.status import LIVE, JobStatus, State
from segscape.sweep.run.display import Display, screen, show_end
from segscape.sweep.run.progress import ProgressReader
from segscape.sweep.settings import SweepSettings

# Continued from the source they began with.
_GOES_ON = (State.STOPPED, State.LOST)
# Between two reads of the time of a file, which cost nothing, unlike a query to the scheduler.
_GLANCE_S = 0.25
Show = Callable[[Sequence[JobStatus]], None]


class Supervisor:
    """One command's work on a sweep; several at once on one sweep do not disturb each other.

    Args:
        sweep: its directory.
        queue: where jobs go.
        settings: limits of retries.
        jobs: those of the command; None: all of the manifest.
        planned: what they were planned from, to save what may differ (where the data are, how
            to track) anew when they are submitted.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        queue: Queue,
        settings: SweepSettings,
        jobs: Iterable[Job] | None = None,
        planned: Iterable[Planned] = (),
    ) -> None:
        self.sweep, self.queue, self.settings = sweep, queue, settings
        self.jobs = list(sweep.jobs() if jobs is None else jobs)
        self._planned = {identity(each.config): each for each in planned}
        self._submitted: Counter[tuple[str, State]] = Counter()
        self._ended: dict[str, JobStatus] = {}
        self._code: str | None = None

    def statuses(self) -> list[JobStatus]:
        """Status of the jobs of this command; those that have finished are not read again."""
        open_ = [job for job in self.jobs if job.id not in self._ended]
        found = {one.job.id: one for one in statuses(self.sweep, self.queue, open_)}
        self._ended |= {id_: one for id_, one in found.items() if one.state is State.FINISHED}
        return [self._ended.get(job.id) or found[job.id] for job in self.jobs]

    def submit_due(self, retry: Iterable[str] = (), revive: bool = False) -> list[Job]:
        """Submit what is neither done nor queued nor running.

        Args:
            retry: identities of jobs to submit regardless of the limits.
            revive: cancelled jobs too: a new command submits them again.

        Returns:
            The jobs that were submitted.
        """
        forced = set(retry)
        with self.sweep.lock():
            due = [
                one for one in self.statuses() if one.job.id in forced or self._is_due(one, revive)
            ]
            due = [one for one in due if one.state not in (*LIVE, State.FINISHED)]
            by_code: dict[str, list[Job]] = {}
            for one in due:
                self._submitted[one.job.id, one.state] += 1
                by_code.setdefault(self._code_of(one), []).append(one.job)
                if planned := self._planned.get(one.job.id):
                    self.sweep.save(one.job, planned)
            for code, jobs in by_code.items():
                self.queue.submit(self.sweep, jobs, code)
            return [one.job for one in due]

    def wait(self, show: Show | None = None, interval_s: float | None = None) -> list[JobStatus]:
        """Submit what becomes due until nothing remains to be done.

        Args:
            show: called with the statuses every time.
            interval_s: between two queries, in seconds; by default that of the queue.

        Returns:
            The final status of the jobs.
        """
        pause = self.queue.poll_s if interval_s is None else interval_s
        while True:
            self.queue.run_here(self.sweep)
            found = self.statuses()
            # Whether they are still due is decided again, under the lock.
            if any(self._is_due(one, False) for one in found):
                if show is not None:
                    show(found)  # what became of a job, before it is submitted again
                if self.submit_due():
                    continue
            self.wake(found)
            if show is not None:
                show(found)
            if not any(one.state in LIVE for one in found):
                return found
            if self.settings.fail_fast and any(self._has_failed(one) for one in found):
                self.cancel([one.job for one in found], "cancelled after a failure")
                self.settings = replace(self.settings, fail_fast=False, restarts=0, retry_failed=0)
            self._rest(pause, found)

    def _rest(self, seconds: float, found: Sequence[JobStatus]) -> None:
        """Sleep, but not beyond the moment at which a running job records how it ended."""
        running = [one.job for one in found if one.state is State.RUNNING]
        watched = [self.sweep.run(job).status_path for job in running]
        before = [_changed(path) for path in watched]
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(_GLANCE_S, left))
            if [_changed(path) for path in watched] != before:
                return

    def wake(self, found: Sequence[JobStatus]) -> None:
        """Jobs that wait on this machine need a runner, which may have been killed."""
        idle = [one for one in found if one.state is State.QUEUED and one.cause]
        if self.queue.name == "local" and any("no runner" in (one.cause or "") for one in idle):
            self.queue.submit(self.sweep, [], self.sweep.attempts(idle[0].job)[-1].code)

    def cancel(self, jobs: Sequence[Job], reason: str = "cancelled") -> list[Job]:
        """Take jobs out of the queue, or signal them to save and stop.

        Returns:
            Those that were waiting or running.
        """
        with self.sweep.lock():
            live = [one for one in statuses(self.sweep, self.queue, jobs) if one.state in LIVE]
            by_queue: dict[str, list[Attempt]] = {}
            for one in live:
                attempt = replace(self.sweep.attempts(one.job)[-1], cancelled=True, reason=reason)
                self.sweep.record(one.job, attempt)
                by_queue.setdefault(attempt.launcher, []).append(attempt)
            for attempts in by_queue.values():
                queue_of(self.sweep, attempts[0], self.queue).cancel(self.sweep, attempts)
        return [one.job for one in live]

    def _is_due(self, one: JobStatus, revive: bool) -> bool:
        before = self._submitted[one.job.id, one.state]
        if one.state is State.WAITING:
            return before == 0  # a third-party launcher records nothing of a job that cannot begin
        if one.state in _GOES_ON:
            return before < self.settings.restarts
        if one.state is State.FAILED:
            return before < self.settings.retry_failed
        return one.state is State.CANCELLED and revive

    def _has_failed(self, one: JobStatus) -> bool:
        return one.state in (State.FAILED, State.LOST) and not self._is_due(one, False)

    def _code_of(self, one: JobStatus) -> str:
        """A job that has begun goes on with its own source, others take today's."""
        attempts = self.sweep.attempts(one.job)
        if attempts and one.state in _GOES_ON:
            return attempts[-1].code
        if not self.queue.background:
            return ""
        if self._code is None:
            planned = {id_: each.config for id_, each in self._planned.items()}
            configs = [
                planned.get(job.id) or self.sweep.saved(job).get("config") for job in self.jobs
            ]
            self._code = take_snapshot(self.sweep.path, [each for each in configs if each])
        return self._code


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def refuse_other_configurations(sweep: SweepDirectory, planned: Sequence[Planned]) -> None:
    """The same overrides must mean what they meant when the sweep was begun.

    Raises:
        UserError: yaml files were edited since.
    """
    known = {tuple(sorted(job.overrides)): job for job in sweep.jobs()}
    for each in planned:
        job = known.get(tuple(sorted(each.overrides)))
        if job is None or job.id == identity(each.config):
            continue
        raise UserError(
            f"{sweep.name} was begun with another configuration: "
            f"{_first_differences(sweep.saved(job)['config'], each.config)}",
            f"segscape sweep resume {sweep.path} goes on with what was saved then; "
            "sweep.name=NAME begins a sweep with the configuration of today",
        )


def _first_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    found = [f"{key} was {before!r}, is {after!r}" for key, before, after in changes(old, new)]
    return "; ".join(found[:4])


def watched(supervisor: Supervisor) -> int:
    """Bring the jobs to their end and show how far they are, or until Ctrl-C; the exit code."""
    if not supervisor.queue.background:
        return _watched_here(supervisor)
    try:
        with Display(supervisor.sweep, supervisor.queue.slots) as show:
            return exit_code(supervisor.wait(show))
    except KeyboardInterrupt:
        return STOPPED


def _watched_here(supervisor: Supervisor) -> int:
    """The same for a queue whose launcher prints while its jobs run."""
    try:
        found = supervisor.wait()
    except KeyboardInterrupt:
        print(
            "interrupted: the same command goes on from the last checkpoints; jobs that the "
            "launcher has given to a scheduler are in its hands"
        )
        return STOPPED
    progress = ProgressReader(supervisor.sweep).read(found)
    show_end(
        supervisor.sweep, progress, screen(), "the same command; what has finished is left out"
    )
    return exit_code(found)


def exit_code(found: Sequence[JobStatus]) -> int:
    """Of a command that waited: 0 when everything finished, else 1."""
    good = (State.FINISHED, State.PRUNED)
    return 0 if all(one.state in good for one in found) else 1
