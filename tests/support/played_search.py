"""Searches whose jobs are played instead of trained, for tests of the search itself.

A played job gets one row of metrics.csv whenever the queue is looked at, from a formula over its
configuration. The queue keeps its state in files, as a real one does, so that it outlives the
searcher: `python played_search.py DIRECTORY TRIALS HOLD OTHERS` searches, and may be killed at
any time.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from segscape.config.override_text import typed
from segscape.runs.files import write_json
from segscape.sweep.launchers.base import Live, Queue, new_attempt
from segscape.sweep.memory.directory import Attempt, Job, Planned, SweepDirectory
from segscape.sweep.search import storage
from segscape.sweep.search.objectives import read_constraints
from segscape.sweep.search.proposals import Proposer
from segscape.sweep.search.search import Search
from segscape.sweep.search.space import Parameter, Space
from segscape.sweep.search.study import Study
from segscape.sweep.settings import SweepSettings

Fate = Callable[[Mapping[str, Any], int], str]


def finishes(config: Mapping[str, Any], attempt: int) -> str:
    return "finish"


@dataclass
class PlayedQueue(Queue):
    """Jobs of so many validations, so many at once.

    Once `hold` jobs have been handed over none of them goes on: so far a searcher gets, however
    long it takes until it is killed.
    """

    slots: int | None = 2
    length: int = 3
    fate: Fate = finishes
    name: str = "local"
    hold: int | None = None

    def settings(self) -> dict[str, Any]:
        return {}

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        place = sweep.path / "played"
        place.mkdir(exist_ok=True)
        for job in jobs:
            attempt = new_attempt(self, code)
            sweep.record(job, attempt)
            # One step: a searcher that is killed before it has not handed the job over.
            entry = {
                "folder": job.folder,
                "attempt": len(sweep.attempts(job)),
                "job": job.id,
                "time_ns": time.time_ns(),
            }
            write_json(place / f"{attempt.token}.json", entry)
            sweep.record(job, replace(attempt, queue_id=attempt.token))

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        found = {}
        for token in attempts:
            file = sweep.path / "played" / f"{token}.json"
            if file.is_file() and not _ended(file) and self._played(sweep, file):
                found[token] = Live("running")
        return found

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        for attempt in attempts:
            _end(sweep.path / "played" / f"{attempt.token}.json")

    def busy(self, sweep: SweepDirectory) -> int:
        """How many jobs are in the queue."""
        return sum(not _ended(file) for file in _files(sweep.path))

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        return "killed by signal 9"

    def _played(self, sweep: SweepDirectory, file: Path) -> bool:
        """Play one validation; whether the job goes on."""
        if self.hold is not None and len(_files(sweep.path)) >= self.hold:
            return True
        entry = json.loads(file.read_text())
        place = sweep.path / "jobs" / entry["folder"]
        job = next(each for each in sweep.jobs() if each.folder == entry["folder"])
        run, config = sweep.run(job), json.loads((place / "job.json").read_text())["config"]
        fate, rows = self.fate(config, entry["attempt"]), run.read_metrics()
        number = len(rows) + 1
        if fate == "lose" and number > 1:
            _end(file)
            return False
        if fate == "fail":
            run.write_status("failed", error="ValueError: played")
            worker = {"token": file.stem, "exit": 1}
            write_json(place / "worker.json", worker)
            _end(file)
            return False
        row = figures_of(config, number / self.length)
        run.append_metrics({"epoch": number, "step": number, **row})
        if number < self.length:
            return True
        run.write_summary(row)
        run.write_status("finished")
        _end(file)
        return False


def _files(path: Path) -> list[Path]:
    return [*(path / "played").glob("[!.]*.json")]


def _end(file: Path) -> None:
    file.with_suffix(".ended").touch()


def _ended(file: Path) -> bool:
    return file.with_suffix(".ended").is_file()


def figures_of(config: Mapping[str, Any], share: float) -> dict[str, float]:
    """Best near x = 0.3 and with the wide encoder, which is slow."""
    toy = config.get("toy", {})
    x, wide = float(toy.get("x", 0.3)), toy.get("encoder") == "wide"
    score = (0.8 if wide else 0.6) - (x - 0.3) ** 2 + 0.01 * int(config["seed"])
    latency = (20.0 if wide else 10.0) + float(toy.get("depth", 1))
    return {"val/miou": score * math.sqrt(share), "latency/p50_ms": latency, "model/macs": 1e9}


def plan_of_toys(points: Sequence[Mapping[str, str]]) -> SimpleNamespace:
    """The plan of points that are no real designs: `bad` cannot work, `huge` is over budget."""
    planned, rejected, unfit = [], [], []
    for point in points:
        values = {key: typed(text) for key, text in point.items()}
        overrides = tuple(f"{key}={text}" for key, text in point.items())
        toy = {key: value for key, value in values.items() if key != "seed"}
        config = {"model": {"name": "toy"}, "seed": values.get("seed", 1), "toy": toy}
        if "bad" in values.values():
            rejected.append(SimpleNamespace(reason="bad cannot work"))
        elif "huge" in values.values():
            unfit.append(overrides)
        else:
            planned.append(Planned(config, overrides, {}, values))
    # A plan.check.Plan, without the import of torch: processes of their own start this file.
    return SimpleNamespace(planned=planned, rejected=rejected, unfit=unfit)


def always(key: str, point: Mapping[str, str]) -> bool:
    return True


ENCODERS = Parameter("encoder", ("narrow", "wide"))
X = Parameter("x", low=0.0, high=1.0)


def toy_search(
    path: Path,
    queue: PlayedQueue,
    *,
    parameters: Sequence[Parameter] = (ENCODERS, X),
    space: Space | None = None,
    say: Callable[[str], None] = lambda line: None,
    interval_s: float = 0.01,
    **settings: Any,
) -> Search:
    """A search over toys, ready to run."""
    sweep = SweepDirectory(path)
    sweep.path.mkdir(parents=True, exist_ok=True)
    chosen = SweepSettings(**{"trials": 8, "retry_failed": 0, **settings})
    study = Study(storage.open_storage(chosen.storage, sweep.path), sweep.name, chosen)
    proposer = Proposer(sweep, study, space or Space(parameters, always), plan_of_toys, chosen)
    constraints = read_constraints(chosen.constraints)
    return Search(
        sweep, queue, chosen, study, proposer, constraints, say=say, interval_s=interval_s
    )


def submitted(path: Path) -> list[str]:
    """Identities of the jobs in the order in which they were handed over."""
    entries = [json.loads(file.read_text()) for file in _files(path)]
    return [entry["job"] for entry in sorted(entries, key=lambda entry: entry["time_ns"])]


def beat_fast() -> None:
    """A searcher that was killed is detected after a second, instead of a minute."""
    storage.HEARTBEAT_S, storage.GRACE_S = 0.1, 1


def meet(path: Path, others: int) -> Callable[[str], None]:
    """A process that has a trial waits until so many others have one too."""

    def say(line: str) -> None:
        (path / f"{os.getpid()}.here").touch()
        end = time.monotonic() + 120
        while len([*path.glob("*.here")]) <= others and time.monotonic() < end:
            time.sleep(0.005)

    return say


def main(path: Path, trials: int, hold: int, others: int) -> None:
    os.fsync = lambda descriptor: None  # type: ignore[assignment]  # no power cut is tested
    if not others:
        beat_fast()
    queue = PlayedQueue(slots=2, hold=hold or None)
    toy_search(path, queue, trials=trials, say=meet(path, others)).run()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
