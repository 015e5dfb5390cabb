"""Lines of a table: one for each run, or one for each design with mean and spread over seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from segscape.errors import UserError, unknown
from segscape.report.effects import factors
from segscape.report.figure_keys import direction, figure_keys, resolve, short_list, split_direction
from segscape.report.records import Collection, Run
from segscape.runs.pareto import front


@dataclass(frozen=True)
class Row:
    """What is shown of a run, or of the runs of a design.

    Attributes:
        name: readable.
        ids: of the runs.
        marks: option or value of everything that varies, e.g. {"fusion": "add", "seed": "2"}.
        state: of the run; of a design how many are finished.
        count: how many of them are finished. Figures are those of the finished ones, where there
            are any.
        done: whether the figures are final.
        figures: numbers by key, or means.
        spreads: standard deviations over the runs, where there are several.
        on_front: whether no other line beats it.
    """

    name: str
    ids: tuple[str, ...]
    marks: Mapping[str, str]
    state: str
    count: int
    done: bool
    figures: Mapping[str, float]
    spreads: Mapping[str, float] = field(default_factory=dict)
    on_front: bool = False


def marks_of(collection: Collection) -> list[str]:
    """Groups and keys that distinguish the runs; what a model or a recipe sets is left out."""
    return [factor.name for factor in factors(collection.runs, collection.varied())]


def rows(collection: Collection, group_seeds: bool = False) -> list[Row]:
    """The lines, in the order of the runs.

    Args:
        collection: the runs.
        group_seeds: one line for all runs that differ in their seed only; the front is then that
            of the means.
    """
    names = marks_of(collection)
    if group_seeds:
        lines = _designs(collection.runs, names)
        objectives = collection.objectives
        points = [
            [row.figures.get(k) if row.done else None for _, k in objectives] for row in lines
        ]
        best = front(points, [way for way, _ in objectives])
        return [replace(row, on_front=index in best) for index, row in enumerate(lines)]
    seeds = {run.seed for run in collection.runs}
    return [
        Row(
            name=run.name,
            ids=(run.id,),
            marks=_marks(run, [*names, "seed"] if len(seeds) > 1 else names),
            state=run.state,
            count=1,
            done=run.done,
            figures=run.figures,
            on_front=run.id in collection.front,
        )
        for run in collection.runs
    ]


def _marks(run: Run, names: Sequence[str]) -> dict[str, str]:
    seed = "" if run.seed is None else str(run.seed)
    return {name: run.value(name) or (seed if name == "seed" else "") for name in names}


def _designs(runs: Sequence[Run], names: Sequence[str]) -> list[Row]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        # a run scored over another split is not another seed
        groups.setdefault((run.design, run.environment.get("split", "")), []).append(run)
    return [_design(members, names) for members in groups.values()]


def _design(members: Sequence[Run], names: Sequence[str]) -> Row:
    done = [run for run in members if run.done]
    counted = done or members
    values = {
        key: [run.figures[key] for run in counted if key in run.figures]
        for key in figure_keys(counted)
    }
    state = "finished" if len(done) == len(members) else f"{len(done)} of {len(members)} finished"
    return Row(
        name=_common_name([run.name for run in members]),
        ids=tuple(run.id for run in members),
        marks=_marks(members[0], names),
        state=state if len(members) > 1 else members[0].state,
        count=len(done),
        done=bool(done),
        figures={key: math.fsum(each) / len(each) for key, each in values.items()},
        spreads={key: statistics.stdev(each) for key, each in values.items() if len(each) > 1},
    )


def _common_name(names: Sequence[str]) -> str:
    """The words that all names share, without the seed."""
    words = [name.split(" ") for name in names]
    kept = [
        word
        for word in words[0]
        if all(word in other for other in words) and not word.startswith("seed=")
    ]
    return " ".join(kept) or names[0]


def sort(lines: Sequence[Row], by: str | None, objectives: Sequence[tuple[str, str]]) -> list[Row]:
    """Best first; lines without the value, and then those that are not finished, at the end.

    Args:
        lines: to be sorted.
        by: a figure's key (max:KEY or min:KEY for the direction), `name`, `state`, or
            something that varies; None: the first objective.
        objectives: of the collection.

    Raises:
        UserError: there is no such key.
    """
    way, key = sort_key(lines, by, objectives)
    if way is None:
        return sorted(lines, key=lambda row: _text_order(row, key))

    def order(row: Row) -> tuple[bool, bool, float]:
        value = row.figures.get(key)
        signed = 0.0 if value is None else -value if way == "max" else value
        return (not row.done, value is None, signed)

    return sorted(lines, key=order)


def sort_key(
    lines: Sequence[Row], by: str | None, objectives: Sequence[tuple[str, str]]
) -> tuple[str | None, str]:
    """What lines are sorted by: which way is better (None for texts), and the key.

    Args:
        lines: to be sorted.
        by: as typed.
        objectives: whose directions count, and whose first is taken where `by` is None.

    Raises:
        UserError: there is no such key.
    """
    if by is None:
        return objectives[0]
    texts = ["name", "state", *(mark for row in lines[:1] for mark in row.marks)]
    if by in texts:
        return None, by
    given, name = split_direction(by)
    keys = list({key: None for row in lines for key in row.figures})
    try:
        key = resolve(name, keys)
    except UserError as error:
        shown = [*texts, *short_list(keys)]
        raise unknown(f"--sort {by}: {error.what}", by, [*texts, *keys], shown=shown) from error
    return given or way_of(key, objectives) or "min", key


def way_of(key: str, objectives: Sequence[tuple[str, str]]) -> str | None:
    """Which direction is better: that of the objectives, else that of the key."""
    return {name: way for way, name in objectives}.get(key) or direction(key)


def _text_order(row: Row, key: str) -> tuple[float, str]:
    text = {"name": row.name, "state": row.state}.get(key, row.marks.get(key, ""))
    try:
        return float(text), ""
    except ValueError:
        return math.inf, text
