"""The directory of a sweep: which jobs there are, and every attempt to run them.

The manifest only grows, and every file is replaced as a whole. Submitters take the sweep's lock
before they decide who submits what; jobs never need it, each writes in its own run directory.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segscape.config.identity import design, identity
from segscape.errors import UserError, nearest
from segscape.runs.files import damaged, read_json, write_json
from segscape.runs.locks import try_lock
from segscape.runs.run_directory import RunDirectory

_LONGEST_FOLDER = 60


@dataclass
class _Held:
    """How this process holds the lock of a sweep: POSIX locks do not conflict within a process."""

    threads: Any
    depth: int = 0


_held: dict[Path, _Held] = {}
_registry = threading.Lock()


def _held_here(path: Path) -> _Held:
    with _registry:
        return _held.setdefault(path, _Held(threading.RLock()))


@dataclass(frozen=True)
class Planned:
    """A combination that was checked and may become a job.

    Attributes:
        config: resolved plain data, without the key `sweep`.
        overrides: as typed on the command line of a single run.
        choices: option of each group.
        varied: the axes of the sweep and the values here, e.g. {"fusion": "add", "seed": 2}.
        cost: `params` and `macs` of the design; empty when not counted.
    """

    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    choices: Mapping[str, str]
    varied: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One job of the manifest.

    Attributes:
        id: identity of its configuration.
        folder: its run directory, below `jobs`.
        name: readable: the values of the axes.
        overrides: of a single run.
        choices: option of each group.
        varied: the axes and their values.
        design: identity without the seed.
        cost: `params` and `macs`, or empty.
    """

    id: str
    folder: str
    name: str
    overrides: tuple[str, ...]
    choices: Mapping[str, str]
    varied: Mapping[str, Any]
    design: str
    cost: Mapping[str, int]


@dataclass(frozen=True)
class Attempt:
    """One time that a job was handed to a queue.

    Attributes:
        token: unique.
        launcher: name of the queue.
        queue_id: its id in the queue; None until the queue has returned it.
        submitted: when, ISO 8601.
        code: digest of the source snapshot it runs from.
        cancelled: it is not to run.
        reason: why it was cancelled: `cancelled`, `pruned`.
    """

    token: str
    launcher: str
    queue_id: str | None
    submitted: str
    code: str
    cancelled: bool = False
    reason: str = ""


class SweepDirectory:
    """Names, writes and reads the files of one sweep. Making the object touches nothing.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()

    @property
    def name(self) -> str:
        """What the sweep is called."""
        return self.path.name

    def __fspath__(self) -> str:
        return str(self.path)

    @contextlib.contextmanager
    def lock(self, timeout_s: float = 60.0) -> Iterator[None]:
        """Be the only one that submits or changes the manifest, for as long as the block runs.

        Args:
            timeout_s: how long to wait for another process.

        Raises:
            UserError: another process held it all the time, or the directory cannot be written to.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        held = _held_here(self.path.resolve())
        with held.threads:
            if held.depth:
                held.depth += 1
                try:
                    yield
                finally:
                    held.depth -= 1
                return
            try:
                descriptor = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise _unwritable(self.path, error) from error
            try:
                end = time.monotonic() + timeout_s
                while not try_lock(descriptor):
                    if time.monotonic() > end:
                        raise UserError(f"another process has held {self.path}/.lock for long")
                    time.sleep(0.05)
                held.depth = 1
                try:
                    yield
                finally:
                    held.depth = 0
            finally:
                os.close(descriptor)

    # -- description and manifest ------------------------------------------------------------------

    def read_description(self) -> dict[str, Any]:
        """Read `sweep.json`; empty when there is none yet."""
        return read_json(self.path / "sweep.json")

    def write_description(self, values: Mapping[str, Any]) -> None:
        """Write `sweep.json`; the time of creation stays."""
        created = self.read_description().get("created") or now()
        write_json(self.path / "sweep.json", {**values, "created": created})

    def describe(self, values: Mapping[str, Any]) -> None:
        """Change values of `sweep.json`; the others stay."""
        with self.lock():
            self.write_description({**self.read_description(), **values})

    def exists(self) -> bool:
        """Whether a sweep was begun here."""
        return (self.path / "manifest.json").is_file()

    def jobs(self) -> list[Job]:
        """Every job, in the order in which they were added.

        Raises:
            UserError: the manifest is damaged.
        """
        file = self.path / "manifest.json"
        listed = read_json(file).get("jobs", [])
        try:
            return [Job(**{**each, "overrides": tuple(each["overrides"])}) for each in listed]
        except (KeyError, TypeError) as error:
            raise damaged(file, str(error)) from error

    def job(self, text: str) -> Job:
        """The job with this identity (or its beginning), folder or name.

        Raises:
            UserError: none, or several.
        """
        jobs = self.jobs()
        found = [job for job in jobs if text in (job.id, job.folder, job.name)]
        found = found or [job for job in jobs if text and job.id.startswith(text)]
        if len(found) == 1:
            return found[0]
        close = nearest(text, [word for job in jobs for word in (job.name, job.folder, job.id)])
        meant = f"did you mean '{close}'? " if close else ""
        raise UserError(
            f"{self.name} has {'several jobs' if found else 'no job'} {text!r}",
            f"{meant}segscape sweep status {self.path} lists them",
        )

    def add(self, planned: Iterable[Planned]) -> list[Job]:
        """Make sure that the manifest has these jobs, each with its saved configuration.

        Args:
            planned: the jobs; one whose identity is there already is not changed.

        Returns:
            The jobs of all that is planned, in its order, each once.
        """
        with self.lock():
            jobs = self.jobs()
            known = {job.id: job for job in jobs}
            wanted: dict[str, Job] = {}
            for each in planned:
                id_ = identity(each.config)
                if id_ not in known:
                    known[id_] = self._new(id_, each)
                    jobs.append(known[id_])
                wanted[id_] = known[id_]
            write_json(self.path / "manifest.json", {"jobs": [asdict(job) for job in jobs]})
            return list(wanted.values())

    def _new(self, id_: str, planned: Planned) -> Job:
        # Here, since the processes of jobs read this module and need no parser of overrides.
        from segscape.config.override_text import written

        varied = {str(key): value for key, value in planned.varied.items()}
        # As it could be typed: null, true, [64,128].
        name = " ".join(f"{key}={written(value)}" for key, value in varied.items())
        words = [f"seed{value}" if key == "seed" else str(value) for key, value in varied.items()]
        slug = re.sub(r"[^A-Za-z0-9._+]+", "-", "-".join(words)).strip("-.")[:_LONGEST_FOLDER]
        job = Job(
            id=id_,
            folder=f"{slug}-{id_}" if slug else id_,
            name=name or str(planned.config["model"]["name"]),
            overrides=tuple(planned.overrides),
            choices=dict(planned.choices),
            varied=varied,
            design=design(planned.config),
            cost=dict(planned.cost),
        )
        self.save(job, planned)
        return job

    # -- jobs --------------------------------------------------------------------------------------

    def place(self, job: Job) -> Path:
        """The directory of a job."""
        return self.path / "jobs" / job.folder

    def run(self, job: Job) -> RunDirectory:
        """The run directory of a job: the same."""
        return RunDirectory(self.place(job))

    def save(self, job: Job, planned: Planned) -> None:
        """Write `job.json`: what the job's process reads, independent of later changes of yaml."""
        saved = {
            "config": dict(planned.config),
            "overrides": list(planned.overrides),
            "choices": dict(planned.choices),
            "name": job.name,
            "group": self.name,
            "cwd": str(Path.cwd()),
        }
        write_json(self.place(job) / "job.json", saved)

    def saved(self, job: Job) -> dict[str, Any]:
        """What was saved at submission: `job.json`."""
        return read_json(self.place(job) / "job.json")

    def log_path(self, job: Job) -> Path:
        """What its attempts printed; where none has begun on SLURM, what SLURM printed."""
        own = self.place(job) / "log.txt"
        attempts = [] if own.is_file() else self.attempts(job)
        if not attempts or attempts[-1].launcher != "slurm":
            return own
        slurms = self.path / "slurm" / f"{attempts[-1].queue_id}_0_log.err"
        return slurms if slurms.is_file() else own

    def worker(self, job: Job) -> dict[str, Any]:
        """The record of the job's process; empty before it has begun."""
        return read_json(self.place(job) / "worker.json")

    def attempts(self, job: Job) -> list[Attempt]:
        """Every attempt, oldest first."""
        return read_attempts(self.place(job))

    def record(self, job: Job, attempt: Attempt) -> None:
        """Write an attempt: in the place of the one with its token, or as a new one."""
        with self.lock():
            attempts = {each.token: each for each in self.attempts(job)}
            attempts[attempt.token] = attempt
            listed = [asdict(each) for each in attempts.values()]
            write_json(self.place(job) / "attempts.json", {"attempts": listed})


def read_attempts(place: Path) -> list[Attempt]:
    """The attempts of the job in this directory, oldest first.

    Raises:
        UserError: the file is damaged.
    """
    file = place / "attempts.json"
    try:
        return [Attempt(**each) for each in read_json(file).get("attempts", [])]
    except TypeError as error:
        raise damaged(file, str(error)) from error


def now() -> str:
    """The time as the records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"the directory of the sweep cannot be used: {error.strerror}: {error.filename or path}",
        "sweep.dir=DIR keeps sweeps elsewhere",
    )
