"""The space of a search: parameters, and when each of them exists.

A parameter is an axis of the command line: `encoder=stdc1,stdc2`, `optim.lr=tag(log,
interval(1e-4, 1e-1))`, `trainer.max_epochs=range(10, 40, 10)`. A fusion or a context exists only
where the decoder uses one; anything else that depends on a choice is set by `sweep.when`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep
from optuna.trial import Trial

from segscape.config.files import unknown_option
from segscape.config.override_text import Point, key_of, parsed, written
from segscape.errors import UserError, unknown
from segscape.sweep.plan.grid import split, values_of

#: Groups that only some decoders do something with.
OPTIONAL_PARTS = ("context", "fusion")
_TAGS = ("log", "int")
_DIGITS = 6

Active = Callable[[str, Mapping[str, str]], bool]


@dataclass(frozen=True)
class Parameter:
    """One axis of the space: some texts, whole numbers, or an interval of real numbers.

    Attributes:
        key: group or dotted key.
        choices: the texts; empty for numbers.
        low: least number.
        high: greatest number.
        step: distance of whole numbers; None for real numbers.
        log: whether a number is drawn on a logarithmic scale.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0
    high: float = 0
    step: int | None = None
    log: bool = False

    def __str__(self) -> str:
        """Its values in a few words."""
        if self.choices:
            return ",".join(self.choices)
        kind = "real" if self.step is None else f"whole, step {self.step}"
        return f"{self.low:g}..{self.high:g} ({kind}{', log' if self.log else ''})"

    @property
    def finite(self) -> bool:
        """Whether its values can be listed."""
        return bool(self.choices) or self.step is not None

    def texts(self) -> Iterator[str]:
        """Every value of a finite one, as typed."""
        if self.choices:
            yield from self.choices
        else:
            assert self.step is not None, "an interval cannot be listed"
            yield from map(str, range(int(self.low), int(self.high) + 1, self.step))

    def draw(self, trial: Trial) -> str:
        """Let a trial choose, as typed."""
        if self.choices:
            return str(trial.suggest_categorical(self.key, self.choices))
        if self.step is not None:
            low, high = int(self.low), int(self.high)
            return str(trial.suggest_int(self.key, low, high, step=self.step, log=self.log))
        return _shortened(trial.suggest_float(self.key, self.low, self.high, log=self.log))

    def random(self, rng: Random) -> str:
        """A value at random, as typed."""
        if self.choices:
            return rng.choice(self.choices)
        low, high = self.low, self.high
        value = (
            math.exp(rng.uniform(math.log(low), math.log(high)))
            if self.log
            else rng.uniform(low, high)
        )
        if self.step is None:
            return _shortened(value)
        return str(int(low) + self.step * round((value - low) / self.step))

    def value(self, text: str) -> Any:
        """The value of this text in Optuna."""
        if self.choices:
            return text
        return float(text) if self.step is None else int(text)


class Space:
    """Parameters in the order in which they are drawn.

    Args:
        parameters: as typed.
        active: whether a parameter exists, given the texts of those before it.
        after: by key, the keys that have to be drawn first.

    Raises:
        UserError: two parameters depend on each other.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        active: Active,
        after: Mapping[str, set[str]] | None = None,
    ) -> None:
        self.parameters = _ordered(parameters, after or {})
        self.active = active

    @property
    def finite(self) -> bool:
        """Whether the space has an end."""
        return all(each.finite for each in self.parameters)

    def suggest(self, trial: Trial) -> Point:
        """Draw a point for a trial; parameters that do not exist there are left out."""
        point: Point = {}
        for each in self.parameters:
            if self.active(each.key, point):
                point[each.key] = each.draw(trial)
        return point

    def random(self, rng: Random) -> Point:
        """A point at random."""
        point: Point = {}
        for each in self.parameters:
            if self.active(each.key, point):
                point[each.key] = each.random(rng)
        return point

    def points(self) -> Iterator[Point]:
        """Every point of a finite space, each once."""
        assert self.finite, "an interval cannot be listed"
        yield from self._from({}, 0)

    def values(self, point: Mapping[str, str]) -> dict[str, Any]:
        """A point as Optuna's parameters."""
        return {
            each.key: each.value(point[each.key]) for each in self.parameters if each.key in point
        }

    def _from(self, point: Point, index: int) -> Iterator[Point]:
        if index == len(self.parameters):
            yield point
            return
        each = self.parameters[index]
        if not self.active(each.key, point):
            yield from self._from(point, index + 1)
            return
        for text in each.texts():
            yield from self._from({**point, each.key: text}, index + 1)


def _shortened(value: float) -> str:
    # Six digits: names stay readable, and no result depends on the seventh.
    return repr(float(f"{value:.{_DIGITS}g}"))


def read_parameters(
    overrides: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    grid: Mapping[str, Any] | None = None,
) -> tuple[list[Parameter], list[str]]:
    """Split a command line into the axes of a search and what all its jobs have in common.

    Args:
        overrides: as typed, or as `command_line.admit` leaves them.
        groups: every group and its options.
        grid: `sweep.grid`; an axis of the command line with the same key is used instead.

    Raises:
        UserError: an axis that cannot be searched, or an option that does not exist.
    """
    sweeps, common = split(overrides)
    pinned = {key_of(parsed(text)) for text in common}
    for key, values in (grid or {}).items():
        if key not in sweeps and key not in pinned:
            listed = values if isinstance(values, list | tuple) else [values]
            text = values if isinstance(values, str) else ",".join(map(written, listed))
            more, fixed = split([f"{key}={text}"])
            sweeps, common = {**sweeps, **more}, [*common, *fixed]
    if "seed" in sweeps:
        raise UserError(
            "seed cannot be searched: the search would pick a lucky one",
            "sweep.seeds=3 runs every design with three seeds and judges their mean",
        )
    return [_parameter(key, each, groups) for key, each in sweeps.items()], common


def _parameter(key: str, override: Override, groups: Mapping[str, Sequence[str]]) -> Parameter:
    value: Any = override.value()
    tags = set(getattr(value, "tags", ()))
    for tag in sorted(tags - set(_TAGS)):
        raise unknown(f"{key}: there is no tag {tag!r}", tag, _TAGS, label="tags")
    if isinstance(value, IntervalSweep):
        return _interval(key, value, tags)
    if tags:
        raise UserError(
            f"{key}: a tag belongs to an interval", f"e.g. {key}=tag(log,interval(1e-4,1e-1))"
        )
    if isinstance(value, RangeSweep):
        steps = sorted(value.range())
        if steps and all(isinstance(each, int) for each in steps):
            step = steps[1] - steps[0] if len(steps) > 1 else 1
            return Parameter(key, low=steps[0], high=steps[-1], step=step)
    choices = values_of(override)
    for choice in choices if key in groups else ():
        if choice not in groups[key] and choice != "null":
            raise unknown_option(key, choice, groups[key])
    return Parameter(key, tuple(choices))


def _interval(key: str, value: IntervalSweep, tags: set[str]) -> Parameter:
    low, high = value.start, value.end
    assert low is not None and high is not None, "the parser demands both ends"
    if not low < high or ("log" in tags and low <= 0):
        needs = "low < high, and low > 0 for log" if "log" in tags else "low < high"
        raise UserError(f"{key}: interval({low},{high}) cannot be searched", f"it needs {needs}")
    log = "log" in tags
    if "int" in tags or (isinstance(low, int) and isinstance(high, int)):
        low, high = int(low), int(high)
        return Parameter(key, low=low, high=high, step=1, log=log)
    return Parameter(key, low=float(low), high=float(high), log=log)


def _ordered(parameters: Sequence[Parameter], after: Mapping[str, set[str]]) -> list[Parameter]:
    waiting, done = list(parameters), list[Parameter]()
    known = {each.key for each in parameters}
    while waiting:
        drawn = {each.key for each in done}
        ready = next((p for p in waiting if (after.get(p.key, set()) & known) <= drawn), None)
        if ready is None:
            raise UserError(
                f"{' and '.join(each.key for each in waiting)} depend on each other",
                "sweep.when may name only parameters that are drawn without them",
            )
        waiting.remove(ready)
        done.append(ready)
    return done
