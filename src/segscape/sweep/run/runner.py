"""Runs the queue of a sweep on this machine: `python -P -m segscape.sweep.run.runner SWEEP`.

One runner per sweep, held by a lock. It starts each job in a session of its own, so jobs outlive
it; a runner that is started later finds them by their locks and waits for them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segscape.runs.files import read_json
from segscape.runs.locks import try_lock
from segscape.sweep.launchers.base import worker_arguments
from segscape.sweep.launchers.local import gpus, token_of, waiting
from segscape.sweep.memory.directory import SweepDirectory, read_attempts
from segscape.sweep.memory.status import worker_lives
from segscape.sweep.run.fork_server import ForkedJob, ForkServer

_POLL_S = 0.2
# Another process that checks whether a runner is running holds the lock for less than this.
_LOCK_WAIT_S = 2.0
# So long a job may take to save after the signal to stop.
_GRACE_S = 90.0


@dataclass
class _Running:
    """A job that occupies a slot; `process` is None for one that an earlier runner started."""

    file: Path
    place: Path
    slot: int
    process: subprocess.Popen[bytes] | ForkedJob | None
    asked: float | None = None


@dataclass
class Runner:
    """Starts jobs as slots become free.

    Args:
        sweep: whose queue.
    """

    sweep: SweepDirectory
    running: dict[str, _Running] = field(default_factory=dict)
    _server: ForkServer | None = None

    @property
    def place(self) -> Path:
        """Directory of the queue."""
        return self.sweep.path / "queue"

    def run(self) -> None:
        """Work until the queue is empty; return at once when another runner is running."""
        lock = os.open(self.place / "runner.lock", os.O_RDWR | os.O_CREAT, 0o644)
        end = time.monotonic() + _LOCK_WAIT_S
        while not try_lock(lock):
            if time.monotonic() > end:
                return
            time.sleep(0.1)
        cards = gpus()
        while True:
            self._adopt()
            self._collect()
            self._cancel()
            self._start(cards)
            if not self.running and not waiting(self.place):
                # A submitting process holds the sweep's lock: either its entry is found here,
                # or it finds that this runner has ended.
                with self.sweep.lock(timeout_s=600):
                    if not waiting(self.place):
                        if self._server is not None:
                            self._server.close()
                        os.close(lock)
                        return
            time.sleep(_POLL_S)

    def _adopt(self) -> None:
        """Find jobs that an earlier runner started, and its unfinished entries."""
        for file in waiting(self.place):
            token = token_of(file)
            entry = read_json(file)
            if token in self.running or not entry:
                continue
            place = self.sweep.path / "jobs" / entry["folder"]
            worker = read_json(place / "worker.json")
            if worker.get("token") != token:
                continue
            if worker_lives(place):
                self.running[token] = _Running(file, place, self._free_slot(), None)
            elif not worker.get("requeue"):
                self._done(file, token)

    def _collect(self) -> None:
        for token, job in list(self.running.items()):
            if job.process is not None:
                code = job.process.poll()
                if code is None:
                    if isinstance(job.process, ForkedJob) and job.process.lost:
                        job.process = None
                    continue
                (self.place / f"{token}.exit").write_text(str(code))
            elif worker_lives(job.place):
                continue
            del self.running[token]
            worker = read_json(job.place / "worker.json")
            if worker.get("token") == token and worker.get("requeue") and not job.asked:
                last = int(waiting(self.place)[-1].stem.partition("-")[0])
                job.file.rename(self.place / f"{last + 1:06d}-{token}.json")
            else:
                self._done(job.file, token)

    def _done(self, file: Path, token: str) -> None:
        file.unlink(missing_ok=True)
        (self.place / f"{token}.cancel").unlink(missing_ok=True)

    def _cancel(self) -> None:
        for mark in self.place.glob("*.cancel"):
            token = mark.stem
            job = self.running.get(token)
            if job is None:
                for file in waiting(self.place):
                    if token_of(file) == token:
                        file.unlink(missing_ok=True)
                mark.unlink(missing_ok=True)
            elif job.asked is None:
                job.asked = time.monotonic()
                self._signal(job, signal.SIGTERM)
            elif time.monotonic() > job.asked + _GRACE_S:
                self._signal(job, signal.SIGKILL)

    def _signal(self, job: _Running, number: signal.Signals) -> None:
        pid = job.process.pid if job.process else read_json(job.place / "worker.json").get("pid")
        if pid and (job.process or worker_lives(job.place)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), number)

    def _start(self, cards: list[str]) -> None:
        settings = read_json(self.place / "settings.json")
        slots = int(settings.get("slots", 1))
        for file in waiting(self.place):
            if len(self.running) >= slots:
                return
            token, entry = token_of(file), read_json(file)
            if token in self.running or not entry:
                continue
            place = self.sweep.path / "jobs" / entry["folder"]
            attempt = next((a for a in read_attempts(place) if a.token == token), None)
            if attempt is None or attempt.cancelled:
                self._done(file, token)
                continue
            slot = self._free_slot()
            environment = {**os.environ, **self._environment(slot, slots, cards, settings)}
            cores = _share(slot % slots, slots) if self._pins(slots, cards, settings) else None
            # A GPU is chosen before the driver is loaded, and only a new process has not loaded it.
            forks = bool(settings.get("warm")) and not cards
            process = self._fork(entry["command"], environment, cores) if forks else None
            if process is None:
                process = subprocess.Popen(
                    entry["command"],
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                    preexec_fn=_pinned(cores),
                )
            self.running[token] = _Running(file, place, slot, process)

    def _fork(
        self, command: Sequence[str], environment: dict[str, str], cores: set[int] | None
    ) -> ForkedJob | subprocess.Popen[bytes] | None:
        """Fork a job where its imports are done already; None when that is not possible."""
        found = worker_arguments(command)
        if found is None or not hasattr(os, "fork"):
            return None
        path, arguments = found
        environment = {**environment, "PYTHONPATH": path}
        if self._server is None or self._server.environment != environment:
            # Of other source, or with another share of the cores.
            if self._server is not None:
                self._server.close()
            self._server = ForkServer(environment)
        return self._server.start(arguments, sorted(cores) if cores else None)

    def _environment(
        self, slot: int, slots: int, cards: list[str], settings: Mapping[str, Any]
    ) -> dict[str, str]:
        if cards:
            return {"CUDA_VISIBLE_DEVICES": cards[slot % len(cards)]}
        if self._pins(slots, cards, settings):
            return {"OMP_NUM_THREADS": str(len(_share(slot, slots)))}
        return {}

    def _pins(self, slots: int, cards: list[str], settings: Mapping[str, Any]) -> bool:
        """Whether each job has its share of the cores."""
        able = hasattr(os, "sched_setaffinity")
        return bool(settings.get("pin")) and not cards and slots > 1 and able

    def _free_slot(self) -> int:
        taken = {job.slot for job in self.running.values()}
        return next(slot for slot in range(len(taken) + 1) if slot not in taken)


def _share(slot: int, slots: int) -> set[int]:
    """The cores of a slot: equal shares, overlapping only when there are more slots than cores."""
    cores = sorted(os.sched_getaffinity(0))
    if slots >= len(cores):
        return {cores[slot % len(cores)]}
    each = len(cores) // slots
    return set(cores[slot * each : (slot + 1) * each])


def _pinned(cores: set[int] | None) -> Any:
    return (lambda: os.sched_setaffinity(0, cores)) if cores else None


def main(sweep: str) -> None:
    """Entry of `python -m segscape.sweep.run.runner`."""
    Runner(SweepDirectory(sweep)).run()


if __name__ == "__main__":
    main(sys.argv[1])
