"""What holds for every training step: its random numbers, and the end of the budget."""

from __future__ import annotations

from typing import Any

from lightning import Callback, LightningModule, Trainer

from segscape.engine.loop_state import check_accumulation
from segscape.engine.randomness import seed_step
from segscape.engine.task import as_task


class Steps(Callback):
    """Seeds every step, and stops after the last one of the budget.

    Lightning itself ends a budget of steps without a validation when it falls inside an epoch,
    and one of epochs when the last is not due by `check_val_every_n_epoch`. Here the last step
    always leads to exactly one validation: a stop that is requested before the batch ends makes
    Lightning validate.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.total = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute the length of the training."""
        check_accumulation(trainer)
        self.total = as_task(pl_module).total_steps()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed the step."""
        epoch, rank = trainer.current_epoch, trainer.global_rank
        seed_step(self.seed, epoch, batch_idx, rank, pl_module.device)

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """End the budget."""
        if trainer.global_step >= self.total:
            trainer.should_stop = True
            if trainer.check_val_every_n_epoch is not None:
                trainer.check_val_every_n_epoch = 1
