"""Calls of SLURM's commands, and the meaning of their output."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from segscape.errors import UserError

_TIMEOUT_S = 60.0
_PAUSES_S = (1.0, 4.0)
_QUEUED = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")
_GONE = re.compile(r"invalid job id|already complet|job/step", re.IGNORECASE)
_CAUSES = {
    "TIMEOUT": "time limit",
    "DEADLINE": "deadline",
    "OUT_OF_MEMORY": "out of memory",
    "NODE_FAIL": "node failed",
    "BOOT_FAIL": "node did not start",
    "PREEMPTED": "preempted",
    "CANCELLED": "cancelled in SLURM",
    "REVOKED": "revoked",
}
_SAID = {
    r"oom[-_]kill|exceeded memory limit": "out of memory",
    r"DUE TO TIME LIMIT": "time limit",
    r"DUE TO NODE FAILURE": "node failed",
    r"DUE TO PREEMPTION": "preempted",
    r"segscape: setup command \d+ failed": "a command of hydra.launcher.setup failed",
}


class NoAnswer(Exception):
    """SLURM does not answer: the state of no job is known."""


@dataclass(frozen=True)
class Entry:
    """One line of the queue.

    Attributes:
        id: `12`, or `12_3` of an array.
        name: of the batch that it was submitted with.
        index: in its array; 0 of a single job.
        state: as SLURM names it.
        reason: why it waits.
        nodes: where it runs.
    """

    id: str
    name: str
    index: int
    state: str
    reason: str
    nodes: str

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or will begin again."""
        return self.state in _QUEUED


def require(*programs: str) -> None:
    """Make sure that SLURM's commands and submitit are there.

    Raises:
        UserError: one of them is not.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        raise UserError(
            f"hydra/launcher=slurm: {', '.join(missing)} not found on this machine",
            "submit from a machine that submits to your cluster, or use hydra/launcher=local; "
            "scripts/local_slurm.sh start makes a cluster out of this machine",
        )
    try:
        import submitit  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"hydra/launcher=slurm needs submitit, which cannot be imported: {error}",
            'pip install "segscape[sweep]"',
        ) from error


def queue(ids: Sequence[str] = (), names: Sequence[str] = ()) -> list[Entry]:
    """What the queue holds of these jobs, each element of an array on its own.

    Args:
        ids: of jobs or of whole arrays.
        names: of batches.

    Raises:
        NoAnswer: also after a while.
    """
    chosen = [f"--jobs={','.join(ids)}"] if ids else [f"--name={','.join(names)}"]
    done = _ask(["squeue", "--noheader", "--array", "--format=%i|%K|%T|%r|%N|%j", *chosen])
    if done is None:  # a single id that is no longer known
        return []
    found = []
    for line in done.splitlines():
        id_, index, state, reason, nodes, name = line.strip().split("|", 5)
        number = int(index) if index.isdigit() else 0
        found.append(Entry(id_, name, number, state, reason, nodes))
    return found


def cancel(ids: Sequence[str] = (), names: Sequence[str] = ()) -> None:
    """Take jobs out of the queue; a running one gets SIGTERM, and SIGKILL a while later.

    Raises:
        UserError: SLURM refuses, or does not answer.
    """
    chosen = [list(ids)] if ids else [[f"--name={name}"] for name in names]
    for arguments in chosen:
        try:
            _ask(["scancel", *arguments])
        except NoAnswer as error:
            raise UserError(f"scancel {' '.join(arguments)}: {error}") from error


def cause(id_: str, log: Path) -> str | None:
    """Why a job ended: from the accounting, else from the controller, else from its messages.

    Args:
        id_: of the job.
        log: what SLURM's own processes printed into.
    """
    said = _said(log)
    for state, code in (_accounted(id_), _controlled(id_)):
        # A job that used too much memory is cancelled, or fails by a signal: see its messages.
        found = said if said and state in ("CANCELLED", "FAILED") else _in_words(state, code)
        if found:
            return found
    return said


def _said(log: Path) -> str | None:
    try:
        text = log.read_text(encoding="utf-8", errors="replace")[-4000:]
    except OSError:
        return None
    found = {words: list(re.finditer(pattern, text)) for pattern, words in _SAID.items()}
    # The log holds every start of the job: the last message counts.
    last = {words: hits[-1].start() for words, hits in found.items() if hits}
    return max(last, key=lambda words: last[words]) if last else None


def _accounted(id_: str) -> tuple[str, str]:
    """State and exit code in the accounting; empty where there is none."""
    command = ["sacct", "--noheader", "--parsable2", "-X", "--jobs", id_]
    lines = (_try([*command, "--format=State,ExitCode"]) or "").split()
    state, _, code = lines[-1].partition("|") if lines else ("", "", "")
    return state, code


def _controlled(id_: str) -> tuple[str, str]:
    """State and exit code, as long as the controller has them."""
    text = _try(["scontrol", "--oneliner", "show", "job", id_]) or ""
    values = dict(word.partition("=")[::2] for word in text.split())
    return values.get("JobState", ""), values.get("ExitCode", "")


def _in_words(state: str, code: str) -> str | None:
    state = state.split(" ")[0].rstrip("+")
    if state in _CAUSES:
        return _CAUSES[state]
    exit_code, _, signal = code.partition(":")
    if state != "FAILED" or not exit_code.isdigit():
        return None
    if signal.isdigit() and int(signal):
        return f"killed by signal {signal}"
    number = int(exit_code)
    # A shell's exit code for a command that was killed.
    return f"killed by signal {number - 128}" if number > 128 else f"ended with exit code {number}"


def preempted() -> bool:
    """Whether the job that this process runs in is being preempted, and would not come back.

    In the grace time of a preemption a job gets SIGTERM; one that ends by itself then has failed
    for SLURM, only one that is still there is put back into the queue. After `scancel`, at the
    time limit or on a requeue the job is no longer RUNNING when the signal comes.
    """
    id_ = os.environ.get("SLURM_JOB_ID")
    text = _try(["scontrol", "--oneliner", "show", "job", id_]) if id_ else None
    values = dict(word.partition("=")[::2] for word in (text or "").split())
    waiting = values.get("PreemptTime", "None") not in ("None", "Unknown", "N/A")
    return waiting and values.get("JobState") == "RUNNING"


def requeue() -> None:
    """Requeue the job of this process; SLURM kills the process to do so."""
    command = ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"SLURM does not requeue: {done.stderr.strip()}", file=sys.stderr)


def largest_array() -> int:
    """How many jobs one array may have."""
    text = _try(["scontrol", "show", "config"]) or ""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", text, re.MULTILINE)
    # The limit is on the index, which begins at 0; 1001 is SLURM's default.
    return max(1, (int(found.group(1)) if found else 1001) - 1)


def partitions() -> list[str]:
    """Names of the partitions of the cluster."""
    return sorted(set((_try(["sinfo", "--noheader", "--format=%R"]) or "").split()))


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Remove SLURM's variables of a job: one that is submitted from within would inherit them.

    The user's defaults for sbatch and the path of SLURM's configuration stay.
    """
    hidden = {key: value for key, value in os.environ.items() if _of_a_job(key)}
    for key in hidden:
        del os.environ[key]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _of_a_job(key: str) -> bool:
    kept = ("SLURM_CONF", "SLURM_CLUSTERS", "SLURM_CONF_SERVER", "SLURM_TIME_FORMAT")
    return key.startswith(("SLURM_", "SLURMD_", "SRUN_", "SUBMITIT_")) and key not in kept


def _ask(command: Iterable[str]) -> str | None:
    """The output; None when SLURM has no such job.

    Raises:
        NoAnswer: several times in a row.
    """
    words = list(command)
    reason = ""
    for pause_s in (*_PAUSES_S, 0.0):
        done = _run(words)
        if isinstance(done, subprocess.CompletedProcess):
            if done.returncode == 0:
                return done.stdout
            if _GONE.search(done.stderr):
                return None
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        else:
            reason = str(done)
            if isinstance(done, FileNotFoundError):
                break
        time.sleep(pause_s)
    raise NoAnswer(f"{words[0]}: {reason}")


def _try(command: Sequence[str]) -> str | None:
    """The output, or None when there is none: for optional information."""
    done = _run(command)
    if isinstance(done, subprocess.CompletedProcess) and done.returncode == 0:
        return done.stdout
    return None


def _run(
    command: Sequence[str], more: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str] | OSError | subprocess.TimeoutExpired:
    environment = {**os.environ, **(more or {})}
    # A user's own output formats would not be read.
    for key in ("SQUEUE_FORMAT", "SQUEUE_FORMAT2", "SQUEUE_STATES", "SACCT_FORMAT"):
        environment.pop(key, None)
    try:
        return subprocess.run(
            list(command), capture_output=True, text=True, timeout=_TIMEOUT_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return error
