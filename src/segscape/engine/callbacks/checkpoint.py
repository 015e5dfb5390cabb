"""best.ckpt and last.ckpt, and the stop between two optimiser steps."""

from __future__ import annotations

import math
from time import monotonic
from typing import Any

from lightning import Callback, LightningModule, Trainer

from segscape.config.training import SCORE
from segscape.engine.callbacks.clock import Clock
from segscape.engine.callbacks.signals import Signals, Stopped
from segscape.engine.loop_state import (
    Position,
    accumulating,
    check_fits,
    here,
    validate_now,
    validation_due,
)
from segscape.engine.task import as_task
from segscape.runs.run_directory import RunDirectory

# Ranks compare the time only so often: it costs a collective operation.
ASK_EVERY = 16


class Checkpoint(Callback):
    """Saves the best network and the latest complete state; the last callback of all.

    `best.ckpt` holds the network of the best `val/miou` (the earlier one of equals), without the
    optimiser: about a third of the size. `last.ckpt` holds everything and is written after every
    validation's row, at the end of an epoch without validation, and besides that every so many
    steps or minutes, always between two optimiser steps. Where a validation is due it waits for
    its row, so a killed run repeats a validation rather than losing one.

    Args:
        run: the directory.
        signals: the signals after which to save and stop.
        clock: does not count the time of saving.
        every_steps: optimiser steps between two writes of `last.ckpt`, None for no such rule.
        every_minutes: the same in time.
        position: where a resumed run starts.
    """

    def __init__(
        self,
        run: RunDirectory,
        signals: Signals,
        clock: Clock,
        *,
        every_steps: int | None = None,
        every_minutes: float | None = 5.0,
        position: Position | None = None,
    ) -> None:
        self.run = run
        self.signals = signals
        self.clock = clock
        self.every_steps = every_steps
        self.every_seconds = None if every_minutes is None else 60 * every_minutes
        self.start = position
        self.saved: Position | None = position
        self._saved_at = monotonic()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Set where the data begins, before its loader is opened."""
        if self.start is not None:
            data: Any = trainer.datamodule  # type: ignore[attr-defined]
            data.start_at(*self.start.next_batch)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals; run the validation that a stopped run skipped."""
        self.signals.own()
        self._saved_at = monotonic()
        if self.start is None:
            return
        check_fits(trainer, self.start)
        if not self.start.validated:
            validate_now(trainer)
            if trainer.global_step >= as_task(pl_module).total_steps():
                trainer.should_stop = True

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Save when it is due, or stop after a signal."""
        if accumulating(trainer):
            return
        due = validation_due(trainer)
        if self.signals.stop_wanted(trainer, batch_idx):
            self._stop(trainer, pl_module, validated=not due)
        elif not due and self._is_time(trainer, batch_idx):
            self.save_last(trainer, pl_module, here(trainer, validated=True))

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Break the validation off after a signal: it is repeated on resume."""
        if self.signals.stop_wanted(trainer, batch_idx):
            self._stop(trainer, pl_module, validated=False)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the best and the last; best first, as only the last one records that it is done."""
        task = as_task(pl_module)
        notes, position = task.notes, here(trainer, validated=True)
        # True: by a callback, since the budget is not spent.
        notes["ended"] = trainer.should_stop and trainer.global_step < task.total_steps()
        if notes["best"] is None or _score(notes["row"]) > _score(notes["best"]):
            notes["best"] = notes["row"]
            notes["position"] = position.as_dict()
            trainer.save_checkpoint(self.run.checkpoints / "best.ckpt", weights_only=True)
        self.save_last(trainer, pl_module, position)
        if self.signals.stop_wanted(trainer, 0) and not trainer.should_stop:
            raise Stopped

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save after an epoch without validation."""
        position = here(trainer, validated=True)
        if position != self.saved:
            self.save_last(trainer, pl_module, position)

    def save_last(self, trainer: Trainer, pl_module: LightningModule, position: Position) -> None:
        """Write `last.ckpt`."""
        as_task(pl_module).notes["position"] = position.as_dict()
        trainer.save_checkpoint(self.run.checkpoints / "last.ckpt")
        self.saved = position
        self._saved_at = monotonic()
        self.clock.resume()

    def _stop(self, trainer: Trainer, pl_module: LightningModule, *, validated: bool) -> None:
        self.save_last(trainer, pl_module, here(trainer, validated=validated))
        raise Stopped

    def _is_time(self, trainer: Trainer, batch_idx: int) -> bool:
        saved = 0 if self.saved is None else self.saved.step
        if self.every_steps is not None and trainer.global_step - saved >= self.every_steps:
            return True
        if self.every_seconds is None:
            return False
        late = monotonic() - self._saved_at >= self.every_seconds
        if trainer.world_size == 1:
            return late
        return batch_idx % ASK_EVERY == 0 and bool(trainer.strategy.broadcast(late))


def _score(row: dict[str, Any]) -> float:
    return -math.inf if math.isnan(row[SCORE]) else row[SCORE]
