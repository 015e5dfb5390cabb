"""Jobs on a SLURM cluster, handed over by submitit.

What SLURM runs is the worker process itself: submitit's process executes it in its own place. So a
job has its own copy of source and configuration, and signals reach it directly.
"""

from __future__ import annotations

import functools
import io
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

from segscape.errors import UserError, nearest
from segscape.runs.files import read_json, write_json
from segscape.sweep.launchers import slurm_commands
from segscape.sweep.launchers.base import REFUSED, Live, Queue, new_attempt, worker_command
from segscape.sweep.launchers.slurm_settings import SlurmSettings, gpus_of, read_slurm_settings
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory

# Lightning takes a job of one task for one rank of a larger training, and then waits for the
# others: a job of segscape starts its own processes, one per GPU.
_HIDDEN = ("SLURM_NTASKS", "SLURM_NPROCS", "SLURM_NTASKS_PER_NODE", "SLURM_TASKS_PER_NODE")
_TRANSIENT = re.compile(r"timed? ?out|unable to contact|temporarily|slurm_receive", re.IGNORECASE)
_UNREACHABLE = re.compile(r"configuration source|unable to contact|connection refused", re.I)
_PAUSES_S = (3.0, 10.0)
# Reasons to wait that do not end by themselves.
_HOPELESS = {
    "BadConstraints": "no node has what it asks for",
    "DependencyNeverSatisfied": "its dependency cannot be satisfied",
    "JobHeldAdmin": "held by an administrator",
    "JobHeldUser": "held: scontrol release lets it go",
    "JobHoldMaxRequeue": "held, it was started too often: scontrol release lets it go",
    "PartitionConfig": "it asks for more than the partition has",
    "PartitionTimeLimit": "it asks for more time than the partition gives",
}


class SlurmQueue(Queue):
    """Hands jobs to SLURM in arrays. The arguments are those of conf/hydra/launcher/slurm.yaml.

    Args:
        **settings: see `SlurmSettings`.

    Raises:
        UserError: an unknown setting, or a value that cannot be used.
    """

    name = "slurm"
    poll_s = 5.0

    def __init__(self, **settings: Any) -> None:
        self._settings = read_slurm_settings(settings)

    @property
    def slots(self) -> None:
        """The scheduler decides how many run at once."""

    def settings(self) -> dict[str, Any]:
        """Plain data from which the same queue is made."""
        return self._settings.given()

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        """Submit jobs, those that need the same as one array.

        Raises:
            UserError: SLURM or submitit is missing, or refuses.
        """
        if not jobs:
            return
        slurm_commands.require("sbatch", "srun", "squeue", "scancel", "scontrol")
        by_gpus: dict[int, list[Job]] = {}
        for job in jobs:
            config = sweep.saved(job)["config"]
            by_gpus.setdefault(gpus_of(self._settings, config), []).append(job)
        largest = slurm_commands.largest_array()
        for gpus, alike in by_gpus.items():
            for start in range(0, len(alike), largest):
                self._submit_array(sweep, alike[start : start + largest], code, gpus)

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """Those that wait or run, from one query of the queue."""
        by_id = {each.queue_id: token for token, each in attempts.items() if each.queue_id}
        # The process that submitted them was killed before it had recorded SLURM's id.
        by_batch = _places(sweep, [t for t, each in attempts.items() if each.queue_id is None])
        try:
            entries = slurm_commands.queue(ids=_whole(by_id)) if by_id else []
            found = {by_id[each.id]: each for each in entries if each.id in by_id}
            if by_batch:
                named = slurm_commands.queue(names=sorted({name for name, _ in by_batch}))
                places = {(each.name, each.index): each for each in named}
                found |= {t: places[where] for where, t in by_batch.items() if where in places}
        except slurm_commands.NoAnswer as error:
            return _unknown(sweep, attempts, str(error))
        return {token: _as_live(entry) for token, entry in found.items()}

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        """Take jobs out of the queue; those that run get SIGTERM, save and end.

        Raises:
            UserError: SLURM refuses, or does not answer.
        """
        ids = [each.queue_id for each in attempts if each.queue_id]
        if ids:
            slurm_commands.cancel(ids=ids)
        by_batch = _places(sweep, [each.token for each in attempts if each.queue_id is None])
        if not by_batch:
            return
        try:
            named = slurm_commands.queue(names=sorted({name for name, _ in by_batch}))
        except slurm_commands.NoAnswer as error:
            raise UserError(f"{self.name}: {error}") from error
        ids = [each.id for each in named if (each.name, each.index) in by_batch]
        if ids:
            slurm_commands.cancel(ids=ids)

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """Why an attempt ended, as SLURM recorded it."""
        id_ = attempt.queue_id
        if id_ is None:
            return None
        return slurm_commands.cause(id_, _folder(sweep) / f"{id_}_0_log.err")

    # -- submission --------------------------------------------------------------------------------

    def _submit_array(
        self, sweep: SweepDirectory, jobs: Sequence[Job], code: str, gpus: int
    ) -> None:
        name = f"{re.sub(r'[^A-Za-z0-9.-]+', '-', sweep.name)[:40]}-{secrets.token_hex(4)}"
        attempts = [new_attempt(self, code) for _ in jobs]
        # First the index of each job in the array: enough to find each job by the array's name.
        tokens = [attempt.token for attempt in attempts]
        write_json(_batches(sweep) / f"{name}.json", {"name": name, "tokens": tokens})
        for job, attempt in zip(jobs, attempts, strict=True):
            sweep.record(job, attempt)
        calls = [
            _becoming(worker_command(sweep, job, attempt))
            for job, attempt in zip(jobs, attempts, strict=True)
        ]
        try:
            ids = self._hand_over(sweep, name, calls, gpus)
        except BaseException:
            # A job that SLURM has accepted after all finds its attempt cancelled, and ends.
            for job, attempt in zip(jobs, attempts, strict=True):
                sweep.record(job, replace(attempt, cancelled=True, reason=REFUSED))
            raise
        for job, attempt, id_ in zip(jobs, attempts, ids, strict=True):
            sweep.record(job, replace(attempt, queue_id=id_))

    def _hand_over(
        self, sweep: SweepDirectory, name: str, calls: Sequence[Callable[[], Any]], gpus: int
    ) -> list[str]:
        """Submit through submitit; the ids of the jobs."""
        from submitit import SlurmExecutor
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        executor = SlurmExecutor(folder=_folder(sweep))
        if not self._settings.srun:
            # The script's shell becomes the job, so that the signals sent to it arrive.
            executor.python = f"exec {shlex.quote(sys.executable)}"
        executor.update_parameters(**self._settings.parameters(name, gpus))
        for pause_s in (*_PAUSES_S, None):
            try:
                # submitit prints what it raises.
                with slurm_commands.outside_of_jobs(), redirect_stderr(io.StringIO()):
                    return [str(job.job_id) for job in executor.submit_array(calls)]
            except (FailedJobError, FailedSubmissionError) as error:
                reason = " ".join(str(error).split())
                if pause_s is None or not _TRANSIENT.search(reason):
                    raise _refusal(reason, self._settings) from error
                # A request that timed out may have been carried out.
                slurm_commands.cancel(names=[name])
                time.sleep(pause_s)
        raise AssertionError("the last try returns or raises")


def _becoming(command: Sequence[str]) -> Callable[[], Any]:
    """A call that turns the process that makes it into `command`."""
    program, *rest = command
    assert program == "env", "the worker's command sets its own environment"
    hidden = [word for name in _HIDDEN for word in ("-u", name)]
    return functools.partial(os.execvp, program, [program, *hidden, *rest])


def _folder(sweep: SweepDirectory) -> Path:
    return sweep.path / "slurm"


def _batches(sweep: SweepDirectory) -> Path:
    return _folder(sweep) / "batches"


def _places(sweep: SweepDirectory, tokens: Sequence[str]) -> dict[tuple[str, int], str]:
    """(name of the array, index in it) -> token, of these."""
    if not tokens:
        return {}
    found = {}
    for file in sorted(_batches(sweep).glob("*.json")):
        batch = read_json(file)
        for index, token in enumerate(batch.get("tokens", ())):
            if token in tokens:
                found[batch["name"], index] = token
    return found


def _whole(ids: Mapping[str, str]) -> list[str]:
    """The ids of whole arrays: one word instead of one per element."""
    return sorted({each.partition("_")[0] for each in ids}, key=int)


def _as_live(entry: slurm_commands.Entry) -> Live:
    if entry.waits:
        reason = "" if entry.reason == "None" else entry.reason
        words = _HOPELESS.get(reason, reason) or "pending"
        return Live("queued", f"{words} (SLURM {entry.id})")
    return Live("running", f"{entry.nodes} (SLURM {entry.id})")


def _unknown(
    sweep: SweepDirectory, attempts: Mapping[str, Attempt], reason: str
) -> dict[str, Live]:
    """The records of the jobs, where SLURM does not answer: none of them counts as lost."""
    workers = {each.get("token"): each for each in map(sweep.worker, sweep.jobs())}
    found = {}
    for token in attempts:
        worker = workers.get(token)
        ended = worker is not None and worker.get("exit") is not None
        if not ended or (worker or {}).get("requeue"):
            found[token] = Live("queued" if ended or worker is None else "running", reason)
    return found


def _refusal(reason: str, settings: SlurmSettings) -> UserError:
    """sbatch's refusal, with what may be given instead."""
    hint = "hydra.launcher.KEY=VALUE changes what is asked for: conf/hydra/launcher/slurm.yaml"
    if "partition" in reason.lower() and settings.partition is not None:
        known = slurm_commands.partitions()
        close = nearest(str(settings.partition), known)
        meant = f"did you mean hydra.launcher.partition={close}? " if close else ""
        hint = f"{meant}partitions: {', '.join(known)} (sinfo lists them)"
    if _UNREACHABLE.search(reason):
        hint = (
            "no cluster answers from here: see sinfo; "
            "scripts/local_slurm.sh start makes one out of this machine"
        )
    parts = re.split(r"\s*sbatch: (?:error|fatal): ", f" {reason}")
    said = [each.removeprefix("Batch job submission failed: ").strip() for each in parts]
    return UserError(f"SLURM refuses the jobs: {'; '.join(filter(None, said))}", hint)
