"""The progress of a training on the screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

import torch
from lightning import Callback, LightningModule, Trainer
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from segscape.config.training import SCORE
from segscape.engine.callbacks.record import base_lr
from segscape.engine.task import SegmentationTask, as_task

BAR_SECONDS = 0.4
LINE_SECONDS = 30.0


@dataclass(frozen=True)
class Status:
    """The state of a training at one moment.

    Attributes:
        epoch: the one that is running, counted from 1.
        epochs: of the budget, None for a budget in steps.
        step: optimiser steps done.
        total: of the budget.
        losses: means since the last reading, `loss` and `loss/<term>`.
        images_per_second: since the last reading, 0 if unknown.
        miou: of the last validation.
        lr: of the last step.
        seconds_left: of the whole budget, validations included; None if unknown.
    """

    epoch: int
    epochs: int | None
    step: int
    total: int
    losses: Mapping[str, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    miou: float | None = None
    lr: float = 0.0
    seconds_left: float | None = None

    @property
    def where(self) -> str:
        """Epoch and step."""
        epochs = "" if self.epochs is None else f"/{self.epochs}"
        return f"epoch {self.epoch}{epochs}"

    def figures(self) -> str:
        """Losses, rates and the time left, in one line."""
        parts = []
        if self.losses:
            terms = " ".join(
                f"{name.removeprefix('loss/')} {value:.3g}"
                for name, value in self.losses.items()
                if name != "loss"
            )
            parts.append(f"loss {self.losses['loss']:.3f}" + (f" ({terms})" if terms else ""))
        if self.images_per_second:
            parts.append(f"img/s {self.images_per_second:.1f}")
        if self.miou is not None:
            parts.append(f"mIoU {self.miou:.3f}")
        parts.append(f"lr {self.lr:.2g}")
        if self.seconds_left is not None:
            parts.append(f"ETA {clock_time(self.seconds_left)}")
        return "  ".join(parts)


class Display(Protocol):
    """A display of a training.

    Attributes:
        seconds: between two readings of the training's state.
    """

    seconds: float

    def start(self, total: int) -> None:
        """Begin a training of so many steps."""

    def train(self, status: Status) -> None:
        """Show the state of the training."""

    def leave_training(self, status: Status) -> None:
        """Show the state before a validation."""

    def validate(self, done: int, total: int) -> None:
        """Show how far a validation is."""

    def validated(self, text: str) -> None:
        """Show the result of a validation."""

    def stop(self) -> None:
        """End; may be called twice."""


class Lines:
    """For files and pipes: a line per validation, and one now and then."""

    seconds = LINE_SECONDS

    def __init__(self, console: Console) -> None:
        self.console = console

    def start(self, total: int) -> None:
        """Nothing to prepare."""

    def train(self, status: Status) -> None:
        """A line about the training."""
        self._print(f"{status.where} step {status.step}/{status.total}  {status.figures()}")

    def leave_training(self, status: Status) -> None:
        """Nothing: the line of the validation has it."""

    def validate(self, done: int, total: int) -> None:
        """Nothing: the line is printed at the end."""

    def validated(self, text: str) -> None:
        """A line about a validation."""
        self._print(text)

    def stop(self) -> None:
        """Nothing to remove."""

    def _print(self, text: str) -> None:
        # Never wrapped: one event, one line.
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)


class Bar:
    """For terminals: a live bar over the whole budget, a permanent line per validation."""

    seconds = BAR_SECONDS

    def __init__(self, console: Console) -> None:
        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            expand=True,
        )
        # Drawn when there is something new, by this thread: a refresher would take turns with
        # the training on a small machine.
        self.live = Live(console=console, auto_refresh=False, transient=True)
        self._task = self.bar.add_task("starting", start=False)
        self._figures = ""

    def start(self, total: int) -> None:
        """Show the empty bar."""
        self.bar.update(self._task, total=total)
        self.bar.start_task(self._task)
        self.live.start()
        self._draw("starting")

    def train(self, status: Status) -> None:
        """Move the bar."""
        self._figures = status.figures()
        self.bar.update(self._task, completed=status.step)
        self._draw(status.where)

    def leave_training(self, status: Status) -> None:
        """Move the bar."""
        self.train(status)

    def validate(self, done: int, total: int) -> None:
        """Show how far the validation is."""
        self._draw(f"validating {done}/{total}")

    def validated(self, text: str) -> None:
        """Print a line above the bar."""
        self.live.console.print(text, highlight=False, markup=False)

    def stop(self) -> None:
        """Remove the bar."""
        self.live.stop()

    def _draw(self, description: str) -> None:
        self.bar.update(self._task, description=description)
        figures = Text(self._figures, no_wrap=True, overflow="ellipsis")
        self.live.update(Group(self.bar, figures), refresh=True)


class Progress(Callback):
    """Reads the training's state a few times a second, never at every step.

    Reading the loss makes a GPU finish its queue, so it is read when it is shown.

    Args:
        console: where to show; a bar if it is a terminal, lines otherwise.
    """

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console()
        self.display: Display = Bar(console) if console.is_terminal else Lines(console)
        self._images = 0
        self._seen: torch.Tensor | None = None
        self._looked = self._val_started = self._val_looked = 0.0
        self._first_step = self._validations = 0
        self._train_seconds = self._val_seconds = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Only one process prints."""
        if not trainer.is_global_zero:
            self.display = Lines(Console(quiet=True))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to show."""
        self._looked = monotonic()
        self._first_step = trainer.global_step
        self.display.start(as_task(pl_module).total_steps())

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Show the training when it is time."""
        self._images += len(batch["image"])
        if monotonic() - self._looked >= self.display.seconds:
            self.display.train(self._look(trainer, as_task(pl_module)))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the training."""
        self.display.leave_training(self._look(trainer, as_task(pl_module)))
        self._val_started = self._val_looked = monotonic()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show the validation when it is time."""
        if monotonic() - self._val_looked >= self.display.seconds:
            self._val_looked = monotonic()
            self.display.validate(batch_idx + 1, int(sum(trainer.num_val_batches)))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the row."""
        task = as_task(pl_module)
        row = task.notes["row"]
        best = task.notes["best"]
        # Checkpoint, the last callback, has not compared this row with the best yet.
        is_best = best is None or not row[SCORE] <= best[SCORE]
        self._validations += 1
        self._val_seconds += monotonic() - self._val_started
        self._looked, self._images, self._seen = monotonic(), 0, None
        text = (
            f"epoch {row['epoch']} step {row['step']}/{task.total_steps()}"
            f"  mIoU {row[SCORE]:.4f}{' (best)' if is_best else ''}"
            f"  acc {row['val/pixel_accuracy']:.4f}  loss val {row['val/loss']:.3f}"
        )
        if "train/loss" in row:
            text += f" train {row['train/loss']:.3f}"
        if row["train/images_per_second"]:
            text += f"  img/s {row['train/images_per_second']:.1f}"
        left = self._seconds_left(trainer, task)
        if left:
            text += f"  ETA {clock_time(left)}"
        self.display.validated(text)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the show."""
        self.display.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Restore the terminal."""
        self.display.stop()

    def _look(self, trainer: Trainer, task: SegmentationTask) -> Status:
        now = monotonic()
        seconds, images = now - self._looked, self._images
        self._train_seconds += seconds
        self._looked, self._images = now, 0
        row = task.notes["row"]
        return Status(
            epoch=trainer.current_epoch + 1,
            epochs=None if task.budget is None else task.budget.epochs,
            step=trainer.global_step,
            total=task.total_steps(),
            losses=self._recent_losses(task),
            images_per_second=images * trainer.world_size / seconds if seconds else 0.0,
            miou=None if row is None else row[SCORE],
            lr=base_lr(trainer.optimizers[0]),
            seconds_left=self._seconds_left(trainer, task),
        )

    def _recent_losses(self, task: SegmentationTask) -> dict[str, float]:
        """Means since the last reading: differences of the sums that the record keeps anyway."""
        total = task.means.total(task.device).cpu()
        before, self._seen = self._seen, total
        if before is None or len(before) != len(total) or before[-1] >= total[-1]:
            before = torch.zeros_like(total)
        recent = total - before
        return task.means.read(recent) if recent[-1] else {}

    def _seconds_left(self, trainer: Trainer, task: SegmentationTask) -> float | None:
        """Steps at the mean pace so far, and as many validations as they will bring."""
        done = trainer.global_step - self._first_step
        if done < 1 or not self._train_seconds:
            return None
        left = task.total_steps() - trainer.global_step
        seconds = left * self._train_seconds / done
        every = steps_per_validation(trainer)
        if self._validations and every:
            seconds += left / every * self._val_seconds / self._validations
        return seconds


def steps_per_validation(trainer: Trainer) -> float | None:
    """Optimiser steps between two validations, None if there are none."""
    batches = trainer.val_check_batch
    if batches is None or batches == float("inf") or not trainer.enable_validation:
        return None
    epochs = trainer.check_val_every_n_epoch or 1
    return max(batches * epochs / trainer.accumulate_grad_batches, 1)


def clock_time(seconds: float) -> str:
    """`2:31`, `1:02:03`."""
    whole = round(seconds)
    minutes, hours = whole // 60 % 60, whole // 3600
    tail = f"{whole % 60:02d}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"
