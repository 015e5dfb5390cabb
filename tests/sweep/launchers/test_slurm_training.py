"""A real training on a real cluster, submitted by the command line and preempted by another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import slurm_cluster
import torch
from slurm_cluster import ROOT, until

from segscape.sweep.launchers.queues import statuses
from segscape.sweep.launchers.slurm import SlurmQueue
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import LIVE, State

slurm_cluster.require()

EPOCHS = 12
ARGUMENTS = (
    "data.size=[64,128]",
    "data.crop=[64,128]",
    "data.train_size=24",
    "data.val_size=2",
    "data.batch_size=2",
    f"trainer.max_epochs={EPOCHS}",
    "trainer.precision=32-true",
    "callbacks.save_every_steps=5",
    "callbacks.gallery_images=0",
    "profile=off",
    "logger=csv",
    "hydra/launcher=slurm",
    "hydra.launcher.memory=4",
)


def submit(place: Path, *more: str) -> tuple[SweepDirectory, Job]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "-m", *ARGUMENTS, *more, "sweep.wait=false"],
        cwd=place,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sweep = SweepDirectory(place / "runs" / "sweeps" / "small")
    (job,) = sweep.jobs()
    return sweep, job


def await_checkpoint(sweep: SweepDirectory, job: Job) -> None:
    until((sweep.run(job).checkpoints / "last.ckpt").is_file, 300)


def state(sweep: SweepDirectory) -> State:
    (standing,) = statuses(sweep, SlurmQueue())
    return standing.state


def worker(sweep: SweepDirectory, job: Job) -> dict[str, Any]:
    return json.loads((sweep.place(job) / "worker.json").read_text())


def step(sweep: SweepDirectory, job: Job) -> int:
    """The position of its last checkpoint."""
    file = sweep.run(job).checkpoints / "last.ckpt"
    data = torch.load(file, map_location="cpu", weights_only=True)
    return data["segscape"]["position"]["step"]


def assert_unbroken(sweep: SweepDirectory, job: Job) -> None:
    """It was submitted once, ran again, and each epoch is in the record once."""
    until(lambda: state(sweep) not in LIVE, 300)
    assert state(sweep) is State.FINISHED, sweep.log_path(job).read_text()
    rows = sweep.run(job).read_metrics()
    assert [row["epoch"] for row in rows] == list(range(1, EPOCHS + 1))
    assert len(sweep.attempts(job)) == 1
    # Another user of the cluster may have preempted it too.
    restarts = worker(sweep, job)["restarts"]
    assert restarts >= 1
    assert sweep.log_path(job).read_text().count("\n== ") == restarts + 1


def test_a_job_that_is_preempted_saves_comes_back_and_goes_on(tmp_path: Path) -> None:
    # A job of `low` has to make room; all cores of the node are its own.
    sweep, job = submit(
        tmp_path,
        "sweep.name=small",
        "hydra.launcher.partition=low",
        f"hydra.launcher.cpus={slurm_cluster.cpus()}",
    )
    await_checkpoint(sweep, job)
    assert state(sweep) is State.RUNNING
    subprocess.run(
        ["sbatch", "--partition=main", "--cpus-per-task=1", "--mem=100M", "--wrap=sleep 1"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    until(lambda: worker(sweep, job).get("exit") == 3)
    assert worker(sweep, job)["signal"] == "SIGTERM"
    assert worker(sweep, job)["requeue"] is True
    assert_unbroken(sweep, job)


@pytest.mark.slow
def test_a_job_near_its_time_limit_saves_comes_back_and_goes_on(tmp_path: Path) -> None:
    # SLURM looks at the limits every half a minute: the signal comes in the first 70 seconds.
    sweep, job = submit(
        tmp_path,
        "sweep.name=small",
        "hydra.launcher.partition=main",
        "hydra.launcher.cpus=1",
        "hydra.launcher.time=3",
        "hydra.launcher.signal_s=110",
        "data.train_size=2400",
        "trainer.max_epochs=1000",
    )
    until(lambda: worker(sweep, job).get("exit") == 3, 240)
    assert worker(sweep, job)["signal"] == "SIGUSR2"
    assert worker(sweep, job)["requeue"] is True
    saved = step(sweep, job)
    assert saved > 0
    try:
        until(lambda: worker(sweep, job)["restarts"] == 1)
        until(lambda: step(sweep, job) > saved)
        assert len(sweep.attempts(job)) == 1
    finally:
        SlurmQueue().cancel(sweep, sweep.attempts(job))
    until(lambda: state(sweep) is State.STOPPED)
    assert worker(sweep, job)["requeue"] is False
