"""Learning rate per optimiser step, in closed form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from segscape.errors import UserError, nearest

WARMUPS = ("linear", "exponential")
_POSITION = ("last_epoch", "_step_count", "_last_lr")

Warmup = Literal["linear", "exponential"]


class StepSchedule(LRScheduler, ABC):
    """A learning rate that is a function of the number of optimiser steps done.

    Step t (from 0) is taken with `lr(t)`. During the warm-up, `t < warmup_steps`, the rate rises
    by equal amounts, `start + (base - start) * t / warmup_steps` (linear), or by equal factors,
    `start * (base / start) ** (t / warmup_steps)` (exponential). After it, subclasses decide; they
    see `t - warmup_steps`. A budget that is shorter than the warm-up is all warm-up.

    `base` is each parameter group's own rate. The absolute rates `start` and `end` are meant for
    groups at the optimiser's rate and are scaled by the `lr_factor` of the others.

    The state is the position only, in plain numbers: what the settings are is up to the
    configuration, so that a resumed run can be given a longer budget.

    Args:
        optimizer: its groups may carry `lr_factor` (1 when absent).
        total_steps: optimiser steps of the whole training.
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
        if warmup not in WARMUPS:
            close = nearest(str(warmup), WARMUPS)
            hint = f"did you mean schedule.warmup={close}? " if close else ""
            raise UserError(
                f"schedule.warmup={warmup} is not known", f"{hint}choices: {', '.join(WARMUPS)}"
            )
        start = warmup_start if warmup_ratio is None else warmup_ratio
        if warmup == "exponential" and warmup_steps > 0 and start == 0:
            raise UserError(
                "an exponential warm-up cannot start at a rate of 0",
                "give schedule.warmup_start or schedule.warmup_ratio, or schedule.warmup=linear",
            )
        self.total_steps = int(total_steps)
        fraction = warmup_steps < 1
        self.warmup_steps = round(warmup_steps * total_steps) if fraction else int(warmup_steps)
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
            else self._after_warmup(step - self.warmup_steps, float(base), factor)
            for base, factor in zip(self.base_lrs, self.lr_factors, strict=True)
        ]

    def _warm(self, step: int, base: float, factor: float) -> float:
        done = step / self.warmup_steps
        ratio = self.warmup_ratio
        start = self.warmup_start * factor if ratio is None else ratio * base
        if self.warmup == "exponential":
            return float(start * (base / start) ** done)
        return start + (base - start) * done

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
        stairs: int | None = None,
        **warmup: Any,
    ) -> None:
        _not_negative(power=power, end_lr=end_lr)
        if stairs is not None and stairs < 1:
            raise UserError(f"schedule.stairs={stairs} must be at least 1")
        self.power = float(power)
        self.end_lr = float(end_lr)
        self.stairs = stairs
        super().__init__(optimizer, total_steps, **warmup)

    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        decay_steps = max(1, self.total_steps - self.warmup_steps)
        if self.stairs is None:
            left = max(0.0, 1.0 - step / decay_steps)
        else:
            left = max(0.0, 1.0 - step * self.stairs // decay_steps / self.stairs)
        end = self.end_lr * factor
        return end + (base - end) * left**self.power


class Constant(StepSchedule):
    """The base rate throughout (see `constant`)."""

    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        return base


class Milestones(StepSchedule):
    """The base rate, times a factor for every milestone passed (see `step`)."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        milestones: Sequence[float],
        gamma: float = 0.1,
        **warmup: Any,
    ) -> None:
        _not_negative(gamma=gamma, milestones=min(milestones, default=0))
        self.milestones = [round(m * total_steps) if m < 1 else int(m) for m in milestones]
        self.gamma = float(gamma)
        super().__init__(optimizer, total_steps, **warmup)

    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        passed = sum(step + self.warmup_steps >= milestone for milestone in self.milestones)
        return float(base * self.gamma**passed)


class Hybrid(StepSchedule):
    """Cycles of falling rates, then a linear decay (see `hybrid`)."""

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        epochs: int = 100,
        cyclic_epochs: int = 61,
        cycle: int = 5,
    ) -> None:
        if not (cycle >= 1 and 1 <= cyclic_epochs <= epochs):
            raise UserError(
                f"schedule: cycles of {cycle} during {cyclic_epochs} of {epochs} epochs",
                "needed: schedule.cycle >= 1 and 1 <= schedule.cyclic_epochs <= schedule.epochs",
            )
        self.epochs, self.cyclic_epochs, self.cycle = epochs, cyclic_epochs, cycle
        super().__init__(optimizer, total_steps)

    def _after_warmup(self, step: int, base: float, factor: float) -> float:
        epoch = step * self.epochs // self.total_steps
        if epoch == 0:
            return base
        if epoch < self.cyclic_epochs:
            return base * (self.cycle - (epoch - 1) % self.cycle)
        linear = self.epochs - self.cyclic_epochs + 1
        return base * max(0.0, 1 - (epoch - self.cyclic_epochs + 1) / linear)


def _not_negative(**settings: float) -> None:
    for name, value in settings.items():
        if not value >= 0:
            raise UserError(f"schedule.{name}={value} is negative")


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
    return Poly(
        optimizer,
        total_steps,
        power,
        end_lr,
        stairs,
        warmup_steps=warmup_steps,
        warmup_start=warmup_start,
        warmup_ratio=warmup_ratio,
        warmup=warmup,
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
    return Constant(optimizer, total_steps, warmup_steps, warmup_start, warmup_ratio, warmup)


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
    return Milestones(
        optimizer,
        total_steps,
        milestones,
        gamma,
        warmup_steps=warmup_steps,
        warmup_start=warmup_start,
        warmup_ratio=warmup_ratio,
        warmup=warmup,
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
    return Hybrid(optimizer, total_steps, epochs, cyclic_epochs, cycle)
