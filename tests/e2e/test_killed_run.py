"""A run that is killed and continued through the command line ends as if nothing had happened."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = (
    "data.size=[64,128]",
    "data.crop=[64,128]",
    "data.train_size=24",
    "data.val_size=4",
    "data.batch_size=2",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",
    "callbacks.save_every_steps=5",
    "callbacks.gallery_images=2",
    "profile=off",
    "logger=csv",
)
# Columns of time differ from run to run; everything else must not.
TIMES = ("train/images_per_second", "train/data_wait")


def start(run_dir: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "train.py", *ARGUMENTS, f"run_dir={run_dir}", *more],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    return printed


def wait_for_step(run_dir: Path, step: int) -> None:
    """Until last.ckpt is of this step or a later one."""
    file = run_dir / "checkpoints" / "last.ckpt"
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if file.is_file():
            data = torch.load(file, map_location="cpu", weights_only=True)
            if data["segscape"]["position"]["step"] >= step:
                return
        time.sleep(0.05)
    raise AssertionError(f"no checkpoint of step {step} after 300 s")


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in TIMES} for row in found]


def weights(run_dir: Path, name: str) -> dict[str, torch.Tensor]:
    path = run_dir / "checkpoints" / name
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


@pytest.mark.slow
def test_killed_in_the_middle_of_an_epoch_and_continued(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(whole))
    for step in (5, 17):
        process = start(broken, "resume=auto")
        wait_for_step(broken, step)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    finish(start(broken, "resume=auto"))

    assert rows(broken) == rows(whole)
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = weights(broken, name), weights(whole, name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name


@pytest.mark.slow
def test_continuing_with_other_choices_is_refused(tmp_path: Path) -> None:
    process = start(tmp_path / "run")
    wait_for_step(tmp_path / "run", 5)
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 3, printed
    assert "resume=auto" in printed
    other = start(tmp_path / "run", "resume=auto", "optim.lr=0.5")
    printed, _ = other.communicate(timeout=300)
    assert other.returncode == 2
    assert "optim.lr" in printed
