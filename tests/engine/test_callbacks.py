"""Lightning callbacks beside those of segscape: what they log, that they end, that they resume."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning
import pytest
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor
from records import assert_same, load, rows
from standin import KillAt, train

from segscape import build
from segscape.errors import UserError

SEVERAL = {"max_epochs": 4}


class Counter(lightning.Callback):
    """Counts batches over all starts, and logs the count."""

    def __init__(self) -> None:
        self.batches = 0

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches = state_dict["batches"]

    def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
        self.batches += 1
        assert trainer.logger is not None
        trainer.logger.log_metrics({"counter/batches": self.batches}, trainer.global_step)


def own() -> list[lightning.Callback]:
    return [LearningRateMonitor("epoch"), Counter()]


def test_what_is_logged_is_a_column_of_the_next_row(tmp_path: Path) -> None:
    train(tmp_path / "run", callbacks=own(), trainer=SEVERAL)
    written = rows(tmp_path / "run")
    assert [row["counter/batches"] for row in written] == [5, 10, 15, 20]
    names = [key for key in written[0] if key.startswith("lr-")]
    assert names, written[0]
    # The rate at the start of the epoch: a warm-up from below, then poly decay.
    rates = [row[names[0]] for row in written]
    assert rates[0] < rates[1] > rates[2] > rates[3] > 0


@pytest.mark.parametrize("point", [("batch", 7), ("validation", 10), ("row", 10)])
def test_a_stopped_run_continues_with_the_state_of_the_callbacks(
    tmp_path: Path, point: tuple[str, int]
) -> None:
    train(tmp_path / "whole", callbacks=own(), trainer=SEVERAL)
    path = tmp_path / "run"
    stop = KillAt(*point, signal.SIGTERM)
    assert train(path, callbacks=[*own(), stop], trainer=SEVERAL).state == "stopped"
    assert train(path, callbacks=own(), trainer=SEVERAL).state == "finished"
    assert_same(tmp_path / "whole", path)
    counted = load(path)["callbacks"]["Counter"]
    assert counted == {"batches": 20}


def test_a_callback_can_end_the_training(tmp_path: Path) -> None:
    """Also the next start with the same command finds it finished."""
    options = {"monitor": "val/miou", "mode": "max", "patience": 1, "min_delta": 1.0}
    node = {"stop": {"_target_": "lightning.pytorch.callbacks.EarlyStopping", **options}}

    def stopping() -> list[lightning.Callback]:
        return [make() for make in build.callback_factories(node).values()]

    assert isinstance(stopping()[0], EarlyStopping)
    result = train(tmp_path / "run", callbacks=stopping(), trainer=SEVERAL)
    assert result.state == "finished" and result.last is not None and result.last["step"] == 10
    again = train(tmp_path / "run", callbacks=stopping(), trainer=SEVERAL)
    assert again.state == "finished" and again.last == result.last and again.resumed_step == 10
    assert [row["step"] for row in rows(tmp_path / "run")] == [5, 10]


def test_a_callback_cannot_overwrite_a_column(tmp_path: Path) -> None:
    class Wrong(lightning.Callback):
        def on_train_batch_end(self, trainer: lightning.Trainer, *args: Any) -> None:
            assert trainer.logger is not None
            trainer.logger.log_metrics({"val/miou": 1.0})

    with pytest.raises(UserError, match="logs val/miou"):
        train(tmp_path / "run", callbacks=[Wrong()], trainer={"max_epochs": 1})


def test_a_state_that_no_checkpoint_can_hold_is_refused_before_the_training(
    tmp_path: Path,
) -> None:
    class Wrong(lightning.Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"where": tmp_path}

    with pytest.raises(UserError, match="state_dict of the callback Wrong"):
        train(tmp_path / "run", callbacks=[Wrong()], trainer={"max_epochs": 1})
    assert not list(tmp_path.rglob("*.ckpt"))


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "lightning.pytorch.callbacks.ModelCheckpoint"}, "save_every_steps"),
        ({"_target_": "lightning.pytorch.callbacks.RichProgressBar"}, "callbacks.progress=false"),
        ({"_target_": "lightning.pytorch.callbacks.BatchSizeFinder"}, "data.batch_size"),
        ({"_target_": "torch.nn.ReLU"}, "no lightning.Callback"),
        ({"patience": 3}, "names no class"),
        (
            {"_target_": "lightning.pytorch.callbacks.EarlyStopping"},
            "callbacks.mine.monitor is req",
        ),
        (
            {"_target_": "lightning.pytorch.callbacks.EarlyStopping", "monitr": "val/miou"},
            "did you mean callbacks.mine.monitor",
        ),
    ],
)
def test_callbacks_that_are_refused(node: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build.callback_factories({"mine": node})
