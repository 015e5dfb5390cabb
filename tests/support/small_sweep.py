"""Jobs that are planned by hand, and a queue that runs stand-ins for them, without torch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from segscape.runs.files import write_json
from segscape.sweep.launchers.base import new_attempt
from segscape.sweep.launchers.local import LocalQueue, ensure_runner
from segscape.sweep.memory.directory import Job, Planned, SweepDirectory


def config_of(fusion: str, seed: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "model": {"name": "ppliteseg"},
        "fusion": {"_target_": f"segscape.models.fusions.{fusion}"},
        "data": {"root": "here", "size": [64, 128]},
        "seed": seed,
        "run_dir": None,
        "resume": "never",
        "logger": {"_target_": "segscape.tracking.trackers.NullTracker"},
        **more,
    }


def planned(fusion: str, seed: int = 1, **more: Any) -> Planned:
    return Planned(
        config_of(fusion, seed, **more),
        (f"fusion={fusion}", f"seed={seed}"),
        {"fusion": fusion},
        {"fusion": fusion, "seed": seed},
    )


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for what another process does: a file, a lock or its end."""
    limit = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.05)


STAND_IN = Path(__file__).with_name("job_stand_in.py")


class StandInQueue(LocalQueue):
    """The local queue with real processes that stand in for jobs."""

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        place = sweep.path / "queue"
        with sweep.lock():
            place.mkdir(exist_ok=True)
            write_json(place / "settings.json", {"slots": self.slots, "pin": self.pin})
            first = len(list(place.glob("[0-9]*-*.json"))) + 1
            for number, job in enumerate(jobs, first):
                attempt = new_attempt(self, code)
                # First, as the real queue does: a runner drops entries without an attempt.
                sweep.record(job, attempt)
                command = [sys.executable, str(STAND_IN), str(sweep.place(job)), attempt.token]
                entry = {"folder": job.folder, "command": command}
                write_json(place / f"{number:06d}-{attempt.token}.json", entry)
                sweep.record(job, replace(attempt, queue_id=str(number)))
            ensure_runner(sweep, code)
