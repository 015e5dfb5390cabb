"""Decisions about a training that several rooms need: budget, score, trainer keys, callbacks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segscape.config.command_line import keys_of
from segscape.errors import UserError

# best.ckpt is the checkpoint with the highest value; sweeps and reports rank by it.
SCORE = "val/miou"
# Median time from image to logits, the usual second objective.
LATENCY = "latency/p50_ms"

PRECISIONS = (
    *("auto", "32-true", "16-mixed", "bf16-mixed"),
    *("bf16-true", "16-true", "64-true", "32"),
)

# Lightning's own logging and checkpoints would write a second record beside that of segscape.
FIXED_TRAINER: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}
# Arguments of lightning.Trainer that are not set under `trainer`: fixed, or set elsewhere.
RESERVED_TRAINER = (*FIXED_TRAINER, "callbacks", "default_root_dir")


@dataclass(frozen=True)
class CallbackSettings:
    """What the callbacks of every training are set to, under the key `callbacks`.

    Attributes:
        save_every_steps: optimiser steps between two writes of `last.ckpt`, None for no such rule;
            it is written after every validation in any case.
        save_every_minutes: the same in time.
        gallery_images: number of validation images that are drawn, 0 for none.
        gallery_every: draw them after every so many validations.
        progress: show a bar on a terminal, lines elsewhere.
    """

    save_every_steps: int | None = None
    save_every_minutes: float | None = 5.0
    gallery_images: int = 8
    gallery_every: int = 1
    progress: bool = True


@dataclass(frozen=True)
class ProfileSettings:
    """What is measured of the network, under the key `profile`.

    Attributes:
        enabled: measure anything at all.
        size: height and width in pixels, None for the size of the validation images.
        latency: time it, besides counting parameters and operations.
        min_seconds: at least this long a series of timed calls.
        max_seconds: no timed call starts later than this.
    """

    enabled: bool = True
    size: tuple[int, int] | None = None
    latency: bool = True
    min_seconds: float | None = None
    max_seconds: float | None = None


@dataclass(frozen=True)
class Budget:
    """How long to train: one of the two is given.

    Attributes:
        epochs: or None.
        steps: optimiser steps, or None.
    """

    epochs: int | None
    steps: int | None

    @classmethod
    def of(cls, trainer: Mapping[str, Any]) -> Budget:
        """The budget in the arguments of a trainer; `max_steps` replaces `max_epochs`.

        Raises:
            UserError: there is none, or it is no positive whole number.
        """
        epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
        for name, value in (("max_epochs", epochs), ("max_steps", steps)):
            check_positive(f"trainer.{name}", value)
        if epochs is None and steps is None:
            raise UserError(
                "the training has no end", "give trainer.max_epochs=N or trainer.max_steps=N"
            )
        return cls(None, steps) if steps is not None else cls(epochs, None)

    def total_steps(self, batches_per_epoch: int, accumulate: int) -> int:
        """Optimiser steps of the whole training; the last batch of an epoch always steps."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return math.ceil(batches_per_epoch / accumulate) * self.epochs

    def spent(self, epoch: int, step: int) -> bool:
        """Whether a training that has done so many epochs and optimiser steps is at its end."""
        if self.steps is not None:
            return step >= self.steps
        assert self.epochs is not None
        return epoch >= self.epochs


def with_one_budget(config: Mapping[str, Any], typed: Sequence[str]) -> dict[str, Any]:
    """Let a budget in epochs that was typed replace one in steps that an experiment chose.

    Args:
        config: with the key `trainer`; it is not changed.
        typed: the overrides as typed.

    Raises:
        UserError: both budgets were typed.
    """
    keys = keys_of(typed)
    if {"trainer.max_epochs", "trainer.max_steps"} <= keys:
        raise UserError(
            "trainer.max_epochs and trainer.max_steps are two budgets", "give one of them"
        )
    if "trainer.max_epochs" in keys and "trainer" in config:
        return {**config, "trainer": {**config["trainer"], "max_steps": None}}
    return dict(config)


def check_positive(key: str, value: object) -> None:
    """Check that a value is None or a whole number above 0.

    Raises:
        UserError: it is not.
    """
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{key}={value!r} has the wrong type", "expected int")
    if value < 1:
        raise UserError(f"{key}={value} must be at least 1")
