"""The network, its losses, its optimiser and its metrics as one LightningModule."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segscape.config.training import Budget
from segscape.engine.means import RunningMeans
from segscape.errors import UserError
from segscape.losses.heads import HeadLosses
from segscape.metrics.metric_set import IGNORE_INDEX, MetricSet
from segscape.models.segmenter import Segmenter

Batch = Mapping[str, Tensor]
PREFIX = "model."


class SegmentationTask(lightning.LightningModule):
    """Trains and scores a segmenter.

    Losses are not logged step by step: they add up on the device in `means` and are read when a
    validation writes its row. Besides `model`, a checkpoint holds nothing that this class owns.

    Args:
        model: the network.
        losses: the criterion over its heads.
        optimizer: makes the optimiser of a module.
        schedule: makes the schedule of an optimiser for a number of optimiser steps.
        metrics: score the validation.
        meta: plain data that every checkpoint carries under the key `segscape`.
        channels_last: keep weights and images in the memory format in which convolutions are fast.

    Raises:
        UserError: heads and loss weights do not match.
    """

    def __init__(
        self,
        model: Segmenter,
        losses: HeadLosses,
        optimizer: Callable[[nn.Module], Optimizer],
        schedule: Callable[[Optimizer, int], LRScheduler],
        metrics: MetricSet,
        meta: Mapping[str, Any] | None = None,
        *,
        channels_last: bool = True,
    ) -> None:
        super().__init__()
        losses.check(["main", *model.auxiliary])
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = model.to(memory_format=self.memory_format)
        self.losses = losses
        self.make_optimizer = optimizer
        self.make_schedule = schedule
        self.meta = dict(meta or {})
        self.notes: dict[str, Any] = {}
        self.budget: Budget | None = None
        self.means = RunningMeans()
        self.scores: dict[str, float] = {}
        self.metrics = metrics
        self._val_loss = torch.zeros(2, dtype=torch.float64)

    # -- optimisation ------------------------------------------------------------------------------

    def configure_optimizers(self) -> Any:
        """The optimiser, and its schedule stepped after every optimiser step."""
        optimizer = self.make_optimizer(self.model)
        schedule = self.make_schedule(optimizer, self.total_steps())
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def total_steps(self) -> int:
        """Optimiser steps of the whole training: the length of the schedule."""
        if self.budget is None:  # under a plain lightning.Trainer
            total = self.trainer.estimated_stepping_batches
            if math.isinf(total):
                raise UserError(
                    "the training has no end, so the schedule has no length",
                    "give trainer.max_epochs or trainer.max_steps",
                )
            return int(total)
        try:
            self.trainer.fit_loop.setup_data()
        except UserError:
            raise
        except ValueError as error:  # Lightning: a validation interval longer than the epoch
            raise UserError(f"trainer: {' '.join(str(error).split())}") from error
        per_epoch = int(self.trainer.num_training_batches)
        return self.budget.total_steps(per_epoch, self.trainer.accumulate_grad_batches)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of a batch.

        Args:
            batch: `image` uint8 (B, 3, H, W), `label` uint8 (B, H, W).
            batch_idx: within the epoch.
        """
        outputs = self.model(self._prepare(batch["image"]))
        loss, terms = self.losses(outputs, batch["label"].long())
        self.means.add({"loss": loss, **{f"loss/{name}": term for name, term in terms.items()}})
        return loss

    def _prepare(self, images: Tensor) -> Tensor:
        # Workers may give another memory format; converting bytes is cheaper than floats.
        return self.model.normalize(images.contiguous(memory_format=self.memory_format))

    # -- validation --------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Reset after the last validation, also one that was broken off."""
        self.metrics.reset()
        self._val_loss = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Score a batch.

        Args:
            batch: `image`, `label` as in training, `valid` bool (B,): False for a sample that only
                fills up the last batch of a process.
            batch_idx: within the split.

        Returns:
            The predicted classes (B, H, W).
        """
        logits = self.model(self._prepare(batch["image"]))
        label, valid = batch["label"].long(), batch["valid"]
        prediction = logits.argmax(1)
        self.metrics.add(prediction, label, valid)
        label = label.masked_fill(~valid[:, None, None], IGNORE_INDEX)
        total = F.cross_entropy(
            logits.float(), label, ignore_index=IGNORE_INDEX, reduction="sum"
        ).double()
        self._val_loss += torch.stack([total, (label != IGNORE_INDEX).sum().double()])
        return prediction

    def on_validation_epoch_end(self) -> None:
        """Gather the scores of all processes in `scores`, keys as in metrics.csv."""
        total, pixels = self.trainer.strategy.reduce(self._val_loss, reduce_op="sum").tolist()
        self.scores = self.metrics.scores("val")
        self.scores["val/loss"] = total / pixels if pixels else math.nan

    # -- checkpoints -------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the network only, and add the configuration and the position in the training."""
        # The position is in `notes`; from its own counters Lightning would infer another.
        checkpoint.pop("loops", None)
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if k.startswith(PREFIX)}
        checkpoint["segscape"] = {**self.meta, **self.notes}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse the weights of another network.

        Raises:
            UserError: a tensor is missing, left over or of another shape.
        """
        own = {k: v for k, v in self.state_dict().items() if k.startswith(PREFIX)}
        given = checkpoint["state_dict"]
        wrong = sorted(own.keys() ^ given.keys())
        wrong += sorted(k for k in own.keys() & given.keys() if own[k].shape != given[k].shape)
        if wrong:
            raise UserError(
                f"the checkpoint is of another network: {len(wrong)} tensors differ, "
                f"the first is {wrong[0].removeprefix(PREFIX)}",
                "resume with the parts and the classes of the first start, or in a new run_dir",
            )
        # What the losses own (class weights) is configuration, not training state.
        rest = {k: v for k, v in self.state_dict().items() if not k.startswith(PREFIX)}
        checkpoint["state_dict"] = {**rest, **given}


def as_task(module: lightning.LightningModule) -> SegmentationTask:
    """What Lightning hands to a callback, by its own type."""
    assert isinstance(module, SegmentationTask)
    return module
