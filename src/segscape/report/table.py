"""The table of a report: which columns, with which units, and what is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from segscape.profiling.si_units import NONE
from segscape.report.comparability import protocol, shared
from segscape.report.figure_keys import figure_keys, kind, label, resolve
from segscape.report.records import Collection, Effect, Run
from segscape.report.rows import Row, rows, sort, sort_key, way_of

_ALWAYS = ("val/miou", "latency/p50_ms", "model/macs", "model/params")
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
_SHORT = {"parameters": "params", "latency p50": "p50"}
_GAP = 2


@dataclass(frozen=True)
class Cell:
    """A text; `spread` is its standard deviation, if there is one."""

    text: str
    spread: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """What every format shows.

    Attributes:
        headings: of the columns.
        lines: cells of each line, one per column.
        numbers: which columns hold figures.
        note: what `*` means, and what all figures were taken under.
        common: options that all runs share.
    """

    headings: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    numbers: Sequence[bool]
    note: str
    common: str


def build(
    collection: Collection,
    group_seeds: bool = False,
    by: str | None = None,
    width: int | None = None,
    columns: Sequence[str] | None = None,
) -> Table:
    """The table of a collection.

    Args:
        collection: the runs.
        group_seeds: one line per design.
        by: sorted by this; None: the first objective.
        width: characters that there are; None: any number.
        columns: figures to show, or their ends; None: the objectives, what the lines are sorted
            by, and the most asked-for.

    Raises:
        UserError: `by` or a column is no key.
    """
    objectives = collection.objectives
    lines = sort(rows(collection, group_seeds), by, objectives)
    keys, needed = _figures(collection, lines, by, columns)
    left = _identity(lines)
    if group_seeds:
        left.append(("seeds", [str(row.count) for row in lines]))
    figures = [_column(key, way_of(key, objectives), lines, width is not None) for key in keys]
    state = [("state", [row.state for row in lines])] if _unequal(lines) else []
    marks = [("", ["*" if row.on_front else "" for row in lines])]
    while width is not None and _width([*marks, *left, *state], figures) > width:
        if len(keys) <= 1 or keys[-1] in needed:
            left = _one_column(lines, left)
            break
        keys.pop()
        figures.pop()
    first = [*marks, *left]
    cells = [
        *([Cell(text) for text in texts] for _, texts in first),
        *(made for _, made in figures),
        *([Cell(text) for text in texts] for _, texts in state),
    ]
    return Table(
        headings=[heading for heading, _ in (*first, *figures, *state)],
        lines=[[column[i] for column in cells] for i in range(len(lines))],
        numbers=[h in ("seed", "seeds") for h, _ in first]
        + [True] * len(keys)
        + [False] * len(state),
        note=_note(collection, lines, group_seeds, keys),
        common=_common(collection.runs),
    )


def _figures(
    collection: Collection, lines: Sequence[Row], by: str | None, columns: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """The figures to show, and those of them that are never left out for want of room."""
    if columns is None:
        way, key = sort_key(lines, by, collection.objectives)
        needed = [key for _, key in collection.objectives] + ([key] if way is not None else [])
    else:
        known = figure_keys(collection.runs)
        needed = [resolve(text, known) for text in columns]
    wanted = dict.fromkeys([*needed, *(_ALWAYS if columns is None else ())])
    return [key for key in wanted if any(key in row.figures for row in lines)], needed


def _unequal(lines: Sequence[Row]) -> bool:
    return {row.state for row in lines} not in ({"finished"}, {"unknown"})


# -- what tells the lines apart --------------------------------------------------------------------


def _identity(lines: Sequence[Row]) -> list[tuple[str, list[str]]]:
    """The columns of what varies; the name too, where that leaves lines alike."""
    names = list(lines[0].marks) if lines else []
    columns = [(name, [row.marks[name] for row in lines]) for name in names]
    told = [tuple(row.marks.values()) for row in lines]
    unclear = len(set(told)) < len(told) or any(not any(each) for each in told)
    return [("run", [row.name for row in lines]), *columns] if unclear else columns


def _one_column(
    lines: Sequence[Row], left: Sequence[tuple[str, list[str]]]
) -> list[tuple[str, list[str]]]:
    """What varies in one column that may be folded, where single ones would be too wide."""
    kept = [column for column in left if column[0] == "seeds"]
    if any(name == "run" for name, _ in left):
        return [("run", [row.name for row in lines]), *kept]
    texts = [" ".join(f"{key}={value}" for key, value in row.marks.items()) for row in lines]
    return [("run", texts), *kept]


def _width(
    texts: Sequence[tuple[str, Sequence[str]]], figures: Sequence[tuple[str, Sequence[Cell]]]
) -> int:
    total = sum(max([len(h), *(len(v) for v in values)]) + _GAP for h, values in texts)
    for heading, cells in figures:
        total += max([len(heading), *(len(plain(cell)) for cell in cells)]) + _GAP
    return total


def plain(cell: Cell) -> str:
    """A cell without any mark-up."""
    return f"{cell.text} ± {cell.spread}" if cell.spread else cell.text


# -- figures -----------------------------------------------------------------------------------


def _column(key: str, way: str | None, lines: Sequence[Row], short: bool) -> tuple[str, list[Cell]]:
    """A figure's heading with its unit, and its cells in that unit."""
    values = [row.figures.get(key) for row in lines]
    scale, unit, digits = _scale(key, [value for value in values if value is not None])

    def text(value: float | None) -> str:
        return NONE if value is None else f"{value / scale:.{digits}f}"

    texts = [text(value) for value in values]
    best = _best(key, way, lines, texts)
    cells = [
        Cell(
            shown, text(row.spreads[key]) if _spreads(row, key) else "", row.done and shown == best
        )
        for row, shown in zip(lines, texts, strict=True)
    ]
    return _heading(key, unit, short), cells


def _spreads(row: Row, key: str) -> bool:
    """Whether the runs behind a mean differ: parameters and MACs do not."""
    return row.spreads.get(key, 0.0) > 1e-9 * abs(row.figures[key]) if key in row.figures else False


def _heading(key: str, unit: str, short: bool) -> str:
    words = label(key, unit=False)
    words = _SHORT.get(words, words) if short else words
    return f"{words} ({unit})" if unit else words


def _scale(key: str, values: Sequence[float]) -> tuple[float, str, int]:
    """Divisor, unit and decimals that suit a column."""
    known = [abs(value) for value in values if value]
    what = kind(key)
    if what == "share":
        return 0.01, "%", 2
    if what == "count":
        scale, unit = next(((s, u) for s, u in _UNITS if max(known, default=0) >= s), (1.0, ""))
        return scale, unit, _decimals(known, scale, 3) if unit else 0
    if what == "ms":
        return 1.0, "ms", _decimals(known, 1.0, 2)
    whole = all(value == int(value) for value in known)
    return 1.0, "", 0 if whole else _decimals(known, 1.0, 6)


def _decimals(values: Sequence[float], scale: float, most: int) -> int:
    """So many that the smallest value has three digits."""
    if not values:
        return 0
    return max(0, min(most, 2 - math.floor(math.log10(min(values) / scale))))


def _best(key: str, way: str | None, lines: Sequence[Row], texts: Sequence[str]) -> str | None:
    """The text of the best final value, if there is a best one."""
    final = [
        (row.figures[key], text)
        for row, text in zip(lines, texts, strict=True)
        if row.done and key in row.figures
    ]
    if way is None or len({text for _, text in final}) < 2:
        return None
    return (max(final) if way == "max" else min(final))[1]


# -- notes -----------------------------------------------------------------------------------------


def _note(
    collection: Collection, lines: Sequence[Row], group_seeds: bool, keys: Sequence[str]
) -> str:
    parts = []
    if any(row.on_front for row in lines):
        ways = {"max": "highest", "min": "lowest"}
        goals = [f"{ways[way]} {label(key, unit=False)}" for way, key in collection.objectives]
        parts.append(f"* Pareto front: {', '.join(goals)}.")
    if group_seeds and any(row.spreads for row in lines):
        parts.append("± standard deviation over seeds.")
    return " ".join([*parts, protocol(collection.runs, keys)]).strip()


def _common(runs: Sequence[Run]) -> str:
    common = shared([run.choices for run in runs])
    told = {group: option for group, option in common.items() if option != "default"}
    return " ".join(f"{group}={option}" for group, option in told.items())


# -- effects ---------------------------------------------------------------------------------------


def effects_table(collection: Collection, width: int | None = None) -> Table | None:
    """Marginal mean and interval of every option; None without effects.

    Args:
        collection: the runs.
        width: characters that there are; figures that have no room are left out.
    """
    figures = list(dict.fromkeys(effect.figure for effect in collection.effects))
    by: dict[tuple[str, str], dict[str, Effect]] = {}
    for effect in collection.effects:
        by.setdefault((effect.factor, effect.option), {})[effect.figure] = effect
    if not by:
        return None
    scales = {f: _scale(f, [e.mean for e in collection.effects if e.figure == f]) for f in figures}
    lines = []
    for (factor, option), found in by.items():
        count = str(max(effect.runs for effect in found.values()))
        cells = [_effect_cell(found.get(figure), scales[figure]) for figure in figures]
        lines.append([Cell(factor), Cell(option), Cell(count), *cells])
    texts = [
        (h, [line[i].text for line in lines]) for i, h in enumerate(("choice", "option", "runs"))
    ]
    columns = [
        (
            _heading(figure, scales[figure][1], width is not None),
            [line[3 + index] for line in lines],
        )
        for index, figure in enumerate(figures)
    ]
    while width is not None and len(columns) > 1 and _width(texts, columns) > width:
        columns.pop()
    note = "Marginal means ± half of the 95 % interval over the same partners."
    if any(not effect.balanced for effect in collection.effects):
        note += " ~ the options met different partners: not to be compared."
    return Table(
        headings=[*(heading for heading, _ in texts), *(heading for heading, _ in columns)],
        lines=[line[: 3 + len(columns)] for line in lines],
        numbers=[False, False, True, *(True for _ in columns)],
        note=note,
        common="",
    )


def _effect_cell(effect: Effect | None, scale: tuple[float, str, int]) -> Cell:
    if effect is None:
        return Cell(NONE)
    divisor, _, digits = scale
    half = (
        ""
        if not _wide(effect) or effect.high is None
        else f"{(effect.high - effect.mean) / divisor:.{digits}f}"
    )
    sign = "" if effect.balanced else "~"
    return Cell(f"{sign}{effect.mean / divisor:.{digits}f}", half)


def _wide(effect: Effect) -> bool:
    """Whether there is an interval, and more than a rounding error."""
    return effect.high is not None and effect.high - effect.mean > 1e-9 * abs(effect.mean)


# -- terminal --------------------------------------------------------------------------------------


def render(table: Table, title: str = "") -> RenderableType:
    """A table for a rich console."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for heading, number in zip(table.headings, table.numbers, strict=True):
        shown.add_column(
            heading,
            justify="right" if number else "left",
            header_style="dim",
            no_wrap=number,
            overflow="fold",
        )
    for line in table.lines:
        shown.add_row(*(Text(plain(cell), style="bold" if cell.best else "") for cell in line))
    parts: list[RenderableType] = [Text(title, style="bold")] if title else []
    if table.common:
        parts.append(Text(table.common, style="dim"))
    parts.append(shown)
    if table.note:
        parts.append(Text(table.note, style="dim"))
    return Group(*parts)
