"""What a search found: the Pareto front, or the best design, as a table and in front.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial
from rich.table import Table

from segscape.runs.files import write_json
from segscape.runs.pareto import front
from segscape.sweep.search.objectives import Constraint

_SCALES = {"model/macs": (1e9, "GMACs"), "model/flops": (1e9, "GFLOPs"), "model/params": (1e6, "M")}


def winners(
    trials: Sequence[FrozenTrial],
    objectives: Sequence[tuple[str, str]],
    constraints: Sequence[Constraint],
) -> list[FrozenTrial]:
    """The trials that no other beats, best in the first objective first.

    Args:
        trials: complete ones.
        objectives: (direction, key) each.
        constraints: a trial outside of one is left out.
    """
    within = [each for each in trials if _is_within(each, constraints)]
    chosen = front([each.values for each in within], [way for way, _ in objectives])
    sign = -1 if objectives[0][0] == "max" else 1
    return sorted((within[index] for index in chosen), key=lambda each: sign * each.values[0])


def _is_within(trial: FrozenTrial, constraints: Sequence[Constraint]) -> bool:
    figures = trial.user_attrs.get("figures", {})
    return all(each.holds(figures[each.key]["mean"]) for each in constraints)


def write_front(
    path: Path,
    found: Sequence[FrozenTrial],
    objectives: Sequence[tuple[str, str]],
    constraints: Sequence[Constraint],
    counts: Mapping[str, int],
) -> None:
    """Write front.json.

    Args:
        path: of the file.
        found: the winners.
        objectives: (direction, key) each.
        constraints: measured constraints.
        counts: trials by how they ended.
    """
    write_json(
        path,
        {
            "objectives": [f"{way}:{key}" for way, key in objectives],
            "constraints": [str(each) for each in constraints],
            "trials": dict(counts),
            "front": [
                {
                    "trial": each.number,
                    "point": each.user_attrs["point"],
                    "jobs": each.user_attrs["jobs"],
                    "values": list(each.values),
                    "figures": each.user_attrs["figures"],
                }
                for each in found
            ],
        },
    )


def table(
    found: Sequence[FrozenTrial],
    objectives: Sequence[tuple[str, str]],
    constraints: Sequence[Constraint],
    title: str,
) -> Table:
    """The winners, one a row: what was chosen, and the figures with their spread over seeds."""
    keys = list(
        dict.fromkeys([*(key for _, key in objectives), *(each.key for each in constraints)])
    )
    shown = Table(title=title, title_justify="left")
    shown.add_column("trial", justify="right")
    parameters = list(dict.fromkeys(name for each in found for name in each.user_attrs["point"]))
    for name in parameters:
        shown.add_column(name, overflow="fold")
    for key in keys:
        unit = _SCALES.get(key, (1.0, ""))[1]
        shown.add_column(
            f"{key} [{unit}]".replace("[", r"\[") if unit else key, justify="right", no_wrap=True
        )
    for each in found:
        point, figures = each.user_attrs["point"], each.user_attrs["figures"]
        cells = [metric_text(key, figures.get(key)) for key in keys]
        shown.add_row(str(each.number), *(point.get(name, "-") for name in parameters), *cells)
    return shown


def metric_text(key: str, figure: Mapping[str, Any] | None) -> str:
    """A figure with its standard deviation over seeds, e.g. `0.6120 ± 0.0034`."""
    if figure is None:
        return "-"
    scale = _SCALES.get(key, (1.0, ""))[0]
    mean, spread = figure["mean"] / scale, figure["std"]
    digits = 2 if abs(mean) >= 1 else 4
    text = f"{mean:.{digits}f}"
    return text if not spread else f"{text} ± {spread / scale:.{digits}f}"
