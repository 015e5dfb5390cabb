"""One row per validation, in metrics.csv and at the tracker."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from segscape.engine.callbacks.clock import Clock
from segscape.engine.task import SegmentationTask, as_task
from segscape.errors import UserError
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import Tracker

# Reading the loss synchronises with a GPU: only so often.
CHECK_EVERY = 50


class Record(Callback):
    """Collects what a row needs during training and writes it when a validation has ended.

    Args:
        run: gets the row.
        tracker: mirrors it.
        clock: counts what training does.
        constants: keys that every row repeats, such as the cost of the model.
        logged: what callbacks have logged since the last row; emptied with each row.

    Raises:
        UserError: (while training) the loss is not a number; a callback logs a key of the row.
    """

    def __init__(
        self,
        run: RunDirectory,
        tracker: Tracker,
        clock: Clock,
        constants: Mapping[str, Any] | None = None,
        logged: dict[str, float] | None = None,
    ) -> None:
        self.constants = dict(constants or {})
        self.logged = {} if logged is None else logged
        self.run = run
        self.tracker = tracker
        self.clock = clock
        self.lr = 0.0

    # -- state -------------------------------------------------------------------------------------

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the sums since the last row: the next row goes on with them."""
        means = as_task(pl_module).means
        total = trainer.strategy.reduce(means.total(pl_module.device), reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        checkpoint["record"] = {**means.state(total), "lr": self.lr, "logged": dict(self.logged)}

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Continue with the sums."""
        state = checkpoint["record"]
        if trainer.global_rank > 0:  # rank zero continues with the sums of all ranks
            state = {**state, "total": torch.zeros_like(state["total"])}
        as_task(pl_module).means.load(state)
        self.lr = state["lr"]
        self.logged.update(state.get("logged", {}))

    # -- training ----------------------------------------------------------------------------------

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.clock.clear()
        self.clock.resume()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note the learning rate that the batch is trained with."""
        self.clock.batch_starts()
        self.lr = base_lr(trainer.optimizers[0])

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Stop the clock and check the loss."""
        self.clock.batch_ends(len(batch["image"]))
        if pl_module.device.type == "cpu" or batch_idx % CHECK_EVERY == 0:
            self.check_loss(trainer, as_task(pl_module))

    def check_loss(self, trainer: Trainer, task: SegmentationTask) -> None:
        """Raise a UserError when a loss since the last row was not finite."""
        broken = task.means.broken()
        if not broken:
            return
        terms = ", ".join(name for name in broken if name != "loss") or "loss"
        raise UserError(
            f"the loss is not finite at step {trainer.global_step} (lr {self.lr:.3g}): {terms}",
            "lower optim.lr, lengthen schedule.warmup_steps, give trainer.gradient_clip_val=1, "
            "or train with trainer.precision=32-true",
        )

    # -- validation --------------------------------------------------------------------------------

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the row."""
        task = as_task(pl_module)
        self.check_loss(trainer, task)
        row = self._row(trainer, task)
        task.means.clear()
        task.notes["row"] = row
        # For callbacks that monitor a key, such as EarlyStopping.
        numbers = {k: torch.tensor(v) for k, v in row.items() if isinstance(v, int | float)}
        trainer.callback_metrics.update(numbers)
        if trainer.is_global_zero:
            self.run.append_metrics(row)
            self.tracker.log(row, trainer.global_step)
        self.clock.clear()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the wait for the first batch of an epoch."""
        self.clock.resume()

    def _row(self, trainer: Trainer, task: SegmentationTask) -> dict[str, Any]:
        total = trainer.strategy.reduce(task.means.total(task.device), reduce_op="sum")
        assert isinstance(total, torch.Tensor)
        means = task.means.read(total) if task.means.names else {}
        row = {
            "epoch": epochs_done(trainer),
            "step": trainer.global_step,
            **task.scores,
            **{f"train/{name}": value for name, value in means.items()},
            "train/lr": self.lr,
            "train/images_per_second": self.clock.images_per_second * trainer.world_size,
            "train/data_wait": self.clock.data_wait,
            **self.constants,
        }
        if twice := sorted(row.keys() & self.logged.keys()):
            raise UserError(f"a callback logs {twice[0]}, which is a column of every row")
        row |= self.logged
        self.logged.clear()
        return row


def base_lr(optimizer: torch.optim.Optimizer) -> float:
    """Learning rate of the parameters without a factor of their own."""
    wanted = optimizer.defaults.get("lr")
    groups = optimizer.param_groups
    plain = [g for g in groups if g.get("initial_lr", g["lr"]) == wanted]
    return float((plain or groups)[0]["lr"])


def epochs_done(trainer: Trainer) -> int | float:
    """Epochs after the batch that has just been trained, with a fraction inside an epoch."""
    done = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    epochs = trainer.current_epoch + done / trainer.num_training_batches
    return round(epochs) if math.isclose(epochs, round(epochs)) else round(epochs, 4)
