"""The position of a training, and how to restore it.

Lightning restores its progress counters too, but infers from them whether a batch, an epoch or a
validation was finished when the checkpoint was written, and is wrong in the middle of an
epoch (pytorch-lightning#19549: a repeated or a skipped validation). Here the position is explicit
plain data, and `stand_at` puts Lightning's counters where an unbroken run has them. All code
that depends on Lightning's loops is in this file; tests/engine/test_exact_resume.py compares them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError

if TYPE_CHECKING:
    from lightning import Callback, LightningModule, Trainer


@dataclass(frozen=True)
class Position:
    """A point between two training batches.

    Args:
        epoch: epochs that are complete.
        batch: batches done in the epoch that is not.
        step: optimiser steps done.
        batches: batches done in all epochs.
        validated: False when the validation that is due here has yet to be run.
        batches_per_epoch: of this process.
        world_size: processes.
    """

    epoch: int
    batch: int
    step: int
    batches: int
    validated: bool
    batches_per_epoch: int
    world_size: int

    @property
    def next_batch(self) -> tuple[int, int]:
        """Epoch and index of the batch that comes next, after the validation if one is due."""
        if self.batch >= self.batches_per_epoch:
            return self.epoch + 1, 0
        return self.epoch, self.batch

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Position:
        """What `as_dict` gave."""
        return cls(**data)


def here(trainer: Trainer, *, validated: bool) -> Position:
    """The position after the batch that has just been trained.

    Args:
        trainer: in training or in the validation after a batch.
        validated: False when a validation is due here and has not been recorded.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    position = Position(
        epoch=trainer.current_epoch,
        batch=progress.current.ready,
        step=trainer.global_step,
        batches=progress.total.ready,
        validated=validated,
        batches_per_epoch=int(trainer.num_training_batches),
        world_size=trainer.world_size,
    )
    if not validated:
        return position
    epoch, batch = position.next_batch
    return replace(position, epoch=epoch, batch=batch)


def stand_at(trainer: Trainer, position: Position) -> None:
    """Put the counters of a fresh trainer at a position, before `trainer.fit`.

    A validation that is still due after the last batch of an epoch is run from the start of the
    next one: the same point, and the loader opens where the training will go on.

    The loop of the first epoch is marked as restarting, with all that it counts complete: it
    keeps its batch counter, neither opens the loader a second time nor repeats the validation of
    the last batch, and goes on with the next batch.
    """
    fit_loop = trainer.fit_loop
    epoch_loop = fit_loop.epoch_loop
    epoch, batch = position.next_batch
    for counts in (fit_loop.epoch_progress.total, fit_loop.epoch_progress.current):
        _fill(counts, epoch)
    _fill(epoch_loop.batch_progress.total, position.batches)
    _fill(epoch_loop.batch_progress.current, batch)
    _fill(epoch_loop.automatic_optimization.optim_progress.optimizer.step.total, position.step)
    epoch_loop._batches_that_stepped = position.step
    epoch_loop._restarting = position.batches > 0


def skip_epoch_start(callback: Callback) -> None:
    """Leave out the next `on_train_epoch_start` of a callback.

    For a run that continues inside an epoch, as Lightning does on its own restarts: with the
    counters of `stand_at` it would call that hook for the same epoch once more.
    """
    hook, hooks = callback.on_train_epoch_start, vars(callback)

    def skip(trainer: Trainer, pl_module: LightningModule) -> None:
        hooks["on_train_epoch_start"] = hook

    hooks["on_train_epoch_start"] = skip


def check_fits(trainer: Trainer, position: Position) -> None:
    """Compare a checkpoint's position with the data of this process.

    Raises:
        UserError: the epoch has another length now, so the position in it means nothing.
    """
    now = (int(trainer.num_training_batches), trainer.world_size)
    then = (position.batches_per_epoch, position.world_size)
    if now != then and position.batch > 0:
        raise UserError(
            f"the checkpoint stands in the middle of an epoch of {then[0]} batches in {then[1]} "
            f"process(es); now the epoch has {now[0]} batches in {now[1]}",
            "resume with the batch size, the data and the devices of the first start",
        )


def accumulating(trainer: Trainer) -> bool:
    """Whether gradients of the last batch still wait for an optimiser step."""
    return trainer.fit_loop._should_accumulate()


def validation_due(trainer: Trainer) -> bool:
    """Whether Lightning will validate right after the batch that has just been trained."""
    fit_loop = trainer.fit_loop
    assert fit_loop._data_fetcher is not None
    return fit_loop.epoch_loop._should_check_val_fx(fit_loop._data_fetcher)


def validate_now(trainer: Trainer) -> None:
    """Run the validation that a stopped run skipped, as the loop would have after its batch."""
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.run()
    trainer.training = True


def check_accumulation(trainer: Trainer) -> None:
    """Validation must not fall between two optimiser steps: no checkpoint could be made there.

    Raises:
        UserError: the interval is no multiple of the accumulation, or is measured in time.
    """
    seconds = getattr(trainer, "_val_check_time_interval", None)
    if seconds is not None:
        raise UserError(
            f"trainer.val_check_interval={seconds} seconds: a validation "
            "by the clock makes no reproducible run",
            "give a number of batches or a share of the epoch",
        )
    every, accumulate = trainer.val_check_batch, trainer.accumulate_grad_batches
    if accumulate == 1 or every is None or math.isinf(every):
        return
    per_epoch = int(trainer.num_training_batches)
    by_epoch = trainer.check_val_every_n_epoch is not None
    if (by_epoch and every == per_epoch) or (
        every % accumulate == 0 and (by_epoch or per_epoch % accumulate == 0)
    ):
        return
    raise UserError(
        f"trainer.val_check_interval: validation every {every} batches falls between the optimiser "
        f"steps, which come every {accumulate} batches (trainer.accumulate_grad_batches)",
        f"choose a multiple of {accumulate}, or leave val_check_interval at 1.0 (every epoch)",
    )


def _fill(counts: Any, value: int) -> None:
    for name in vars(counts):
        setattr(counts, name, value)
