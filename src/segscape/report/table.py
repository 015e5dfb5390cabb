"""The table of a report: which columns, with which units, and what is best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import RenderableType

from segscape.config.training import LATENCY, SCORE
from segscape.profiling.si_units import NONE
from segscape.report.comparability import protocol, shared
from segscape.report.figure_keys import figure_keys, kind, label, resolve, scale
from segscape.report.records import Collection, Effect
from segscape.report.rows import Row, rows, sort, sort_key, way_of

_ALWAYS = (SCORE, LATENCY, "model/macs", "model/params")
_SHORT = {"parameters": "params", "latency p50": "p50"}
_DIGITS = {"share": 2, "count": 3, "ms": 2, "number": 6}
_GAP = 2


@dataclass(frozen=True)
class Cell:
    """A text; `spread` is its standard deviation, if there is one."""

    text: str
    spread: str = ""
    best: bool = False


@dataclass(frozen=True)
class Column:
    """A heading and one cell a line; `number` where they are figures."""

    heading: str
    cells: Sequence[Cell]
    number: bool = False

    @property
    def width(self) -> int:
        """In characters, with the gap to the next one."""
        return max([len(self.heading), *(len(plain(cell)) for cell in self.cells)]) + _GAP


@dataclass(frozen=True)
class Table:
    """What every format shows.

    Attributes:
        columns: from left to right.
        note: what `*` means, and what all figures were taken under.
        common: options that all runs share.
    """

    columns: Sequence[Column]
    note: str
    common: str = ""

    @property
    def headings(self) -> list[str]:
        """Of the columns."""
        return [column.heading for column in self.columns]

    @property
    def lines(self) -> list[tuple[Cell, ...]]:
        """Cells of each line, one per column."""
        return list(zip(*(column.cells for column in self.columns), strict=True))


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
    lines = sort(rows(collection, group_seeds), by, collection.objectives)
    keys, needed = _figures(collection, lines, by, columns)
    marks = [_texts("", ["*" if row.on_front else "" for row in lines])]
    left = _identity(lines)
    seeds = [_texts("seeds", [str(row.count) for row in lines], True)] if group_seeds else []
    figures = [
        _figure_column(key, way_of(key, collection.objectives), lines, width is not None)
        for key in keys
    ]
    equal = {row.state for row in lines} in ({"finished"}, {"unknown"})
    state = [] if equal else [_texts("state", [row.state for row in lines])]
    while width is not None and width < sum(
        column.width for column in (*marks, *left, *seeds, *figures, *state)
    ):
        if len(keys) <= 1 or keys[-1] in needed:
            left = [_one_column(lines, left)]
            break
        keys.pop()
        figures.pop()
    choices = shared([run.choices for run in collection.runs])
    return Table(
        columns=[*marks, *left, *seeds, *figures, *state],
        note=_note(collection, lines, group_seeds, keys),
        common=" ".join(f"{k}={option}" for k, option in choices.items() if option != "default"),
    )


def _texts(heading: str, texts: Sequence[str], number: bool = False) -> Column:
    return Column(heading, [Cell(text) for text in texts], number)


def plain(cell: Cell) -> str:
    """A cell without any mark-up."""
    return f"{cell.text} ± {cell.spread}" if cell.spread else cell.text


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


def _identity(lines: Sequence[Row]) -> list[Column]:
    """The columns of what varies; the name too, where that leaves lines alike."""
    names = list(lines[0].marks) if lines else []
    columns = [_texts(name, [row.marks[name] for row in lines], name == "seed") for name in names]
    marks = [tuple(row.marks.values()) for row in lines]
    unclear = len(set(marks)) < len(marks) or any(not any(each) for each in marks)
    return [_texts("run", [row.name for row in lines]), *columns] if unclear else columns


def _one_column(lines: Sequence[Row], left: Sequence[Column]) -> Column:
    """What varies in one column that may be folded, where single ones would be too wide."""
    if any(column.heading == "run" for column in left):
        return _texts("run", [row.name for row in lines])
    marks = [" ".join(f"{key}={value}" for key, value in row.marks.items()) for row in lines]
    return _texts("run", marks)


# -- figures -----------------------------------------------------------------------------------


def _figure_column(key: str, way: str | None, lines: Sequence[Row], short: bool) -> Column:
    """A figure's heading with its unit, and its cells in that unit."""
    values = [row.figures.get(key) for row in lines]
    divisor, unit, digits = _format(key, [value for value in values if value is not None])
    texts = [NONE if value is None else f"{value / divisor:.{digits}f}" for value in values]
    best = _best(key, way, lines, texts)
    cells = []
    for row, text in zip(lines, texts, strict=True):
        spread = row.spreads.get(key, 0.0)
        # Parameters and MACs are the same in all seeds.
        differs = key in row.figures and spread > 1e-9 * abs(row.figures[key])
        shown = f"{spread / divisor:.{digits}f}" if differs else ""
        cells.append(Cell(text, shown, row.done and text == best))
    return Column(_heading(key, unit, short), cells, number=True)


def _heading(key: str, unit: str, short: bool) -> str:
    words = label(key, unit=False)
    words = _SHORT.get(words, words) if short else words
    return f"{words} ({unit})" if unit else words


def _format(key: str, values: Sequence[float]) -> tuple[float, str, int]:
    """Divisor, unit and decimals that suit a column."""
    known = [abs(value) for value in values if value]
    what = kind(key)
    divisor, unit = scale(key, known)
    whole = what == "number" and all(value == int(value) for value in known)
    if what == "share":
        return divisor, unit, 2
    if not known or whole or (what == "count" and not unit):
        return divisor, unit, 0
    # So many that the smallest value has three digits.
    digits = 2 - math.floor(math.log10(min(known) / divisor))
    return divisor, unit, max(0, min(_DIGITS[what], digits))


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


# -- effects ---------------------------------------------------------------------------------------


def effects_table(collection: Collection, width: int | None = None) -> Table | None:
    """Marginal mean and interval of every option; None without effects.

    Args:
        collection: the runs.
        width: characters that there are; figures that have no room are left out.
    """
    by: dict[tuple[str, str], dict[str, Effect]] = {}
    figures: dict[str, list[float]] = {}
    for effect in collection.effects:
        by.setdefault((effect.factor, effect.option), {})[effect.figure] = effect
        figures.setdefault(effect.figure, []).append(effect.mean)
    if not by:
        return None
    counts = [str(max(effect.runs for effect in found.values())) for found in by.values()]
    columns = [
        _texts("choice", [factor for factor, _ in by]),
        _texts("option", [option for _, option in by]),
        _texts("runs", counts, True),
    ]
    for figure, means in figures.items():
        divisor, unit, digits = _format(figure, means)
        cells = [_effect_cell(found.get(figure), divisor, digits) for found in by.values()]
        columns.append(Column(_heading(figure, unit, width is not None), cells, number=True))
    while width is not None and len(columns) > 4 and sum(c.width for c in columns) > width:
        columns.pop()
    note = "Marginal means ± half of the 95 % interval over the same partners."
    if any(not effect.balanced for effect in collection.effects):
        note += " ~ the options met different partners: not to be compared."
    return Table(columns, note)


def _effect_cell(effect: Effect | None, divisor: float, digits: int) -> Cell:
    if effect is None:
        return Cell(NONE)
    half = 0.0 if effect.high is None else effect.high - effect.mean
    rounding = 1e-9 * abs(effect.mean)  # an interval that is a rounding error is none
    sign = "" if effect.balanced else "~"
    return Cell(
        f"{sign}{effect.mean / divisor:.{digits}f}",
        f"{half / divisor:.{digits}f}" if half > rounding else "",
    )


# -- terminal --------------------------------------------------------------------------------------


def render(table: Table, title: str = "") -> RenderableType:
    """A table for a rich console."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        shown.add_column(
            column.heading,
            justify="right" if column.number else "left",
            header_style="dim",
            no_wrap=column.number,
            overflow="fold",
        )
    for line in table.lines:
        shown.add_row(*(Text(plain(cell), style="bold" if cell.best else "") for cell in line))
    heading = Text(title, style="bold") if title else None
    common = Text(table.common, style="dim") if table.common else None
    note = Text(table.note, style="dim") if table.note else None
    return Group(*(part for part in (heading, common, shown, note) if part is not None))
