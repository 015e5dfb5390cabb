"""Which jobs a sweep has: axes of the command line and of `sweep.*`, as lists of choices.

Nothing is composed here: `segscape.sweep.plan.check` finds out whether a combination can work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Glob, Override

from segscape.config import files
from segscape.config.override_text import Point, key_of, parsed, words, written
from segscape.errors import UserError, unknown
from segscape.sweep.plan.exclude import without_excluded
from segscape.sweep.settings import SweepSettings

Axes = dict[str, list[str]]
# Combinations; a typing error makes millions.
_MOST = 20_000


def split(overrides: Sequence[str]) -> tuple[dict[str, Override], list[str]]:
    """Separate what is varied from what all jobs share.

    Args:
        overrides: as typed, or as `command_line.admit` leaves them.

    Returns:
        The parsed sweeps by key, `interval()` and tagged ones too, and the other overrides as
        they were given.

    Raises:
        UserError: an override cannot be parsed, or a varied key is given twice.
    """
    sweeps: dict[str, Override] = {}
    common: list[str] = []
    given: set[str] = set()
    for text in overrides:
        override = parsed(text)
        key = key_of(override)
        if override.is_sweep_override():
            if key in given:
                raise UserError(f"{key} is given twice", f"once with all values: {key}=a,b,c")
            sweeps[key] = override
        else:
            if key in sweeps:
                raise UserError(f"{key} is given twice", f"once with all values: {key}=a,b,c")
            common.append(text)
        given.add(key)
    return sweeps, common


def axes_of(overrides: Sequence[str]) -> tuple[Axes, list[str]]:
    """The axes of a grid: every value of every key that is varied, in the order typed.

    Args:
        overrides: as typed, or as `command_line.admit` leaves them.

    Returns:
        Values by key, and the overrides that all jobs share.

    Raises:
        UserError: an override cannot be parsed, or its values cannot be listed.
    """
    sweeps, common = split(overrides)
    return {key: values_of(override) for key, override in sweeps.items()}, common


def values_of(override: Override) -> list[str]:
    """The values of a sweep, in Hydra's notation.

    Raises:
        UserError: it has none that can be listed: an interval, or a pattern that matches nothing.
    """
    key, value = override.key_or_group, override.value()
    if not override.is_discrete_sweep():
        raise UserError(
            f"{override.input_line}: a grid needs values that can be listed",
            f"{key}=a,b,c or range(START,STOP,STEP); hydra/sweeper=optuna takes an interval",
        )
    if isinstance(value, Glob):
        options = files.groups().get(key, [])
        found = value.filter(options)
        if not found:
            listed = ", ".join(options) or "none: this is no group"
            raise UserError(f"{override.input_line} matches no option", f"options: {listed}")
        return found
    try:
        values = list(itertools.islice(override.sweep_string_iterator(), _MOST + 1))
    except ValueError as error:  # range(1,4,0)
        raise UserError(f"{override.input_line} cannot be listed: {error}") from error
    if not values:
        raise UserError(f"{override.input_line} has no values")
    _require_few(len(values))
    return list(dict.fromkeys(values))


def _require_few(number: int) -> None:
    """Every combination is composed and checked before the first runs: that takes its time."""
    if number > _MOST:
        raise UserError(
            f"more than {_MOST} combinations are no sweep",
            "give fewer values, or search: hydra/sweeper=optuna sweep.trials=100",
        )


def expand(axes: Axes, settings: SweepSettings, common: Sequence[str] = ()) -> list[Point]:
    """Every point of the sweep, once: as typed, the last axis fastest, seeds innermost.

    Explicit jobs are multiplied with the axes.

    Args:
        axes: of the command line; an axis of `sweep.grid` with the same key gives way.
        settings: grid, zip, jobs, exclude and seeds are read.
        common: what all jobs share; an axis of `sweep.grid` that is set there gives way.

    Raises:
        UserError: keys that contradict each other, zipped axes of unequal lengths, or an
            exclusion that matches nothing.
    """
    pinned = {key_of(parsed(text)) for text in common}
    whole = {**_grid(settings, pinned | {*axes}), **axes}
    jobs = _jobs(settings.jobs, {*whole}, pinned)
    dimensions = _dimensions(whole, settings.zip)
    sizes = [len(jobs), *(len(each) for each in dimensions), len(settings.seeds) or 1]
    _require_few(math.prod(sizes))
    points = [
        {**job, **dict(itertools.chain(*choice))}
        for job in jobs
        for choice in itertools.product(*dimensions)
    ]
    if settings.seeds:
        if "seed" in whole or "seed" in pinned or any("seed" in job for job in jobs):
            raise UserError("seed= and sweep.seeds are both given", "leave one of them out")
        points = [{**point, "seed": str(seed)} for point in points for seed in settings.seeds]
    once = {tuple(sorted(point.items())): point for point in points}
    return without_excluded(list(once.values()), settings.exclude)


def _grid(settings: SweepSettings, typed_keys: set[str]) -> Axes:
    """The axes of `sweep.grid` that the command line does not set itself."""
    found = {}
    for key, values in settings.grid.items():
        if key in typed_keys:
            continue
        if isinstance(values, str):
            # As on the command line: "add,concat", "range(1,4)", "glob(uafm*)".
            override = parsed(f"{key}={values}")
            swept = override.is_sweep_override()
            found[key] = values_of(override) if swept else [override.get_value_element_as_str()]
        elif isinstance(values, list | tuple):
            found[key] = list(dict.fromkeys(written(value) for value in values))
        else:
            found[key] = [written(values)]
        if not found[key]:
            raise UserError(f"sweep.grid.{key} is empty", f"e.g. {key}: [a, b]")
    return found


def _dimensions(axes: Axes, zipped: Sequence[Any]) -> list[list[tuple[tuple[str, str], ...]]]:
    """What is multiplied: an axis, or axes that go together, at the place of the first."""
    groups = _zip_groups(axes, zipped)
    partner = {key: group for group in groups for key in group}
    found = []
    done: set[str] = set()
    for key in axes:
        if key in done:
            continue
        together = partner.get(key, (key,))
        done.update(together)
        columns = [[(each, value) for value in axes[each]] for each in together]
        found.append(list(zip(*columns, strict=True)))
    return found


def _zip_groups(axes: Axes, zipped: Sequence[Any]) -> list[tuple[str, ...]]:
    if not zipped:
        return []
    nested = [each for each in zipped if not isinstance(each, str)]
    if nested and len(nested) < len(zipped):
        raise UserError(f"sweep.zip={list(zipped)!r} mixes keys and lists", "e.g. [[a,b],[c,d]]")
    groups = [tuple(str(key) for key in each) for each in (nested or [zipped])]
    seen: set[str] = set()
    for group in groups:
        if len(group) < 2:
            raise UserError(f"sweep.zip: {group[0] if group else '[]'} goes with nothing")
        for key in group:
            if key not in axes:
                raise unknown(f"sweep.zip: {key} is not varied", key, axes, label="varied")
            if key in seen:
                raise UserError(f"sweep.zip: {key} stands there twice")
            seen.add(key)
        lengths = {key: len(axes[key]) for key in group}
        if len(set(lengths.values())) > 1:
            listed = ", ".join(f"{key} has {count}" for key, count in lengths.items())
            raise UserError(
                f"sweep.zip: the lists are not equally long: {listed}",
                "give as many values to each, or leave them crosswise",
            )
    return groups


def _jobs(jobs: Sequence[Any], varied: set[str], pinned: set[str]) -> list[Point]:
    found = [_entry(job, "sweep.jobs") for job in jobs]
    for job in found:
        for key in job:
            if key in varied or key in pinned:
                where = "varied by the grid" if key in varied else "set for all jobs"
                raise UserError(
                    f"sweep.jobs: {key} is given by a job and {where} as well",
                    "leave it out in one of the two places",
                )
    return found or [{}]


def _entry(given: Any, key: str) -> Point:
    """An explicit job, or a pattern: a mapping, or overrides in one text."""
    if isinstance(given, Mapping):
        return {str(name): written(value) for name, value in given.items()}
    if not isinstance(given, str):
        raise UserError(f"{key}: {given!r} cannot be read", "e.g. 'encoder=stdc1 fusion=add'")
    found = {}
    for text in words(given):
        override = parsed(text)
        if override.is_sweep_override():
            raise UserError(f"{key}: {text} has several values", "one value per key and entry")
        found[key_of(override)] = override.get_value_element_as_str()
    return found
