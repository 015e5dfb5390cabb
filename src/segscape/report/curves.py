"""Learning curves as they fit into the page: whole where they are few, else fewer points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from segscape.report.records import Run

Column = Sequence[float | None]

#: Numbers in all curves together, about 0.9 MB.
BUDGET = 130_000
_ENOUGH = 30
_FEWEST = 16


def fitting(runs: Sequence[Run], budget: int = BUDGET) -> tuple[list[dict[str, Column]], list[str]]:
    """The curves of every run, within a budget.

    Of long trainings some points are left out. Where too few would be left, the curves of single
    classes and of parts of the loss go, and the others keep more points.

    Args:
        runs: whose curves.
        budget: numbers in all of them together.

    Returns:
        The curves by column, and sentences on what was left out.
    """
    curves = [dict(run.curves) for run in runs]
    if _numbers(curves) <= budget:
        return curves, []
    notes = []
    if _points(curves, budget) < _ENOUGH:
        whole = [{key: each[key] for key in each if key.count("/") < 2} for each in curves]
        if whole != curves:
            notes.append("Curves of single classes and of parts of the loss are not in this page.")
        curves = whole
    if _numbers(curves) > budget:
        most = max(_FEWEST, _points(curves, budget))
        curves = [_thinned(each, most) for each in curves]
        notes.append(f"Curves have at most {most} of their points, the best mIoU among them.")
    return curves, notes


def _numbers(curves: Sequence[Mapping[str, Column]]) -> int:
    return sum(len(column) for each in curves for column in each.values())


def _points(curves: Sequence[Mapping[str, Column]], budget: int) -> int:
    """How many points each curve may have if all have as many."""
    return budget // sum(len(each) for each in curves)


def _thinned(curves: Mapping[str, Column], most: int) -> dict[str, Column]:
    """The same rows of all columns: evenly, and the best of each mIoU and the last besides."""
    rows = max((len(column) for column in curves.values()), default=0)
    if rows <= most:
        return dict(curves)
    always = {rows - 1, *(_best(each) for key, each in curves.items() if key.endswith("/miou"))}
    count = most - len(always)
    kept = sorted(always | {index * rows // count for index in range(count)})
    return {
        key: [column[index] if index < len(column) else None for index in kept]
        for key, column in curves.items()
    }


def _best(column: Column) -> int:
    """Index of the highest value; the first where there is none."""
    known = [(-math.inf if value is None else value) for value in column]
    return max(range(len(known)), key=known.__getitem__, default=0)
