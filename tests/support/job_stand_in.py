"""Behaves like the process of a job (segscape.sweep.run.worker), without a training.

`python job_stand_in.py DIRECTORY TOKEN`: what it does is the configuration's key `what`.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from segscape.runs.files import read_json, write_json
from segscape.runs.locks import try_lock
from segscape.sweep.memory.directory import now

STEP_S = 0.05
asked: list[str] = []


def take_lock(place: Path) -> None:
    lock = os.open(place / ".worker", os.O_RDWR | os.O_CREAT)
    end = time.monotonic() + 5
    while not try_lock(lock):
        if time.monotonic() > end:
            sys.exit(0)
        time.sleep(STEP_S)


def leave(place: Path, record: dict[str, Any], code: int, state: str, **more: Any) -> None:
    write_json(place / "status.json", {"state": state, **more})
    signal_ = asked[0] if asked else None
    requeue = code == 3 and signal_ != "SIGTERM"
    write_json(
        place / "worker.json", {**record, "exit": code, "signal": signal_, "requeue": requeue}
    )
    sys.exit(code)


def main(place: Path, token: str) -> None:
    take_lock(place)
    record = {
        "token": token,
        "pid": os.getpid(),
        "started": now(),
        "cores": sorted(os.sched_getaffinity(0)),
        "cuda": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "runs": read_json(place / "worker.json").get("runs", 0) + 1,
    }
    for name in ("SIGTERM", "SIGUSR1", "SIGUSR2"):
        signal.signal(
            getattr(signal, name), lambda number, _: asked.append(signal.Signals(number).name)
        )
    write_json(place / "worker.json", record)
    what = read_json(place / "job.json")["config"]["what"]
    for _ in range(1200 if what == "long" and record["runs"] == 1 else 2):
        if asked:
            leave(place, record, 3, "stopped")
        time.sleep(STEP_S)
    if what == "fail":
        leave(place, record, 1, "failed", error="ValueError: too small")
    if what == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    write_json(place / "summary.json", {"val/miou": 0.5})
    leave(place, record, 0, "finished")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
