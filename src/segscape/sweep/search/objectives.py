"""What a search is to find: figures of a run to be made large or small, and bounds on them."""

from __future__ import annotations

import math
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segscape.config.training import SCORE
from segscape.errors import UserError, unknown
from segscape.runs.run_directory import RunDirectory

_KNOWN = (
    *(f"val/{name}" for name in ("miou", "pixel_accuracy", "class_accuracy", "boundary_iou")),
    *("val/loss", "train/loss", "train/images_per_second", "train/data_wait"),
    *(f"model/{name}" for name in ("params", "macs", "flops")),
    *(f"latency/{name}" for name in ("p50_ms", "p90_ms", "p99_ms", "fps", "to_mask_p50_ms")),
)
_OPEN = ("val/iou/", "train/loss/", "model/params/", "model/macs/")
_LIMIT = re.compile(r"\s*(?P<key>[^<>=]+?)\s*(?P<sign><=|>=|<|>)\s*(?P<bound>[-+.\deE_]+)\s*")


@dataclass(frozen=True)
class Constraint:
    """A bound on a measured figure, e.g. `latency/p50_ms<20`.

    Attributes:
        key: of the figure.
        sign: `<`, `<=`, `>` or `>=`.
        bound: the number.
    """

    key: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.key}{self.sign}{self.bound:g}"

    def violation(self, figure: float) -> float:
        """How far a figure is beyond the bound, as a share of it; 0 or less is within.

        A bound without `=` is itself outside, by next to nothing.
        """
        over = figure - self.bound if self.sign[0] == "<" else self.bound - figure
        if over == 0 and not self.sign.endswith("="):
            return sys.float_info.epsilon
        return over / (abs(self.bound) or 1.0)

    def holds(self, figure: float) -> bool:
        """Whether a figure is within."""
        return self.violation(figure) <= 0


def read_constraints(texts: Sequence[str]) -> list[Constraint]:
    """Read `sweep.constraints`.

    Raises:
        UserError: one is not `KEY<NUMBER`, or its key is no figure of a run.
    """
    found = []
    for text in texts:
        match = _LIMIT.fullmatch(str(text))
        try:
            bound = float(match["bound"]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or math.isnan(bound):
            raise UserError(
                f"sweep.constraints: {text!r} cannot be read",
                "write KEY<NUMBER (or <=, >, >=), e.g. 'latency/p50_ms<20'; what is known "
                "without training goes into sweep.where",
            )
        _check_key(match["key"], "sweep.constraints")
        found.append(Constraint(match["key"], match["sign"], bound))
    return found


def check_objectives(objectives: Sequence[tuple[str, str]]) -> None:
    """Refuse keys that no run would have.

    Raises:
        UserError: with the nearest key.
    """
    if not objectives:
        raise UserError("sweep.objectives is empty", "e.g. sweep.objectives=[max:val/miou]")
    for _, key in objectives:
        _check_key(key, "sweep.objectives")
    if len({key for _, key in objectives}) < len(objectives):
        raise UserError("sweep.objectives names a figure twice")


def _check_key(key: str, where: str) -> None:
    if key in _KNOWN or (key.startswith(_OPEN) and not key.endswith("/")):
        return
    known = [*_KNOWN, *(f"{name}..." for name in _OPEN)]
    raise unknown(f"{where}: a run has no figure {key}", key, known, label="figures")


def check_measured(keys: Iterable[str], profile: Mapping[str, Any]) -> None:
    """Refuse figures that the runs are configured not to measure.

    Args:
        keys: of objectives and constraints.
        profile: the group `profile` of the runs.

    Raises:
        UserError: with what measures them.
    """
    enabled = profile.get("enabled", True)
    timed = enabled and profile.get("latency", True)
    switch = "profile.latency" if enabled else "profile.enabled"
    for key in keys:
        if (key.startswith("latency/") and not timed) or (key.startswith("model/") and not enabled):
            raise UserError(
                f"the search is to judge by {key}, and {switch}=false does not measure it",
                "leave it out, or give other sweep.objectives and sweep.constraints",
            )


def pruning_metric(objectives: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """The objective of a pruner: the first that every validation measures."""
    for direction, key in objectives:
        if key.startswith("val/"):
            return direction, key
    return "max", SCORE


def best_row(run: RunDirectory) -> dict[str, Any]:
    """The figures of a run's best checkpoint: the first row with the highest val/miou."""
    best: dict[str, Any] = {}
    for row in run.read_metrics():
        score, before = row.get(SCORE), best.get(SCORE)
        if not best or (score is not None and (before is None or score > before)):
            best = row
    return best


def curve(run: RunDirectory, key: str) -> dict[int, float]:
    """A figure by number of the validation, from 1; validations without it are left out."""
    rows = run.read_metrics()
    return {
        number: float(row[key])
        for number, row in enumerate(rows, start=1)
        if isinstance(row.get(key), int | float)
    }


def mean(values: Iterable[float]) -> float:
    """The mean over seeds."""
    return statistics.fmean(values)


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation over seeds; None for a single one."""
    return statistics.stdev(values) if len(values) > 1 else None


def missing(found: Mapping[str, Any], keys: Iterable[str]) -> list[str]:
    """The keys for which there is no number."""
    return [
        key
        for key in keys
        if not isinstance(found.get(key), int | float) or not math.isfinite(found[key])
    ]
