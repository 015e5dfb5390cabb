"""Learning rate per optimiser step, in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segscape.errors import UserError

_POSITION = ("last_epoch", "_step_count", "_last_lr")


class StepSchedule(LRScheduler, ABC):
    """A learning rate that is a function of the number of optimiser steps done.

    Step t (from 0) is taken with `lr(t)`. During the warm-up, `t < warmup_steps`, the rate rises
    linearly: `start + (base - start) * t / warmup_steps`. After it, subclasses decide; they see
    `t - warmup_steps`. A budget that is shorter than the warm-up is all warm-up.

    `base` is each parameter group's own rate. The absolute rates `start` and `end` are meant for
    groups at the optimiser's rate and are scaled by the `lr_factor` of the others.

    The state is the position only, in plain numbers: what the settings are is up to the
    configuration, so that a resumed run can be given a longer budget.

    Args:
        optimizer: its groups may carry `lr_factor` (1 when absent).
        total_steps: optimiser steps of the whole training.
        warmup_steps: steps of the warm-up; below 1 a fraction of `total_steps`.
        warmup_start: learning rate of step 0 of a warm-up, absolute.

    Raises:
        UserError: no step at all, or a negative setting.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_steps: float = 0,
        warmup_start: float = 1e-5,
    ) -> None:
        if total_steps < 1:
            raise UserError(
                f"the schedule has no step to plan: total_steps={total_steps}",
                "set trainer.max_epochs or trainer.max_steps",
            )
        for name, value in (("warmup_steps", warmup_steps), ("warmup_start", warmup_start)):
            if not value >= 0:
                raise UserError(f"schedule.{name}={value} is negative")
        self.total_steps = int(total_steps)
        fraction = warmup_steps < 1
        self.warmup_steps = round(warmup_steps * total_steps) if fraction else int(warmup_steps)
        self.warmup_start = float(warmup_start)
        self.lr_factors = [float(group.get("lr_factor", 1.0)) for group in optimizer.param_groups]
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of every group at the present step."""
        step = self.last_epoch
        return [
            self._warm(step, float(base), factor)
            if step < self.warmup_steps
            else self._after_warmup(step - self.warmup_steps, float(base), factor)
            for base, factor in zip(self.base_lrs, self.lr_factors, strict=True)
        ]

    def _warm(self, step: int, base: float, factor: float) -> float:
        start = self.warmup_start * factor
        return start + (base - start) * step / self.warmup_steps

    @abstractmethod
    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        """Return the rate `step` steps after the warm-up for a group with rate `base`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as plain numbers."""
        return {key: self.__dict__[key] for key in _POSITION}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Move to a saved position."""
        self.__dict__.update({key: state_dict[key] for key in _POSITION})


class Poly(StepSchedule):
    """Polynomial decay from the base rate to `end_lr` (see `poly`)."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        power: float = 0.9,
        end_lr: float = 0.0,
        warmup_steps: float = 0,
        warmup_start: float = 1e-5,
    ) -> None:
        for name, value in (("power", power), ("end_lr", end_lr)):
            if not value >= 0:
                raise UserError(f"schedule.{name}={value} is negative")
        self.power = float(power)
        self.end_lr = float(end_lr)
        super().__init__(optimizer, total_steps, warmup_steps, warmup_start)

    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        decay_steps = max(1, self.total_steps - self.warmup_steps)
        left = max(0.0, 1.0 - step / decay_steps)
        end = self.end_lr * factor
        return end + (base - end) * left**self.power


class Constant(StepSchedule):
    """The base rate throughout (see `constant`)."""

    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        return base


def poly(
    optimizer: Optimizer,
    total_steps: int,
    power: float = 0.9,
    end_lr: float = 0.0,
    warmup_steps: float = 0,
    warmup_start: float = 1e-5,
) -> LRScheduler:
    """Polynomial decay per step after a linear warm-up, as PaddleSeg schedules it.

    With w warm-up steps of T in all, step t is taken with

    - `start + (base - start) * t / w` for t < w,
    - `end + (base - end) * (1 - (t - w) / (T - w)) ** power` for t >= w:

    the decay begins at the full rate when the warm-up ends and is spread over the steps that are
    left; `end` would be the rate of step T, the first one not taken, and stays from there on.

    Args:
        optimizer: its groups' rates are the base rates.
        total_steps: optimiser steps of the whole training, T.
        power: exponent of the decay; 1 is linear.
        end_lr: rate at the end, absolute.
        warmup_steps: w; below 1 a fraction of `total_steps`.
        warmup_start: rate of step 0 when there is a warm-up, absolute.

    Returns:
        A scheduler to be stepped after every optimiser step.

    Raises:
        UserError: no step at all, or a negative setting.
    """
    return Poly(optimizer, total_steps, power, end_lr, warmup_steps, warmup_start)


def constant(
    optimizer: Optimizer,
    total_steps: int,
    warmup_steps: float = 0,
    warmup_start: float = 1e-5,
) -> LRScheduler:
    """The base rate throughout, after a linear warm-up if one is asked for.

    Args:
        optimizer: its groups' rates are the base rates.
        total_steps: optimiser steps of the whole training; what a fractional warm-up refers to.
        warmup_steps: steps of the warm-up; below 1 a fraction of `total_steps`.
        warmup_start: rate of step 0 when there is a warm-up, absolute.

    Returns:
        A scheduler to be stepped after every optimiser step.

    Raises:
        UserError: no step at all, or a negative setting.
    """
    return Constant(optimizer, total_steps, warmup_steps, warmup_start)
