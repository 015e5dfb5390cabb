"""What each choice does to a figure: marginal means with 95 % intervals.

Two options are only compared over partners that both have met. So the runs are sorted into blocks
that agree in everything else that varies (the seed too, where all options have the same seeds);
the blocks in which every option occurs are compared. How much the blocks themselves differ is then
no part of the uncertainty: the interval comes from what is left when the mean of the option and
that of the block are taken away, by Student's t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segscape.report.comparability import CONDITIONS, effect_notes
from segscape.report.records import Effect, Run

MOST_OPTIONS = 40

_DECIDING = ("experiment", "recipe", "model")
_CONDITIONS = [key for key, (_, what) in CONDITIONS.items() if what in ("scores", "MACs")]
_LATENCY_CONDITIONS = [key for key, (_, what) in CONDITIONS.items() if what == "latencies"]

Block = tuple[str, ...]
"""Everything else that varies: what must agree for runs to be compared."""
Cells = dict[str, dict[Block, list[float]]]
"""Values by option and block."""


@dataclass(frozen=True)
class Factor:
    """A choice or setting that varies.

    Attributes:
        name: group or key.
        values: option by run id.
    """

    name: str
    values: Mapping[str, str]

    @property
    def options(self) -> list[str]:
        """Its values, in the order of the runs."""
        return list(dict.fromkeys(self.values.values()))


def factors(runs: Sequence[Run], names: Sequence[str]) -> list[Factor]:
    """The factors of these names that vary, without those that another one decides.

    A part that changes only with the model, as its design has it, is no choice of its own.

    Args:
        runs: finished ones.
        names: groups and keys.
    """
    found = []
    for name in names:
        values = {run.id: text for run in runs if (text := run.value(name)) is not None}
        factor = Factor(name, values)
        if len(factor.options) > 1:
            found.append(factor)
    deciding = [factor for factor in found if factor.name in _DECIDING]
    return [
        factor
        for factor in found
        if not any(factor is not other and _decides(other, factor) for other in deciding)
    ]


def _decides(one: Factor, other: Factor) -> bool:
    """Whether `other` is the same wherever `one` is the same; of two that do, the first stays."""
    seen: dict[str, str] = {}
    for run, option in other.values.items():
        if seen.setdefault(one.values.get(run, ""), option) != option:
            return False
    return not (other.name == "experiment" and _decides(other, one))


def effects(
    runs: Sequence[Run], names: Sequence[str], figures: Sequence[str]
) -> tuple[list[Effect], list[str]]:
    """Marginal effects of everything that varies.

    Args:
        runs: of which the finished ones count.
        names: groups and keys that may be factors.
        figures: keys.

    Returns:
        The effects, and sentences on what they cannot show.
    """
    done = [run for run in runs if run.done and any(k in run.figures for k in figures)]
    varying = factors(done, names)
    kept = [factor for factor in varying if _countable(factor)]
    found: list[Effect] = []
    measured: dict[tuple[str, str], int] = {}
    for factor in kept:
        for figure in figures:
            blocks = _blocks(done, factor, names, figure)
            known = [run for run in done if figure in run.figures and run.id in factor.values]
            found += _effects_of(known, factor, blocks, figure)
            measured[factor.name, figure] = len(known)
    too_fine = {f.name: (len(f.options), len(f.values)) for f in varying if f not in kept}
    return found, effect_notes(too_fine, _aliases(kept), found, measured)


def rules(runs: int, figures: Sequence[str]) -> dict[str, Any]:
    """What it takes to compute effects elsewhere the way this module does: in the page.

    Args:
        runs: at most so many.
        figures: keys.
    """
    return {
        "figures": list(figures),
        "most_options": MOST_OPTIONS,
        "deciding": _DECIDING,
        "conditions": _CONDITIONS,
        "latency_conditions": _LATENCY_CONDITIONS,
        "quantiles": [_quantile(freedom) for freedom in range(1, runs + 1)],
    }


def _blocks(
    runs: Sequence[Run], factor: Factor, names: Sequence[str], figure: str
) -> dict[str, Block]:
    """Of each run, everything else that must agree: other choices, settings, conditions.

    What a model decides is part of the choice of the model.
    """
    others = [name for name in names if name != factor.name]
    if factor.name in _DECIDING:
        values = {name: {run.id: run.value(name) or "" for run in runs} for name in others}
        others = [name for name in others if not _decides(factor, Factor(name, values[name]))]
    conditions = [*_CONDITIONS, *(_LATENCY_CONDITIONS if figure.startswith("latency/") else ())]
    if factor.name == "data":
        conditions = [key for key in conditions if key not in ("data", "validation")]
    return {
        run.id: (
            *(run.value(name) or "" for name in others),
            *(run.environment.get(key, "") for key in conditions),
        )
        for run in runs
    }


def _countable(factor: Factor) -> bool:
    """Whether its values are options that runs share, and not a different number in every run."""
    count, runs = len(factor.options), len(factor.values)
    if count > MOST_OPTIONS:
        return False
    if all(_is_fraction(option) for option in factor.options):
        return count <= 2 or count < runs / 1.5
    return count <= 6 or count < runs / 1.5


def _is_fraction(text: str) -> bool:
    try:
        return not float(text).is_integer()
    except (ValueError, OverflowError):
        return False


def _aliases(found: Sequence[Factor]) -> list[list[str]]:
    """Names of factors that always change together."""
    groups: list[list[Factor]] = []
    for factor in found:
        group = next((each for each in groups if _together(each[0], factor)), None)
        if group is None:
            groups.append([factor])
        else:
            group.append(factor)
    return [[factor.name for factor in group] for group in groups if len(group) > 1]


def _together(one: Factor, other: Factor) -> bool:
    runs = [run for run in one.values if run in other.values]
    pairs = {(one.values[run], other.values[run]) for run in runs}
    return len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def _effects_of(
    runs: Sequence[Run], factor: Factor, blocks: Mapping[str, Block], figure: str
) -> list[Effect]:
    """The effects of one factor on one figure, which all of the runs have."""
    plain = _cells(runs, factor, blocks, figure)
    if len(plain) < 2 or len({run.figures[figure] for run in runs}) < 2:
        return []  # the figure cannot depend on it
    by_seed = {run.id: (*blocks[run.id], str(run.seed)) for run in runs}
    common = _compared(plain, _cells(runs, factor, by_seed, figure))
    single = _once(common or plain)
    halves = _half_widths(single) if common else {}
    made = []
    for option, cells in single.items():
        flat = [value for values in cells.values() for value in values]
        mean = _mean([_mean(values) for values in cells.values()] if common else flat)
        half = halves[option] if common else _from_replicates({option: flat})[option]
        low, high = (None, None) if half is None else (mean - half, mean + half)
        count = sum(len(values) for values in (common or plain)[option].values())
        made.append(
            Effect(factor.name, option, figure, mean, low, high, count, balanced=bool(common))
        )
    return made


def _cells(runs: Sequence[Run], factor: Factor, blocks: Mapping[str, Block], figure: str) -> Cells:
    found: Cells = {}
    for run in runs:
        cells = found.setdefault(factor.values[run.id], {})
        cells.setdefault(blocks[run.id], []).append(run.figures[figure])
    return found


def _compared(plain: Cells, by_seed: Cells) -> Cells | None:
    """The cells of the blocks that all options have met: seed by seed if they share several."""
    for cells in (by_seed, plain) if _once(plain) is plain else (plain,):
        first, *rest = cells.values()
        shared = [block for block in first if all(block in other for other in rest)]
        if len(shared) > 1 or (cells is plain and shared):
            return {option: {b: own[b] for b in shared} for option, own in cells.items()}
    return None


def _once(cells: Cells) -> Cells:
    """The same, but one value a cell where seeds only repeat it.

    MACs are those of the design, and so is a latency that was measured once for all of its seeds:
    a second seed makes them no more certain.
    """
    several = [values for own in cells.values() for values in own.values() if len(values) > 1]
    if not several or any(len(set(values)) > 1 for values in several):
        return cells
    return {o: {block: values[:1] for block, values in own.items()} for o, own in cells.items()}


def _half_widths(cells: Cells) -> dict[str, float | None]:
    """Half of each option's 95 % interval, None where there is no spread to compute it from."""
    table = [[_mean(values) for values in own.values()] for own in cells.values()]
    if len(table[0]) == 1:
        return _from_replicates({option: next(iter(own.values())) for option, own in cells.items()})
    rows, columns = [_mean(row) for row in table], [_mean(col) for col in zip(*table, strict=True)]
    grand = _mean(rows)
    rest = sum(
        (value - row - column + grand) ** 2
        for values, row in zip(table, rows, strict=True)
        for value, column in zip(values, columns, strict=True)
    )
    freedom = (len(rows) - 1) * (len(columns) - 1)
    half = _quantile(freedom) * math.sqrt(rest / freedom / len(columns))
    return dict.fromkeys(cells, half)


def _from_replicates(values: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
    """Half of the interval from the spread within the options, taken together."""
    freedom = sum(len(each) - 1 for each in values.values())
    if not freedom:
        return dict.fromkeys(values, None)
    rest = sum((value - _mean(each)) ** 2 for each in values.values() for value in each)
    spread = _quantile(freedom) * math.sqrt(rest / freedom)
    return {option: spread / math.sqrt(len(each)) for option, each in values.items()}


def _quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
