"""The process of one job: `python -P -m segscape.sweep.run.worker DIRECTORY TOKEN`.

It runs from a copy of the source with the stored configuration, always continues where the last
attempt stopped, and does nothing when the job is done, cancelled, or run by another process. So a
queue may start it any number of times.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from segscape import job
from segscape.errors import UserError
from segscape.exit_codes import DONE, FAILED, STOPPED, WRONG_REQUEST
from segscape.fast_exit import exit_fast
from segscape.runs.files import read_json, write_json
from segscape.runs.locks import try_lock
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.launchers.slurm_commands import preempted, requeue
from segscape.sweep.memory.directory import Attempt, now, read_attempts

# SIGTERM ends a job for good, unless a cluster preempts it.
CONTINUE = ("SIGUSR1", "SIGUSR2")
_SIGNALS = ("SIGTERM", *CONTINUE)
# So long another process may hold the lock to check whether this one is running.
_LOCK_WAIT_S = 3.0
_IDLE_RESTARTS = 3


def main(place: Path, token: str) -> int:
    """Run a job unless there is nothing to do.

    Args:
        place: its run directory.
        token: of the attempt.

    Returns:
        0 done, 1 a defect, 2 a wrong request, 3 stopped by a signal after saving.
    """
    stored = read_json(place / "job.json")
    if not stored:
        print(f"error: {place} holds no job", file=sys.stderr)
        return WRONG_REQUEST
    attempt = next((each for each in read_attempts(place) if each.token == token), None)
    lock = _take_lock(place)
    if lock is None:
        print(f"{place.name} is running already", file=sys.stderr)
        return DONE
    try:
        _redirect(place)
        if RunDirectory(place).is_finished():
            print(f"{place.name} is finished already")
            return DONE
        if attempt is None or attempt.cancelled:
            print(f"{place.name} was cancelled")
            return DONE
        return _attempt(place, attempt, stored)
    finally:
        os.close(lock)


def _attempt(place: Path, attempt: Attempt, stored: dict[str, Any]) -> int:
    """Run, and record in worker.json how it ended."""
    before = read_json(place / "worker.json")
    again = before.get("token") == attempt.token
    record: dict[str, Any] = {
        "token": attempt.token,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "started": now(),
        "queue_id": attempt.queue_id or os.environ.get("SLURM_JOB_ID"),
        "restarts": int(before.get("restarts", 0)) + 1 if again else 0,
        "idle": int(before.get("idle", 0)) if again else 0,
    }
    write_json(place / "worker.json", record)
    saved = _last_saved(place)

    def end(code: int, received: str | None) -> int:
        return _end(place, attempt, record, code, received, progress=_last_saved(place) != saved)

    def stop_now(number: int, frame: FrameType | None) -> None:
        """Outside of the training nothing has to be stored: end at once.

        An exception would not do: the import of a package may swallow it.
        """
        if os.getpid() != record["pid"]:  # a child that inherited the handler
            return
        RunDirectory(place).write_status("stopped")
        code = end(STOPPED, signal.Signals(number).name)
        sys.stdout.flush()
        os._exit(code)

    try:
        for name in _SIGNALS:
            signal.signal(getattr(signal, name), stop_now)
        print(f"\n== {record['started']} {record['host']} pid {record['pid']}", flush=True)
        code, received = _run(place, stored)
    finally:
        for name in _SIGNALS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    return end(code, received)


def _end(
    place: Path,
    attempt: Attempt,
    record: dict[str, Any],
    code: int,
    received: str | None,
    progress: bool,
) -> int:
    """Record how an attempt ended, and request another start if it is to go on; its exit code."""
    record["idle"] = 0 if progress else record["idle"] + 1
    on_slurm = attempt.launcher == "slurm"
    # SLURM would not bring back a job that ends by itself while it is preempted.
    restart = code == STOPPED and (received in CONTINUE or (on_slurm and preempted()))
    if restart and record["idle"] > _IDLE_RESTARTS:
        text = f"stopped {record['idle']} times without reaching a checkpoint: give it more time"
        RunDirectory(place).write_status("failed", error=text)
        code, restart = FAILED, False
    record |= {"ended": now(), "exit": code, "signal": received, "requeue": restart}
    write_json(place / "worker.json", record)
    if restart and on_slurm:
        requeue()
    return code


def _run(place: Path, stored: dict[str, Any]) -> tuple[int, str | None]:
    """Run the job; its exit code, and the signal that stopped the training."""
    directory = RunDirectory(place)
    try:
        # Relative paths mean what they meant where the sweep was submitted.
        os.chdir(stored["cwd"])
        result = job.run(
            job.Request(
                config={**stored["config"], "run_dir": str(place), "resume": "auto"},
                overrides=stored["overrides"],
                choices=stored["choices"],
                group=stored["group"],
                title=stored["name"],
            )
        )
        return result.exit_code, result.signal
    except UserError as error:
        directory.write_status("failed", error=error.what)
        print(f"error: {error.what}\n       {error.hint or ''}", file=sys.stderr)
        return WRONG_REQUEST, None
    except (Exception, SystemExit) as error:
        directory.write_status("failed", error=f"{type(error).__name__}: {error}")
        traceback.print_exc()
        return FAILED, None


def _last_saved(place: Path) -> int | None:
    try:
        return (place / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _take_lock(place: Path) -> int | None:
    descriptor = os.open(place / ".worker", os.O_RDWR | os.O_CREAT, 0o644)
    end = time.monotonic() + _LOCK_WAIT_S
    while not try_lock(descriptor):
        if time.monotonic() > end:
            os.close(descriptor)
            return None
        time.sleep(0.1)
    return descriptor


def _redirect(place: Path) -> None:
    """Send what this process and its children print to the job's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(place / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def entry(arguments: Sequence[str]) -> NoReturn:
    """Entry of `python -m segscape.sweep.run.worker`."""
    exit_fast(main(Path(arguments[0]), arguments[1]))


if __name__ == "__main__":
    entry(sys.argv[1:])
