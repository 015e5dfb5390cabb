"""Finds runs: from what was named on the command line to one source for each run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from segscape.errors import UserError, nearest
from segscape.sweep.memory.directory import Job, SweepDirectory

SWEEPS = Path("runs/sweeps")
Kind = Literal["run", "job", "json", "wandb"]

_RECORDS = ("config.yaml", "summary.json", "metrics.csv", "status.json")
# Folders of a run or a sweep that hold no runs of their own.
_NOT_RUNS = {"checkpoints", "gallery", "code", "queue", "slurm", "tensorboard", "node_modules"}


@dataclass(frozen=True)
class Source:
    """Where a run is read from.

    Attributes:
        kind: a run directory, a job of a sweep, a JSON file of figures, or W&B's own files.
        path: the directory or file; of a job that has not begun, the directory it will have.
        job: of a sweep, its line in the manifest.
        sweep: name of the sweep.
    """

    kind: Kind
    path: Path
    job: Job | None = None
    sweep: str = ""


def find(places: Sequence[str | os.PathLike[str]]) -> list[Source]:
    """Every run below the places, each once.

    Args:
        places: sweep directories or names of sweeps below runs/sweeps, run directories, folders
            of any of them, JSON files of figures, offline folders of W&B.

    Raises:
        UserError: a place does not exist or holds no run.
    """
    found: dict[Path, Source] = {}
    for text in places:
        place = existing(text)
        sources = list(_named(place))
        if not sources:
            raise UserError(
                f"{place} holds no run",
                "a run directory has config.yaml, metrics.csv or summary.json; "
                "a sweep has manifest.json",
            )
        for source in sources:
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def existing(text: str | os.PathLike[str]) -> Path:
    """The path that is meant: itself, or the sweep of this name.

    Raises:
        UserError: neither is there.
    """
    place = Path(text)
    if place.exists():
        return place
    if (SWEEPS / place / "manifest.json").is_file():
        return SWEEPS / place
    names = [p.name for p in SWEEPS.iterdir() if p.is_dir()] if SWEEPS.is_dir() else []
    beside = place.parent if place.parent.is_dir() else Path()
    close = nearest(place.name, [*names, *(p.name for p in beside.iterdir())])
    meant = close if close in names else beside / close if close else None
    hint = f"did you mean {meant}? " if meant else ""
    listed = f"sweeps: {', '.join(sorted(names)[:20])}" if names else ""
    sweeps = listed or "give a sweep, a run directory, a folder of them, or a summary.json"
    raise UserError(f"{place}: there is no such directory, file or sweep", f"{hint}{sweeps}")


def sweep_of(place: Path) -> Path | None:
    """The sweep directory that a place is, if it is one."""
    return place if (place / "manifest.json").is_file() else None


def _named(place: Path) -> Iterator[Source]:
    """The runs of a place that was named, wherever it is."""
    if place.is_file():
        yield _file(place)
    elif place.name == "wandb" or _is_wandb_run(place):
        yield from _wandb(place)
    else:
        yield from _directory(place, set())


def _file(place: Path) -> Source:
    if place.suffix == ".wandb":
        return next(iter(_wandb(place.parent)))
    if place.name in _RECORDS and place.name != "summary.json":
        return Source("run", place.parent)
    if place.name == "summary.json" and _is_run(place.parent):
        return Source("run", place.parent)
    if place.suffix == ".json":
        return Source("json", place)
    raise UserError(
        f"{place} is no record of a run", "give a run directory, a sweep, or a JSON file of figures"
    )


def _directory(place: Path, seen: set[Path]) -> Iterator[Source]:
    """A sweep, a run, or everything below."""
    place = place.resolve()
    if place in seen:  # a link back
        return
    seen.add(place)
    if sweep_of(place):
        yield from _jobs(place)
    elif place.parent.name == "jobs" and sweep_of(place.parent.parent):
        yield from (job for job in _jobs(place.parent.parent) if job.path.name == place.name)
    elif _is_run(place):
        yield Source("run", place)
    elif place.name == "wandb" or _is_wandb_run(place):
        yield from _wandb(place)
    else:
        try:
            below = sorted(path for path in place.iterdir() if path.is_dir())
        except PermissionError as error:
            raise UserError(f"{place} cannot be read: {error.strerror}") from error
        for path in below:
            if not path.name.startswith(".") and path.name not in _NOT_RUNS:
                yield from _directory(path, seen)
        yield from _summaries(place)


def _summaries(place: Path) -> Iterator[Source]:
    """JSON files such as `theirs_summary.json` in a folder of results."""
    for path in sorted(place.glob("*summary*.json")):
        yield Source("json", path)


def _jobs(place: Path) -> Iterator[Source]:
    sweep = SweepDirectory(place)
    for job in sweep.jobs():
        yield Source("job", sweep.place(job), job, sweep.name)


def _is_run(place: Path) -> bool:
    """Whether it is a run directory, or the evaluation of one."""
    has = {name for name in _RECORDS if (place / name).is_file()}
    return bool(has & {"metrics.csv", "status.json"}) or {"config.yaml", "summary.json"} <= has


def _is_wandb_run(place: Path) -> bool:
    return any(place.glob("run-*.wandb"))


def _wandb(place: Path) -> Iterator[Source]:
    """The runs behind W&B's files: their run directory where it is there, else the file itself."""
    folders = [place] if _is_wandb_run(place) else sorted(p for p in place.iterdir() if p.is_dir())
    seen: set[Path] = set()
    latest: dict[str, Path] = {}
    for folder in folders:
        real = folder.resolve()  # latest-run is a link
        holder = real.parent.parent if real.parent.name == "wandb" else real.parent
        if _is_run(holder):
            if holder not in seen:
                seen.add(holder)
                yield Source("run", holder)
            continue
        for file in sorted(real.glob("run-*.wandb")):
            # A run that was continued has a folder for every start.
            latest[file.stem] = file
    for file in latest.values():
        yield Source("wandb", file)
