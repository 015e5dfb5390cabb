"""The SLURM queue on a real cluster; the jobs are shell scripts that stand in for the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import slurm_cluster
from slurm_cluster import SCRIPT, until

from segscape.errors import UserError
from segscape.sweep.launchers import slurm
from segscape.sweep.launchers.slurm import SlurmQueue
from segscape.sweep.memory.directory import Attempt, Job, Planned, SweepDirectory

slurm_cluster.require()

# Prints its environment, then does what the job is called.
SEEN = """
say() { echo "$@" >> "$PLACE/out"; }
say tasks=${SLURM_NTASKS-none} cpus=${SLURM_CPUS_PER_TASK-none} cores=$(nproc) extra=${EXTRA-none}
"""
WAIT = """
trap 'say USR2; exit 3' USR2
trap 'say TERM; exit 3' TERM
say ready
for i in $(seq 600); do sleep 0.1; done
"""
SCRIPT_OF = {
    "end": "",
    "wait": WAIT,
    "exit": "exit 7",
    "crash": "kill -KILL $$",
    "memory": f"{sys.executable} -c 'import time; x = bytes([1]) * 400_000_000; time.sleep(60)'",
}


def stand_in(sweep: SweepDirectory, job: Job, attempt: Attempt) -> list[str]:
    script = SEEN + SCRIPT_OF[job.varied["what"]]
    return ["env", f"PLACE={sweep.place(job)}", "bash", "-c", script]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepDirectory:
    monkeypatch.setattr(slurm, "worker_command", stand_in)
    return SweepDirectory(tmp_path / "a sweep")


def submit(
    sweep: SweepDirectory, what: Sequence[str], **settings: object
) -> tuple[SlurmQueue, list[Job], list[Attempt]]:
    planned = [
        Planned(
            {"model": {"name": "m"}, "what": each, "seed": seed, "trainer": {}},
            (f"what={each}", f"seed={seed}"),
            {},
            {"what": each, "seed": seed},
        )
        for seed, each in enumerate(what)
    ]
    queue = SlurmQueue(**{"partition": "main", "cpus": 1, "memory": "150M", **settings})
    jobs = sweep.add(planned)
    with sweep.lock():
        queue.submit(sweep, jobs, "digest")
    return queue, jobs, [sweep.attempts(job)[-1] for job in jobs]


def by_token(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    return {each.token: each for each in attempts}


def without_ids(attempts: Sequence[Attempt]) -> list[Attempt]:
    """Attempts whose submitter was killed before SLURM's id was recorded."""
    return [replace(each, queue_id=None) for each in attempts]


def out(sweep: SweepDirectory, job: Job) -> str:
    file = sweep.place(job) / "out"
    return file.read_text() if file.is_file() else ""


def await_end(queue: SlurmQueue, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
    until(lambda: not queue.live(sweep, by_token(attempts)))


@pytest.mark.parametrize("srun", [True, False])
def test_jobs_run_as_an_array_each_with_its_share(
    sweep: SweepDirectory, srun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if this were a job itself: what it was given is none of the new jobs' business.
    for key in ("SLURM_CPUS_PER_TASK", "SLURM_NTASKS", "SLURM_MEM_PER_CPU"):
        monkeypatch.setenv(key, "5")
    queue, jobs, attempts = submit(
        sweep, ["end"] * 3, srun=srun, setup=["export EXTRA=given"], array_parallelism=2
    )
    numbers = {(each.queue_id or "").partition("_")[0] for each in attempts}
    assert len(numbers) == 1, "one array"
    assert [(each.queue_id or "").partition("_")[2] for each in attempts] == ["0", "1", "2"]
    await_end(queue, sweep, attempts)
    for job, attempt in zip(jobs, attempts, strict=True):
        # One core without a number for srun, and no tasks that Lightning would wait for.
        assert out(sweep, job) == "tasks=none cpus=1 cores=1 extra=given\n"
        assert queue.cause(sweep, attempt) is None
    assert os.environ["SLURM_NTASKS"] == "5"


def test_what_waits_and_what_runs_are_distinguished(sweep: SweepDirectory) -> None:
    queue, jobs, attempts = submit(sweep, ["wait", "wait"], array_parallelism=1)
    until(lambda: "ready" in out(sweep, jobs[0]))
    live = queue.live(sweep, by_token(attempts))
    assert [live[each.token].state for each in attempts] == ["running", "queued"]
    assert attempts[0].queue_id in live[attempts[0].token].note
    assert "JobArrayTaskLimit" in live[attempts[1].token].note
    # The same is found from the array's name only.
    assert queue.live(sweep, by_token(without_ids(attempts))) == live

    queue.cancel(sweep, [without_ids(attempts)[1]])
    until(lambda: attempts[1].token not in queue.live(sweep, by_token(attempts)))
    queue.cancel(sweep, attempts)  # one of them is gone already
    await_end(queue, sweep, attempts)
    assert out(sweep, jobs[0]).endswith("ready\nTERM\n")
    assert out(sweep, jobs[1]) == "", "it never began"
    assert queue.cause(sweep, attempts[0]) == "cancelled in SLURM"


@pytest.mark.parametrize("srun", [True, False])
def test_a_signal_reaches_the_job_itself(sweep: SweepDirectory, srun: bool) -> None:
    queue, jobs, attempts = submit(sweep, ["wait"], srun=srun)
    until(lambda: "ready" in out(sweep, jobs[0]))
    more = [] if srun else ["--batch"]
    subprocess.run(["scancel", "--signal=USR2", *more, str(attempts[0].queue_id)], check=True)
    await_end(queue, sweep, attempts)
    assert out(sweep, jobs[0]).endswith("ready\nUSR2\n")
    assert queue.cause(sweep, attempts[0]) == "ended with exit code 3"


def test_the_cause_of_an_end_is_known(sweep: SweepDirectory) -> None:
    queue, _, attempts = submit(sweep, ["exit", "crash", "memory"])
    await_end(queue, sweep, attempts)
    causes = [queue.cause(sweep, each) for each in attempts]
    assert causes == ["ended with exit code 7", "killed by signal 9", "out of memory"]
    assert queue.cause(sweep, replace(attempts[0], queue_id=None)) is None


def test_a_refusal_names_what_there_is_and_leaves_nothing_to_run(sweep: SweepDirectory) -> None:
    with pytest.raises(UserError) as error:
        submit(sweep, ["end"], partition="mian")
    assert "invalid partition" in error.value.what
    assert "hydra.launcher.partition=main" in (error.value.hint or "")
    (attempt,) = sweep.attempts(sweep.jobs()[0])
    assert (attempt.cancelled, attempt.reason) == (True, "refused by SLURM")
    assert SlurmQueue().live(sweep, by_token([attempt])) == {}


def test_more_than_the_cluster_can_give_is_refused_or_said(sweep: SweepDirectory) -> None:
    with pytest.raises(UserError, match="not available"):
        submit(sweep, ["end"], memory="900T")
    queue, _, attempts = submit(sweep, ["end"], cpus=4096)
    try:
        note = queue.live(sweep, by_token(attempts))[attempts[0].token].note
        assert "more than the partition has" in note
    finally:
        queue.cancel(sweep, attempts)


def test_where_slurm_does_not_answer_no_job_counts_as_lost(
    sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, jobs, attempts = submit(sweep, ["end", "end"])
    await_end(queue, sweep, attempts)
    (sweep.place(jobs[0]) / "worker.json").write_text(f'{{"token": "{attempts[0].token}"}}')
    (sweep.place(jobs[1]) / "worker.json").write_text(
        f'{{"token": "{attempts[1].token}", "exit": 1}}'
    )
    monkeypatch.setenv("PATH", "/nowhere")
    live = queue.live(sweep, by_token(attempts))
    assert list(live) == [attempts[0].token], "the other one said itself that it has ended"
    assert live[attempts[0].token].state == "running"
    assert "squeue" in live[attempts[0].token].note
    assert queue.cause(sweep, attempts[0]) is None
    with pytest.raises(UserError, match="scancel"):
        queue.cancel(sweep, attempts)
    with pytest.raises(UserError, match=r"sbatch.*not found"):
        queue.submit(sweep, jobs, "digest")


def test_a_cluster_of_one_node_comes_and_goes(tmp_path: Path) -> None:
    place = tmp_path / "cluster"
    environment = {
        **os.environ,
        "SEGSCAPE_SLURM_DIR": str(place),
        "SEGSCAPE_SLURM_PORT": "26917",
        "SEGSCAPE_SLURM_CPUS": "1",
    }

    def call(what: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SCRIPT), what], env=environment, capture_output=True, text=True, timeout=120
        )

    try:
        started = call("start")
        assert started.returncode == 0, started.stderr
        assert "runs already" in call("start").stdout
        assert "idle" in call("status").stdout
        inside = {**os.environ, "SLURM_CONF": str(place / "slurm.conf")}
        subprocess.run(["sbatch", "--wrap", "sleep 600"], env=inside, check=True, cwd=tmp_path)
        pids = [int(file.read_text()) for file in place.rglob("*pid") if file.is_file()]
        assert len(pids) == 3
    finally:
        stopped = call("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert not place.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
    assert call("status").returncode == 1
    assert "not running" in call("stop").stdout
