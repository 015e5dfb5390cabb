"""One job of a sweep in the hands of a launcher that is not ours, in whatever process that is."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from segscape.errors import UserError
from segscape.runs.files import read_json
from segscape.sweep.memory.directory import now

if TYPE_CHECKING:
    from segscape.job import Request

DONE, FAILED, STOPPED = 0, 1, 3


def is_job(run_dir: str | None) -> bool:
    """Whether this run directory is that of a job of a sweep."""
    return bool(run_dir) and (Path(str(run_dir)) / "job.json").is_file()


def run_job(request: Request, number: int, elsewhere: bool) -> int:
    """Run one job of a sweep, in whatever process a launcher has brought it to.

    How it ends is written into its directory, where the sweeper reads it.

    Args:
        request: with the directory of the job as its `run_dir`.
        number: that the launcher gave to the job.
        elsewhere: whether this is another process than that of the command; then the job prints
            into its log, as under our own launchers.

    Returns:
        3 when a signal stopped it, else 0.
    """
    from segscape.runs.run_directory import RunDirectory
    from segscape.sweep.run.display import short

    place = Path(request.config["run_dir"])
    request = replace(request, title=read_json(place / "job.json").get("name"))
    log = place / "log.txt"
    if RunDirectory(place).read_status().get("state") == "finished":
        print(f"job {number}: {request.title}: finished already", flush=True)
        return DONE
    print(f"job {number}: {request.title}  log: {short(log)}", flush=True)
    header = f"\n== {now()} {socket.gethostname()} pid {os.getpid()}\n"
    header += "" if elsewhere else "the command that runs the sweep prints what this job says\n"
    with log.open("a", encoding="utf-8") as file:
        file.write(header)
    with _printing_into(log) if elsewhere else contextlib.nullcontext():
        code, words = _run(place, request)
    stream = sys.stdout if code in (DONE, STOPPED) else sys.stderr
    print(f"job {number}: {request.title}: {words}", file=stream, flush=True)
    return STOPPED if code == STOPPED else DONE


def _run(place: Path, request: Request) -> tuple[int, str]:
    """Exit code, and what to say of it."""
    from segscape.job import run
    from segscape.runs.locks import is_locked
    from segscape.runs.run_directory import RunDirectory

    try:
        result = run(request)
    except KeyboardInterrupt:  # outside of the training, or twice: no fault of the job
        RunDirectory(place).write_status("stopped")
        raise
    except Exception as error:
        known = isinstance(error, UserError)
        cause = error.what if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        # In the hands of another process the directory says how that one fares.
        if not is_locked(place / ".lock"):
            RunDirectory(place).write_status("failed", error=cause)
        told = f"error: {error}\n" if known else "".join(traceback.format_exception(error))
        with (place / "log.txt").open("a", encoding="utf-8") as file:
            file.write(told)
        return FAILED, f"failed: {cause}"
    if result.exit_code == STOPPED:
        return STOPPED, f"saved after {result.signal or 'a signal'}"
    score = (result.best or {}).get("val/miou")
    return result.exit_code, "finished" if score is None else f"finished  mIoU {score:.4f}"


@contextlib.contextmanager
def _printing_into(log: Path) -> Iterator[None]:
    """Send what this process and its children print to a file, as long as the block runs."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, before in enumerate(kept, start=1):
            os.dup2(before, number)
            os.close(before)
        os.close(file)
