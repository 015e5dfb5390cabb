"""What a training writes, and how it refuses what it cannot do."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import standin
import torch
from records import load, rows
from standin import CLASSES, BlobData, make_task, network, train

from segscape.config.training import Budget, CallbackSettings
from segscape.engine.callbacks.signals import Signals
from segscape.engine.checkpoint_io import AtomicCheckpointIO
from segscape.engine.fit import fit, make_trainer
from segscape.engine.resume import prepare
from segscape.errors import UserError
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import NullTracker

QUIET = CallbackSettings(progress=False, gallery_images=0)


class Ear(NullTracker):
    """Records the calls of a tracker."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.galleries: list[tuple[int, Any]] = []

    def log(self, row: Any, step: int) -> None:
        self.rows.append({**row, "told step": step})

    def images(self, items: Any, step: int) -> None:
        self.galleries.append((step, list(items)))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fit") / "run"
    train(path, trainer={"max_epochs": 2}, settings={"save_every_steps": 2})
    return path


def predictions(path: Path, name: str) -> np.ndarray:
    """Class maps of the validation split, from a checkpoint and plain torch."""
    model = network(seed=99).strip_auxiliary().eval()
    state = {k.removeprefix("model."): v for k, v in load(path, name)["state_dict"].items()}
    model.load_state_dict({k: v for k, v in state.items() if not k.startswith("auxiliary.")})
    data = BlobData().dataset("val")
    images = np.stack([data.read(i).image for i in range(len(data))]).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        return model((torch.from_numpy(images) / 255 - 0.5) / 0.5).argmax(1).numpy()


def test_a_row_has_every_key_and_true_scores(finished: Path) -> None:
    row = RunDirectory(finished).read_metrics()[-1]
    terms = ["train/loss", "train/loss/main", "train/loss/decoder_16"]
    for key in ("epoch", "step", "val/loss", "val/boundary_iou", "train/lr", *terms):
        assert row[key] is not None, key
    assert 0 <= row["train/data_wait"] <= 1
    assert row["train/images_per_second"] > 0
    assert row[terms[0]] == pytest.approx(row[terms[1]] + 0.4 * row[terms[2]], rel=1e-6)

    data, found = BlobData().dataset("val"), predictions(finished, "last")
    label = np.stack([data.read(i).label for i in range(len(data))])
    ious = []
    for c, name in enumerate(CLASSES):
        scored = label != 255
        both = ((found == c) & (label == c)).sum()
        either = (((found == c) | (label == c)) & scored).sum()
        ious.append(both / either)
        assert row[f"val/iou/{name}"] == pytest.approx(ious[-1])
    assert row["val/miou"] == pytest.approx(np.mean(ious))
    assert row["val/pixel_accuracy"] == pytest.approx((found == label).sum() / (label != 255).sum())


def test_samples_that_only_fill_up_are_not_scored() -> None:
    """The last batch of a rank may repeat a sample: `valid` is False there."""
    task = make_task().eval()
    loader = BlobData().val_dataloader()
    scores = []
    for padded in (False, True):
        task.trainer = _OneProcess()  # type: ignore[assignment]
        task.on_validation_epoch_start()
        for batch in loader:
            if padded:
                batch = {k: torch.cat([v, v[:1]]) for k, v in batch.items()}
                batch["valid"][-1] = False
            with torch.inference_mode():
                task.validation_step(batch, 0)
        task.on_validation_epoch_end()
        scores.append(task.scores)
    assert scores[0] == pytest.approx(scores[1])


class _OneProcess:
    class strategy:
        @staticmethod
        def reduce(tensor: torch.Tensor, reduce_op: str) -> torch.Tensor:
            return tensor


def test_train_loss_is_the_mean_over_the_steps(tmp_path: Path) -> None:
    seen: list[float] = []
    task = make_task()
    step = task.training_step

    def spy(batch: Any, batch_idx: int) -> torch.Tensor:
        loss = step(batch, batch_idx)
        seen.append(float(loss.detach()))
        return loss

    task.training_step = spy  # type: ignore[method-assign]
    run = RunDirectory(tmp_path / "run")
    trainer = standin.TRAINER | {"max_steps": 4}
    result = fit(task, BlobData(), run, NullTracker(), trainer=trainer, settings=QUIET)
    assert result.last is not None
    assert result.last["train/loss"] == pytest.approx(np.mean(seen), rel=1e-12)
    assert len(seen) == 4


@pytest.mark.parametrize(("budget", "steps"), [({"max_steps": 7}, 7), ({"max_epochs": 2}, 10)])
def test_the_end_of_the_budget_is_validated_once(
    tmp_path: Path, budget: dict[str, int], steps: int
) -> None:
    """Also where Lightning's own rhythm has no validation."""
    result = train(tmp_path / "run", trainer={**budget, "check_val_every_n_epoch": 3})
    assert [row["step"] for row in rows(tmp_path / "run")] == [steps]
    assert result.last is not None
    assert result.last["step"] == steps
    assert result.state == "finished"
    assert result.exit_code == 0


def test_the_last_step_has_the_last_learning_rate(finished: Path) -> None:
    task = make_task()
    optimizer = task.make_optimizer(task.model)
    schedule = task.make_schedule(optimizer, 10)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert [row["train/lr"] for row in rows(finished)] == [rates[4], rates[9]]


def test_gallery_and_tracker(tmp_path: Path) -> None:
    run, ear = RunDirectory(tmp_path / "run"), Ear()
    settings = CallbackSettings(progress=False, gallery_images=3, gallery_every=2)
    trainer = standin.TRAINER | {"max_epochs": 4}
    fit(make_task(), BlobData(), run, ear, trainer=trainer, settings=settings)
    written = run.read_metrics()
    assert [row["told step"] for row in ear.rows] == [5, 10, 15, 20]
    assert [row["val/miou"] for row in ear.rows] == [row["val/miou"] for row in written]
    # Validations 1 and 3 by rhythm, 4 because it is the last.
    assert [step for step, _ in ear.galleries] == [5, 15, 20]
    items = ear.galleries[-1][1]
    assert [item.name for item in items] == ["blob_0", "blob_2", "blob_5"]
    assert {file.stem for file in run.gallery.glob("*.png")} == {item.name for item in items}
    found, data = predictions(run.path, "last"), BlobData().dataset("val")
    for item, index in zip(items, (0, 2, 5), strict=True):
        assert (item.prediction == found[index]).all()
        assert (item.image == data.read(index).image).all()
        assert (item.label == data.read(index).label).all()


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    task = make_task()
    with torch.no_grad():
        task.model.auxiliary["decoder_16"].classifier.weight[0, 0] = torch.inf  # type: ignore
    with pytest.raises(UserError, match=r"step 1 .*decoder_16") as caught:
        fit(
            task,
            BlobData(),
            RunDirectory(tmp_path / "run"),
            NullTracker(),
            trainer=standin.TRAINER,
            settings=QUIET,
        )
    assert "main" not in caught.value.what
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("trainer", "message"),
    [
        ({"precison": "32-true"}, "trainer.precision"),
        ({"logger": True}, "trainer.logger cannot be set"),
        ({"max_epochs": None}, "no end"),
        ({"max_epochs": 0}, "trainer.max_epochs=0"),
        ({"precision": "7-bit"}, "7-bit"),
        ({"strategy": "ddp_spawn"}, "trainer.strategy=ddp"),
        ({"val_check_interval": 2, "accumulate_grad_batches": 3}, "val_check_interval"),
        ({"val_check_interval": 9}, "val_check_interval"),
        ({"val_check_interval": "00:00:10:00"}, "by the clock"),
    ],
)
def test_wrong_trainer_arguments(tmp_path: Path, trainer: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        train(tmp_path / "run", trainer=trainer)
    assert message in str(caught.value)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_a_machine_with_slurm_brings_no_warning_of_lightning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    monkeypatch.delenv("SLURM_JOB_NAME", raising=False)
    make_trainer({"accelerator": "cpu"}, RunDirectory(tmp_path / "run"), [])
    assert not [str(w.message) for w in recwarn if "srun" in str(w.message)]


def test_budget() -> None:
    assert Budget.of({"max_epochs": 9, "max_steps": 4}) == Budget(None, 4)
    # Seven batches: two full accumulations of three, and the last batch steps on its own.
    assert Budget(epochs=5, steps=None).total_steps(7, 3) == 15
    assert Budget(epochs=None, steps=8).total_steps(7, 3) == 8


def test_never_refuses_a_directory_that_holds_a_training(finished: Path) -> None:
    with pytest.raises(UserError, match="resume=auto"):
        train(finished, resume="never")


def test_a_damaged_checkpoint_is_named(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    last = copy / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"last\.ckpt"):
        train(copy)


def test_best_holds_no_training_state(finished: Path, tmp_path: Path) -> None:
    best = finished / "checkpoints" / "best.ckpt"
    with pytest.raises(UserError, match="weights only"):
        train(tmp_path / "new", resume=best)
    assert best.stat().st_size < (finished / "checkpoints" / "last.ckpt").stat().st_size


def test_another_network_is_refused(finished: Path, tmp_path: Path) -> None:
    task = make_task()
    task.model.head = torch.nn.Conv2d(8, 3, 1)
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    with pytest.raises(UserError, match="another network"):
        fit(task, BlobData(), RunDirectory(copy), NullTracker(), trainer=standin.TRAINER)


def test_a_longer_budget_continues_in_a_new_directory(finished: Path, tmp_path: Path) -> None:
    path = tmp_path / "longer"
    last = finished / "checkpoints" / "last.ckpt"
    result = train(path, resume=last, trainer={"max_epochs": 3})
    assert result.resumed_step == 10
    assert [row["step"] for row in rows(path)] == [15]


def test_other_data_cannot_continue_inside_an_epoch(tmp_path: Path) -> None:
    path = tmp_path / "run"
    code = train(path, kill=("batch", 2, signal.SIGTERM)).exit_code
    assert code == 3
    with pytest.raises(UserError, match="middle of an epoch of 5 batches"):
        train(path, data={"batch_size": 2})


def test_a_failed_write_leaves_the_last_checkpoint(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    last = copy / "checkpoints" / "last.ckpt"
    before = last.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        AtomicCheckpointIO().save_checkpoint({"half": torch.zeros(9)}, last)
    assert last.read_bytes() == before
    assert len(list(last.parent.iterdir())) == 3
    prepare(RunDirectory(copy), "auto")
    assert sorted(file.name for file in last.parent.iterdir()) == ["best.ckpt", "last.ckpt"]


def test_signal_handlers_are_given_back() -> None:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.received is signal.SIGUSR1
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert {n: signal.getsignal(n) for n in before} == before
