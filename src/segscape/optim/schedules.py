"""Learning rate per optimiser step, in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segscape.errors import UserError, choice

WARMUPS = ("linear", "exponential")
_POSITION = ("last_epoch", "_step_count", "_last_lr")

Warmup = Literal["linear", "exponential"]
Rate = Callable[[int, float, float], float]
"""From (step of the training, base rate of a group, its `lr_factor`) to the rate of the group."""


class StepSchedule(LRScheduler):
    """A learning rate that is a function of the number of optimiser steps done.

    Step t (from 0) is taken with `lr(t)`. During the warm-up, `t < warmup_steps`, the rate rises
    by equal amounts, `start + (base - start) * t / warmup_steps` (linear), or by equal factors,
    `start * (base / start) ** (t / warmup_steps)` (exponential). After it, `rate` decides. A budget
    that is shorter than the warm-up is all warm-up.

    `base` is each parameter group's own rate. The absolute rates `start` and `end` are meant for
    groups at the optimiser's rate and are scaled by the `lr_factor` of the others.

    The state is the position only, in plain numbers: what the settings are is up to the
    configuration, so that a resumed run can be given a longer budget.

    Args:
        optimizer: its groups may carry `lr_factor` (1 when absent).
        total_steps: optimiser steps of the whole training.
        rate: the learning rate after the warm-up.
        warmup_steps: steps of the warm-up; below 1 a fraction of `total_steps`.
        warmup_start: learning rate of step 0 of a warm-up, absolute.
        warmup_ratio: the same as a share of the base rate; when given, it replaces `warmup_start`.
        warmup: `linear` or `exponential`.

    Raises:
        UserError: no step at all, a negative setting, or an exponential warm-up from 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        rate: Rate,
        warmup_steps: float = 0,
        warmup_start: float = 1e-5,
        warmup_ratio: float | None = None,
        warmup: Warmup = "linear",
    ) -> None:
        if total_steps < 1:
            raise UserError(
                f"the schedule has no step to plan: total_steps={total_steps}",
                "set trainer.max_epochs or trainer.max_steps",
            )
        _not_negative(
            warmup_steps=warmup_steps, warmup_start=warmup_start, warmup_ratio=warmup_ratio or 0
        )
        choice("schedule.warmup", warmup, WARMUPS)
        start = warmup_start if warmup_ratio is None else warmup_ratio
        if warmup == "exponential" and warmup_steps > 0 and start == 0:
            raise UserError(
                "an exponential warm-up cannot start at a rate of 0",
                "give schedule.warmup_start or schedule.warmup_ratio, or schedule.warmup=linear",
            )
        self.total_steps = int(total_steps)
        self.warmup_steps = _steps(warmup_steps, total_steps)
        self.rate = rate
        self.warmup_start = float(warmup_start)
        self.warmup_ratio = None if warmup_ratio is None else float(warmup_ratio)
        self.warmup = warmup
        self.lr_factors = [float(group.get("lr_factor", 1.0)) for group in optimizer.param_groups]
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of every group at the present step."""
        step = self.last_epoch
        return [
            self._warm(step, float(base), factor)
            if step < self.warmup_steps
            else self.rate(step, float(base), factor)
            for base, factor in zip(self.base_lrs, self.lr_factors, strict=True)
        ]

    def _warm(self, step: int, base: float, factor: float) -> float:
        done = step / self.warmup_steps
        ratio = self.warmup_ratio
        start = self.warmup_start * factor if ratio is None else ratio * base
        if self.warmup == "exponential":
            return float(start * (base / start) ** done)
        return start + (base - start) * done

    def state_dict(self) -> dict[str, Any]:
        """Return the position, as plain numbers."""
        return {key: self.__dict__[key] for key in _POSITION}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Move to a saved position."""
        self.__dict__.update({key: state_dict[key] for key in _POSITION})


def _not_negative(**settings: float) -> None:
    for name, value in settings.items():
        if not value >= 0:
            raise UserError(f"schedule.{name}={value} is negative")


def _steps(given: float, total_steps: int) -> int:
    """A number of steps; below 1 a fraction of all."""
    return round(given * total_steps) if given < 1 else int(given)


def poly(
    optimizer: Optimizer,
    total_steps: int,
    power: float = 0.9,
    end_lr: float = 0.0,
    warmup_steps: float = 0,
    warmup_start: float = 1e-5,
    warmup_ratio: float | None = None,
    warmup: Warmup = "linear",
    stairs: int | None = None,
) -> LRScheduler:
    """Polynomial decay per step after a warm-up, as PaddleSeg schedules it.

    With w warm-up steps of T in all, step t is taken with

    - `start + (base - start) * t / w` for t < w (linear warm-up),
    - `start * (base / start) ** (t / w)` for t < w (exponential: STDC-Seg and CoinCheung/BiSeNet),
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
        warmup_ratio: the same as a share of the base rate; when given, it replaces `warmup_start`.
        warmup: `linear` or `exponential`.
        stairs: the decay goes down so many equal stairs, each at the rate of its first step: the
            number of epochs for a schedule per epoch (SFSegNets). None for a rate of its own at
            every step.

    Returns:
        A scheduler to be stepped after every optimiser step.

    Raises:
        UserError: no step at all, or a setting out of range.
    """
    _not_negative(power=power, end_lr=end_lr)
    if stairs is not None and stairs < 1:
        raise UserError(f"schedule.stairs={stairs} must be at least 1")
    begin = _steps(warmup_steps, total_steps)
    decay_steps = max(1, total_steps - begin)

    def rate(step: int, base: float, factor: float) -> float:
        if stairs is None:
            done = (step - begin) / decay_steps
        else:
            done = (step - begin) * stairs // decay_steps / stairs
        end = end_lr * factor
        return end + (base - end) * max(0.0, 1.0 - done) ** power

    return StepSchedule(
        optimizer, total_steps, rate, warmup_steps, warmup_start, warmup_ratio, warmup
    )


def constant(
    optimizer: Optimizer,
    total_steps: int,
    warmup_steps: float = 0,
    warmup_start: float = 1e-5,
    warmup_ratio: float | None = None,
    warmup: Warmup = "linear",
) -> LRScheduler:
    """The base rate throughout, after a warm-up if one is asked for.

    Args:
        optimizer: its groups' rates are the base rates.
        total_steps: optimiser steps of the whole training; what a fractional warm-up refers to.
        warmup_steps: steps of the warm-up; below 1 a fraction of `total_steps`.
        warmup_start: rate of step 0 when there is a warm-up, absolute.
        warmup_ratio: the same as a share of the base rate; when given, it replaces `warmup_start`.
        warmup: `linear` or `exponential`.

    Returns:
        A scheduler to be stepped after every optimiser step.

    Raises:
        UserError: no step at all, or a setting out of range.
    """
    return StepSchedule(
        optimizer,
        total_steps,
        lambda step, base, factor: base,
        warmup_steps,
        warmup_start,
        warmup_ratio,
        warmup,
    )


def step(
    optimizer: Optimizer,
    total_steps: int,
    milestones: Sequence[float],
    gamma: float = 0.1,
    warmup_steps: float = 0,
    warmup_start: float = 1e-5,
    warmup_ratio: float | None = None,
    warmup: Warmup = "linear",
) -> LRScheduler:
    """The base rate, times `gamma` from every milestone on, after a warm-up if one is asked for.

    Args:
        optimizer: its groups' rates are the base rates.
        total_steps: optimiser steps of the whole training; what fractions refer to.
        milestones: steps from the beginning of the training, warm-up included; below 1 fractions
            of `total_steps`.
        gamma: factor on the rate.
        warmup_steps: steps of the warm-up; below 1 a fraction of `total_steps`.
        warmup_start: rate of step 0 when there is a warm-up, absolute.
        warmup_ratio: the same as a share of the base rate; when given, it replaces `warmup_start`.
        warmup: `linear` or `exponential`.

    Returns:
        A scheduler to be stepped after every optimiser step.

    Raises:
        UserError: no step at all, or a setting out of range.
    """
    _not_negative(gamma=gamma, milestones=min(milestones, default=0))
    at = [_steps(milestone, total_steps) for milestone in milestones]

    def rate(step: int, base: float, factor: float) -> float:
        return float(base * gamma ** sum(step >= milestone for milestone in at))

    return StepSchedule(
        optimizer, total_steps, rate, warmup_steps, warmup_start, warmup_ratio, warmup
    )


def hybrid(
    optimizer: Optimizer,
    total_steps: int,
    epochs: int = 100,
    cyclic_epochs: int = 61,
    cycle: int = 5,
) -> LRScheduler:
    """Cycles of falling rates and a linear decay: EdgeNets' schedule for ESPNetV2.

    The budget is divided into `epochs` equal parts, and the rate changes between them:

    - part 0 has the base rate, the lowest of the cycles;
    - the parts up to `cyclic_epochs` have `cycle`, `cycle` - 1, ..., 1 times the base rate, again
      and again;
    - the rest falls linearly from there: part e has
      `base * (1 - (e - cyclic_epochs + 1) / (epochs - cyclic_epochs + 1))`.

    EdgeNets rounds its rates to five or six decimals, which changes none of its published ones by
    more than 1e-6.

    Args:
        optimizer: its groups' rates are the base rates.
        total_steps: optimiser steps of the whole training.
        epochs: parts of the budget; the number of epochs for EdgeNets' own course.
        cyclic_epochs: parts until the linear decay begins.
        cycle: length of a cycle in parts, and the factor that it begins with.

    Returns:
        A scheduler to be stepped after every optimiser step.

    Raises:
        UserError: no step at all, or a setting out of range.
    """
    if not (cycle >= 1 and 1 <= cyclic_epochs <= epochs):
        raise UserError(
            f"schedule: cycles of {cycle} during {cyclic_epochs} of {epochs} epochs",
            "needed: schedule.cycle >= 1 and 1 <= schedule.cyclic_epochs <= schedule.epochs",
        )
    linear = epochs - cyclic_epochs + 1

    def rate(step: int, base: float, factor: float) -> float:
        epoch = step * epochs // total_steps
        if epoch == 0:
            return base
        if epoch < cyclic_epochs:
            return base * (cycle - (epoch - 1) % cycle)
        return base * max(0.0, 1 - (epoch - cyclic_epochs + 1) / linear)

    return StepSchedule(optimizer, total_steps, rate)
