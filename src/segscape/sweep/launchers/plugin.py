"""Third-party Hydra launchers (joblib, Ray, submitit, basic) under the sweepers of segscape.

Such a launcher takes a batch of overrides and returns when all of it has ended. The sweep keeps its
record nevertheless: each job has its directory, and how it ended is read there.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape import job
from segscape.config.command_line import admit
from segscape.config.training import SCORE
from segscape.errors import UserError
from segscape.exit_codes import DONE, FAILED, STOPPED
from segscape.paths import short
from segscape.runs.files import read_json
from segscape.runs.locks import is_locked
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.launchers.base import Queue
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory, now
from segscape.sweep.memory.status import Live

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher


class PluginQueue(Queue):
    """Runs what was submitted as one batch of a third-party launcher, to its end.

    The launcher records no attempts: how a job ended is read from its run directory.

    Args:
        launcher: any Hydra launcher.
        jobs: in a batch; None: all that are due.
    """

    background = False

    def __init__(self, launcher: Launcher, jobs: int | None = None) -> None:
        self.name = type(launcher).__name__
        self._launcher, self._slots, self._count = launcher, jobs, 0
        self._submitted: list[Job] = []

    @property
    def slots(self) -> int | None:
        """Jobs in a batch."""
        return self._slots

    def settings(self) -> dict[str, Any]:
        """Nothing: the queue cannot be made again without Hydra."""
        return {}

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        """Keep jobs for the next batch; `code` has no use, they run from the source of today."""
        self._submitted += jobs

    def run_here(self, sweep: SweepDirectory) -> None:
        """Run the batch to its end.

        Raises:
            UserError: the launcher failed before any job began.
            KeyboardInterrupt: a signal to end.
        """
        jobs, self._submitted = self._submitted, []
        if not jobs:
            return
        first, self._count = self._count, self._count + len(jobs)
        before = _stamps(sweep, jobs)
        try:
            self._launcher.launch([_overrides(sweep, each) for each in jobs], initial_job_idx=first)
        except SystemExit as stop:  # a job in this process got a signal to stop
            raise KeyboardInterrupt from stop
        except Exception as error:
            reason = (str(error).splitlines() or [""])[0]
            words = f"{self.name} failed: {type(error).__name__}: {reason}"
            if _stamps(sweep, jobs) == before:
                hint = "none of its jobs began; it is not part of segscape"
                raise UserError(words, hint) from error
            print(words, file=sys.stderr)

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """None: a batch has ended when `run_here` returns."""
        return {}

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        """There is nothing to cancel."""

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """There is no record beyond the run directory."""
        return None


def _overrides(sweep: SweepDirectory, each: Job) -> list[str]:
    # Quoted for Hydra's grammar: the path may have any sign.
    place = str(sweep.place(each)).replace("\\", "\\\\").replace("'", "\\'")
    return [*admit(sweep.saved(each)["overrides"]), f"run_dir='{place}'", "resume=auto"]


def _stamps(sweep: SweepDirectory, jobs: Sequence[Job]) -> list[int | None]:
    paths = [sweep.run(each).status_path for each in jobs]
    return [path.stat().st_mtime_ns if path.is_file() else None for path in paths]


# -- the job, in the process that the launcher has started ----------------------------------------


def is_job(run_dir: str | None) -> bool:
    """Whether this run directory is that of a job of a sweep."""
    return bool(run_dir) and (Path(str(run_dir)) / "job.json").is_file()


def refuse_sweep_settings(overrides: Sequence[str]) -> None:
    """Under a third-party launcher and sweeper no key of `sweep` has an effect.

    Raises:
        UserError: one is given.
    """
    for text in overrides:
        if text.lstrip("+~").startswith(("sweep.", "sweep=")):
            raise UserError(
                f"{text} has no effect: launcher and sweeper are not those of segscape",
                "leave it out, or leave out hydra/sweeper=",
            )


def run_job(request: job.Request, number: int, elsewhere: bool) -> int:
    """Run one job of a sweep.

    How it ends is written into its directory, where the sweeper reads it.

    Args:
        request: with the directory of the job as its `run_dir`.
        number: that the launcher gave to the job.
        elsewhere: whether this is another process than that of the command; then the job prints
            into its log, as under the launchers of segscape.

    Returns:
        3 when a signal stopped it, else 0.
    """
    run = RunDirectory(request.config["run_dir"])
    request = replace(request, title=read_json(run.path / "job.json").get("name"))
    log = run.path / "log.txt"
    if run.is_finished():
        print(f"job {number}: {request.title}: finished already", flush=True)
        return DONE
    print(f"job {number}: {request.title}  log: {short(log)}", flush=True)
    header = f"\n== {now()} {socket.gethostname()} pid {os.getpid()}\n"
    header += "" if elsewhere else "the command that runs the sweep prints the output of this job\n"
    with log.open("a", encoding="utf-8") as file:
        file.write(header)
    if elsewhere:
        # joblib makes its own start method of processes the default, which DataLoader cannot use.
        multiprocessing.set_start_method(None, force=True)
    with _printing_into(log) if elsewhere else contextlib.nullcontext():
        code, words = _run(run, log, request)
    stream = sys.stdout if code in (DONE, STOPPED) else sys.stderr
    print(f"job {number}: {request.title}: {words}", file=stream, flush=True)
    return STOPPED if code == STOPPED else DONE


def _run(directory: RunDirectory, log: Path, request: job.Request) -> tuple[int, str]:
    """Exit code, and what to print about it."""
    try:
        result = job.run(request)
    except KeyboardInterrupt:  # outside of the training, or twice: not the job's failure
        directory.write_status("stopped")
        raise
    except Exception as error:
        known = isinstance(error, UserError)
        cause = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        # While another process trains in the directory, its status is that of that process.
        if not is_locked(directory.path / ".lock"):
            directory.write_status("failed", error=cause)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"error: {error}\n" if known else "".join(traceback.format_exception(error)))
        return FAILED, f"failed: {cause}"
    if result.exit_code == STOPPED:
        return STOPPED, f"saved after {result.signal or 'a signal'}"
    score = (result.best or {}).get(SCORE)
    return result.exit_code, "finished" if score is None else f"finished  mIoU {score:.4f}"


@contextlib.contextmanager
def _printing_into(log: Path) -> Iterator[None]:
    """Send what this process and its children print to a file, as long as the block runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before in enumerate(kept, start=1):
            os.dup2(before, number)
            os.close(before)
