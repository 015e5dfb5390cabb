"""Jobs on this machine: a queue of files, and a runner process that outlives the terminal.

`queue/NUMBER-TOKEN.json` is a job that waits or runs. Submitting writes such files and makes sure
that a runner (`segscape.sweep.run.runner`) is running; nothing is lost when either is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segscape.runs.files import read_json, write_json
from segscape.runs.locks import is_locked
from segscape.sweep.fields import at_least
from segscape.sweep.launchers.base import Live, Queue, new_attempt, worker_command
from segscape.sweep.memory.code_snapshot import python_path
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory
from segscape.sweep.memory.status import worker_lives


class LocalQueue(Queue):
    """Runs `jobs` at a time on this machine.

    Args:
        jobs: at once; None: one per GPU, 1 without GPUs.
        pin: without GPUs, give each job its share of the cores.
        warm: without GPUs, fork the jobs from a process that has imported their packages.

    Raises:
        UserError: not a number of jobs.
    """

    name = "local"

    def __init__(self, jobs: int | None = None, pin: bool = True, warm: bool = True) -> None:
        if jobs is not None:
            at_least(1)("hydra.launcher.jobs", jobs)
        self.jobs, self.pin, self.warm = jobs, pin, warm

    @property
    def slots(self) -> int:
        """How many jobs run at once."""
        return self.jobs or max(1, len(gpus()))

    def settings(self) -> dict[str, Any]:
        """Plain data from which the same queue is made."""
        return {"jobs": self.jobs, "pin": self.pin, "warm": self.warm}

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        """Put jobs into the queue, and make sure that a runner is running."""
        place = sweep.path / "queue"
        with sweep.lock():
            place.mkdir(exist_ok=True)
            settings = {"slots": self.slots, "pin": self.pin, "warm": self.warm}
            write_json(place / "settings.json", settings)
            number = _next_number(place)
            for job in jobs:
                attempt = new_attempt(self, code)
                sweep.record(job, attempt)
                entry = {"folder": job.folder, "command": worker_command(sweep, job, attempt)}
                write_json(place / f"{number:06d}-{attempt.token}.json", entry)
                sweep.record(job, replace(attempt, queue_id=f"{number:06d}"))
                number += 1
            if waiting(place):
                ensure_runner(sweep, code)

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """Those that wait or run."""
        place = sweep.path / "queue"
        entries = {token_of(file): file for file in waiting(place)}
        idle = not runner_lives(place)
        note = f"no runner: segscape sweep resume {sweep.path} starts one" if idle else ""
        found = {}
        for token in attempts:
            file = entries.get(token)
            if file is None:
                continue
            folder = read_json(file).get("folder")  # none when the runner has just removed it
            if not folder:
                continue
            job = sweep.path / "jobs" / folder
            worker = read_json(job / "worker.json")
            if worker.get("token") == token and worker.get("exit") is not None:
                # It has written how it ended; only its process has not exited yet.
                if not worker.get("requeue"):
                    continue
                found[token] = Live("queued", note)
            elif worker_lives(job):
                found[token] = Live("running")
            elif worker.get("token") == token and worker.get("exit") is None and idle:
                continue  # killed, and so is the runner that would have recorded it
            else:
                found[token] = Live("queued", note)
        return found

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        """Request the runner to take them out, or to stop them."""
        place = sweep.path / "queue"
        present = {token_of(file) for file in waiting(place)}
        for attempt in attempts:
            if attempt.token in present:
                (place / f"{attempt.token}.cancel").touch()
        if present and attempts:
            with sweep.lock():
                ensure_runner(sweep, attempts[-1].code)

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """How its process ended, as the runner recorded it."""
        file = sweep.path / "queue" / f"{attempt.token}.exit"
        try:
            code = int(file.read_text())
        except FileNotFoundError:
            return None
        return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def gpus() -> list[str]:
    """Ids of the GPUs of this machine that this process may use, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [each.strip() for each in visible.split(",") if each.strip() not in ("", "-1")]
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []


def waiting(place: Path) -> list[Path]:
    """The entries of a queue, in their order."""
    return sorted(place.glob("[0-9]*-*.json")) if place.is_dir() else []


def token_of(file: Path) -> str:
    """Token of the attempt of an entry."""
    return file.stem.partition("-")[2]


def runner_lives(place: Path) -> bool:
    """Whether a runner holds the lock of this queue."""
    return is_locked(place / "runner.lock")


def ensure_runner(sweep: SweepDirectory, code: str) -> None:
    """Start a runner unless one is running; the caller holds the sweep's lock."""
    place = sweep.path / "queue"
    if runner_lives(place):
        return
    with (place / "runner.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "segscape.sweep.run.runner", str(sweep.path)],
            env={**os.environ, "PYTHONPATH": python_path(sweep.path, code)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Of its own session: neither Ctrl-C nor a lost connection reaches it.
            start_new_session=True,
        )
    end = time.monotonic() + 20
    while not runner_lives(place) and waiting(place) and time.monotonic() < end:
        time.sleep(0.05)


def _next_number(place: Path) -> int:
    numbers = [int(file.stem.partition("-")[0]) for file in waiting(place)]
    return max(numbers, default=0) + 1
