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

Cells = Mapping[str, Mapping[tuple[str, ...], Sequence[float]]]
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
        The effects, and sentences on what they cannot tell.
    """
    done = [run for run in runs if run.done and any(k in run.figures for k in figures)]
    varying = factors(done, names)
    kept = [factor for factor in varying if _countable(factor)]
    found: list[Effect] = []
    measured: dict[tuple[str, str], int] = {}
    for factor in kept:
        for figure in figures:
            partners = _partners(done, factor, names, figure)
            known = [run for run in done if figure in run.figures and run.id in factor.values]
            found += _effects_of(known, factor, partners, figure)
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


def _partners(
    runs: Sequence[Run], factor: Factor, names: Sequence[str], figure: str
) -> dict[str, tuple[str, ...]]:
    """Of each run, everything else that must agree: other choices, settings, conditions.

    What a model decides is part of the choice of the model.
    """
    columns = []
    for name in names:
        values = {run.id: run.value(name) or "" for run in runs}
        decided = factor.name in _DECIDING and _decides(factor, Factor(name, values))
        if name != factor.name and not decided:
            columns.append(values)
    conditions = [*_CONDITIONS, *(_LATENCY_CONDITIONS if figure.startswith("latency/") else ())]
    if factor.name == "data":
        conditions = [key for key in conditions if key not in ("data", "validation")]
    return {
        run.id: (
            *(values[run.id] for values in columns),
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
    runs: Sequence[Run], factor: Factor, partners: Mapping[str, tuple[str, ...]], figure: str
) -> list[Effect]:
    """The effects of one factor on one figure, which all of the runs have."""
    options = list(dict.fromkeys(factor.values[run.id] for run in runs))
    if len(options) < 2 or len({run.figures[figure] for run in runs}) < 2:
        return []  # the figure cannot depend on it
    compared = _compared(runs, factor, partners, figure, options)
    made = []
    if compared is None:
        cells = _cells(runs, factor, partners, figure, with_seed=False)
        for option in options:
            count = len(_flat(cells[option]))
            interval = _own_interval(_flat(_once(cells)[option]))
            made.append(_effect(factor, figure, option, count, interval, False))
        return made
    single = _once(compared)
    half = _half_widths(single)
    for option in options:
        mean = _mean([_mean(block) for block in single[option].values()])
        count = len(_flat(compared[option]))
        made.append(_effect(factor, figure, option, count, (mean, half[option]), True))
    return made


def _compared(
    runs: Sequence[Run],
    factor: Factor,
    partners: Mapping[str, tuple[str, ...]],
    figure: str,
    options: Sequence[str],
) -> Cells | None:
    """The cells of the blocks that all options have met: seed by seed if they share several."""
    plain = _cells(runs, factor, partners, figure, with_seed=False)
    for with_seed in (True, False) if _once(plain) is plain else (False,):
        cells = _cells(runs, factor, partners, figure, with_seed)
        blocks = _complete(cells, options)
        if len(blocks) > 1 or (not with_seed and blocks):
            return {option: {block: cells[option][block] for block in blocks} for option in options}
    return None


def _once(cells: Cells) -> Cells:
    """The same, but one value a cell where seeds only repeat it.

    MACs are those of the design, and so is a latency that was measured once for all of its seeds:
    the second seed makes them no surer.
    """
    several = [block for blocks in cells.values() for block in blocks.values() if len(block) > 1]
    if not several or any(len(set(block)) > 1 for block in several):
        return cells
    return {
        option: {block: values[:1] for block, values in blocks.items()}
        for option, blocks in cells.items()
    }


def _flat(blocks: Mapping[tuple[str, ...], Sequence[float]]) -> list[float]:
    return [value for values in blocks.values() for value in values]


def _cells(
    runs: Sequence[Run],
    factor: Factor,
    partners: Mapping[str, tuple[str, ...]],
    figure: str,
    with_seed: bool,
) -> dict[str, dict[tuple[str, ...], list[float]]]:
    found: dict[str, dict[tuple[str, ...], list[float]]] = {}
    for run in runs:
        block = (*partners[run.id], str(run.seed)) if with_seed else partners[run.id]
        cell = found.setdefault(factor.values[run.id], {})
        cell.setdefault(block, []).append(run.figures[figure])
    return found


def _complete(cells: Cells, options: Sequence[str]) -> list[tuple[str, ...]]:
    return [block for block in cells[options[0]] if all(block in cells[o] for o in options)]


def _half_widths(cells: Cells) -> dict[str, float | None]:
    """Half of each option's 95 % interval, None where nothing tells how sure its mean is."""
    options = list(cells)
    blocks = list(cells[options[0]])
    if len(blocks) == 1:
        return _from_replicates(cells)
    table = [[_mean(cells[option][block]) for block in blocks] for option in options]
    rows, columns = [_mean(row) for row in table], [_mean(col) for col in zip(*table, strict=True)]
    grand = _mean(rows)
    rest = sum(
        (value - row - column + grand) ** 2
        for values, row in zip(table, rows, strict=True)
        for value, column in zip(values, columns, strict=True)
    )
    freedom = (len(options) - 1) * (len(blocks) - 1)
    half = _quantile(freedom) * math.sqrt(rest / freedom / len(blocks))
    return dict.fromkeys(options, half)


def _from_replicates(cells: Cells) -> dict[str, float | None]:
    """One block: the spread within its cells, taken together."""
    values = {option: next(iter(blocks.values())) for option, blocks in cells.items()}
    freedom = sum(len(each) - 1 for each in values.values())
    if not freedom:
        return dict.fromkeys(values, None)
    rest = sum((value - _mean(each)) ** 2 for each in values.values() for value in each)
    spread = _quantile(freedom) * math.sqrt(rest / freedom)
    return {option: spread / math.sqrt(len(each)) for option, each in values.items()}


def _own_interval(values: Sequence[float]) -> tuple[float, float | None]:
    mean = _mean(values)
    if len(values) < 2:
        return mean, None
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return mean, _quantile(len(values) - 1) * spread / math.sqrt(len(values))


def _effect(
    factor: Factor,
    figure: str,
    option: str,
    runs: int,
    interval: tuple[float, float | None],
    balanced: bool,
) -> Effect:
    mean, half = interval
    return Effect(
        factor=factor.name,
        option=option,
        figure=figure,
        mean=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        runs=runs,
        balanced=balanced,
    )


def _quantile(freedom: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
