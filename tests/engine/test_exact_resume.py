"""A run that was killed ends like one that was not, to the last bit."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import Child, run
from records import assert_same, load, rows

KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "run"
    assert run(path) == 0
    return path


def test_killed_again_and_again(whole: Path, tmp_path: Path) -> None:
    """Five batches an epoch, validation at 5, 10, 15; last.ckpt every two steps."""
    path, often = tmp_path / "run", {"settings": {"save_every_steps": 2}}
    # Before any checkpoint: starts over.
    assert run(path, kill=("batch", 1), **often) == KILLED
    # Inside the first epoch, a step after a checkpoint.
    assert run(path, kill=("batch", 3), **often) == KILLED
    assert load(path)["segscape"]["position"]["batch"] == 2
    # The first validation's row is written, its checkpoint is not.
    assert run(path, kill=("row", 5), **often) == KILLED
    assert [row["step"] for row in rows(path)] == [5]
    assert load(path)["segscape"]["position"]["step"] == 4
    # In the second epoch's validation, then in the third epoch, then to the end.
    assert run(path, kill=("validation", 10), **often) == KILLED
    assert run(path, kill=("batch", 13), **often) == KILLED
    assert run(path, **often) == 0
    assert_same(whole, path)
    # A finished run has nothing to do.
    before = (path / "checkpoints" / "last.ckpt").stat().st_mtime_ns
    assert run(path) == 0
    assert (path / "checkpoints" / "last.ckpt").stat().st_mtime_ns == before
    assert_same(whole, path)


@pytest.mark.parametrize(
    ("trainer", "kills"),
    [
        # Steps of three batches in epochs of five; the budget ends inside an epoch.
        (
            {"accumulate_grad_batches": 3, "max_steps": 7},
            [("batch", 1), ("batch", 3), ("validation", 7), ("row", 7)],
        ),
        # Two validations in an epoch, none in time with the checkpoints.
        (
            {"val_check_interval": 2, "max_steps": 9},
            [("row", 2), ("validation", 4), ("batch", 7), ("row", 9)],
        ),
        # Validation across epochs, and epochs without one.
        (
            {"val_check_interval": 7, "check_val_every_n_epoch": None, "max_epochs": 4},
            [("batch", 6), ("row", 7), ("validation", 20)],
        ),
        ({"check_val_every_n_epoch": 2, "max_epochs": 3}, [("batch", 5), ("row", 10)]),
    ],
    ids=["accumulation", "inside-epochs", "across-epochs", "every-second-epoch"],
)
def test_every_kind_of_schedule(
    tmp_path: Path, trainer: dict[str, Any], kills: list[tuple[str, int]]
) -> None:
    options = {"trainer": trainer, "settings": {"save_every_steps": 1}}
    assert run(tmp_path / "whole", **options) == 0
    for kill in kills:
        assert run(tmp_path / "run", kill=kill, **options) == KILLED
    assert run(tmp_path / "run", **options) == 0
    assert_same(tmp_path / "whole", tmp_path / "run")
    steps = [row["step"] for row in rows(tmp_path / "run")]
    assert len(steps) == len(set(steps))
    assert steps[-1] == load(tmp_path / "run")["segscape"]["position"]["step"]


@pytest.mark.parametrize("point", ["batch", "validation", "row"])
@pytest.mark.parametrize("step", [10, 15])
def test_a_signal_saves_and_stops(whole: Path, tmp_path: Path, point: str, step: int) -> None:
    """SIGTERM at any point: exit code 3, and the same end after resuming."""
    path, slow = tmp_path / "run", {"settings": {"save_every_minutes": None}}
    code = run(path, kill=(point, step, signal.SIGTERM), **slow)
    if (point, step) in (("batch", 15), ("row", 15)):
        # There is no such batch, and after the last row there is nothing to stop.
        assert code == 0
    else:
        assert code == 3
        position = load(path)["segscape"]["position"]
        assert position["step"] == (11 if point == "batch" else step)
        assert position["validated"] == (point != "validation")
        assert run(path, **slow) == 0
    assert_same(whole, path)


def test_ctrl_c_with_workers(tmp_path: Path) -> None:
    """Ctrl-C goes to the loader's workers as well; the second one does not wait."""
    path, options = tmp_path / "run", {"data": {"num_workers": 1}, "trainer": {"max_epochs": 400}}
    child = Child(path, **options)
    child.wait_for((path / "checkpoints" / "last.ckpt").exists)
    child.signal(signal.SIGINT)
    assert child.end() == 3, child.log()
    # The budget of what is left is short; the schedule's length follows it in both.
    budget = {"max_steps": load(path)["segscape"]["position"]["step"] + 6}
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    assert run(path, data={"num_workers": 1}, trainer=budget) == 0
    assert run(copy, trainer=budget) == 0
    assert_same(copy, path)


def test_checkpoints_are_plain_data(whole: Path) -> None:
    last, best = load(whole), load(whole, "best")
    for data in (last, best):
        assert data["segscape"]["classes"] == ["sky", "road", "tree"]
        assert data["segscape"]["config"] == {"seed": 3}
        assert all(key.startswith("model.") for key in data["state_dict"])
    assert "optimizer_states" in last
    assert "optimizer_states" not in best
    found = rows(whole)
    assert best["segscape"]["row"]["val/miou"] == max(row["val/miou"] for row in found)
    assert not list((whole / "checkpoints").glob(".*"))
    assert all(isinstance(v, torch.Tensor) for v in best["state_dict"].values())
