"""Which combinations can be run: composed, checked and costed before the first submission."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from segscape import preflight
from segscape.config import files
from segscape.config.composer import Composer
from segscape.config.override_text import key_of, parsed, plain, typed
from segscape.errors import UserError
from segscape.profiling.designs import DesignCost
from segscape.sweep.memory.directory import Planned
from segscape.sweep.plan.costing import Costs
from segscape.sweep.plan.where import Condition, read
from segscape.sweep.settings import SweepSettings


@dataclass(frozen=True)
class Rejection:
    """A combination that cannot work.

    Attributes:
        overrides: what distinguishes it from the others.
        reason: why.
        hint: what would do instead, or "".
        varied: the axes and their values.
    """

    overrides: tuple[str, ...]
    reason: str
    hint: str = ""
    varied: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Unfit:
    """A combination outside of the budget `sweep.where`.

    Attributes:
        overrides: what distinguishes it from the others.
        cost: its `params` and `macs`.
        varied: the axes and their values.
    """

    overrides: tuple[str, ...]
    cost: Mapping[str, int]
    varied: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The result of the check of the points of a sweep.

    Attributes:
        planned: may be run, in the order of the points.
        rejected: cannot work.
        unfit: could work and are outside of the budget.
        notes: remarks on the figures for the user, in sentences.
    """

    planned: list[Planned]
    rejected: list[Rejection]
    unfit: list[Unfit]
    notes: tuple[str, ...] = ()


def plan(
    points: Sequence[Mapping[str, str]],
    common: Sequence[str],
    settings: SweepSettings,
    composer: Composer | None = None,
) -> Plan:
    """Compose, check and cost every point, as its training would, without training it.

    Args:
        points: values in Hydra's notation by key, as `grid.expand` gives them.
        common: overrides that all points share.
        settings: `where` is read.
        composer: by default one that has read the yaml files as they are now.

    Raises:
        UserError: what is wrong for all points: an unknown option, key or name in `where`.
    """
    _require_options(points)
    _require_apart(points, common)
    composer, costs = composer or Composer(), _costs()
    costs.notes.clear()
    checked = _Checked(composer, costs, list(common), [], [])
    checked.require_common(points)
    for point in points:
        checked.add(point)
    planned, unfit = [], []
    condition = _condition(settings.where, checked.candidates)
    for one in checked.candidates:
        if condition is None or checked.fits(one, condition):
            planned.append(one.planned)
        elif one.cost is not None:
            unfit.append(Unfit(one.overrides, one.planned.cost, one.planned.varied))
    return Plan(planned, checked.rejected, unfit, tuple(costs.notes))


@dataclass(frozen=True)
class _Candidate:
    planned: Planned
    overrides: tuple[str, ...]
    cost: DesignCost | None

    def values(self) -> dict[str, Any]:
        """The figures and choices that a condition may use, by name."""
        nodes = dict(_scalars(self.planned.config))
        choices = {k: v for k, v in self.planned.choices.items() if not k.startswith("hydra/")}
        return {**nodes, **choices, **self.planned.varied, **_figures(self.cost)}


@dataclass
class _Checked:
    """Candidates and rejections, as points are added."""

    composer: Composer
    costs: Costs
    common: list[str]
    candidates: list[_Candidate]
    rejected: list[Rejection]

    def require_common(self, points: Sequence[Mapping[str, str]]) -> None:
        """A mistake that all points share is one error, not one for each point."""
        ends = [points[0], points[-1]] if points else []
        found = [error for error in map(self._mistake, ends) if error is not None]
        if not found or len(found) < len(ends):
            return
        alone = self._mistake({})
        if alone is not None and all(str(alone) == str(error) for error in found):
            raise alone
        key = _unknown_axis(found[0], points[0])
        if key is not None and self._is_unknown_everywhere(key, points):
            raise found[0]

    def _is_unknown_everywhere(self, key: str, points: Sequence[Mapping[str, str]]) -> bool:
        """Whether no point has this axis. Which keys there are depends on the options chosen."""
        known = files.groups()
        alike = {tuple((k, v) for k, v in p.items() if k in known): p for p in points}
        for point in alike.values():
            error = self._mistake(point)
            if error is None or _unknown_axis(error, point) != key:
                return False
        return True

    def _mistake(self, point: Mapping[str, str]) -> UserError | None:
        """The error that the configuration shows without building the network."""
        whole = [*self.common, *_overrides(point)]
        try:
            composed, _ = self.composer.compose(whole)
            preflight.check_config(composed, whole)
            _require_folder(composed)
        except UserError as error:
            return error
        return None

    def add(self, point: Mapping[str, str]) -> None:
        """Check one point."""
        own = tuple(_overrides(point))
        varied = {plain(key): typed(value) for key, value in point.items()}
        whole = [*self.common, *own]
        try:
            composed, choices = self.composer.compose(whole)
            preflight.check_config(composed, whole)
            _require_folder(composed)
            cost = self.costs.of(composed)
            self.costs.require_trainable(composed)
        except UserError as error:
            self.rejected.append(Rejection(own, error.what, error.hint or "", varied))
            return
        figures = {} if cost is None else {"params": cost.params, "macs": cost.macs}
        planned = Planned(composed, tuple(whole), choices, varied, figures)
        self.candidates.append(_Candidate(planned, own, cost))

    def fits(self, one: _Candidate, condition: Condition) -> bool:
        """Whether a candidate meets the budget; one that cannot be compared is rejected."""
        if one.cost is None and {*condition.names} & {*_FIGURES}:
            reason = "its parts cannot be counted, so that sweep.where cannot judge it"
            self.rejected.append(Rejection(one.overrides, reason, "", one.planned.varied))
            return False
        return condition.holds(one.values())


def _unknown_axis(error: UserError, point: Mapping[str, str]) -> str | None:
    """The axis whose key an error reports not to exist."""
    key, _, reason = error.what.partition(": ")
    return key if "no such" in reason and key in map(plain, point) else None


def _require_folder(config: Mapping[str, Any]) -> None:
    """The folder of the data may be on other machines only, but it has to be named."""
    data = config.get("data")
    if isinstance(data, Mapping) and "root" in data and data["root"] is None:
        raise UserError("the data set is read from a folder: data.root=DIR is needed")


_PARTS = ("encoder", "context", "decoder", "fusion", "head")
_FIGURES = (
    *("macs", "flops", "params"),
    *(f"{figure}_{part}" for part in _PARTS for figure in ("macs", "params")),
)


def _figures(cost: DesignCost | None) -> dict[str, int]:
    if cost is None:
        return {}
    found = {"macs": cost.macs, "flops": cost.flops, "params": cost.params}
    for name, one in cost.parts.items():
        found |= {f"macs_{name}": one.macs, f"params_{name}": one.params}
    return found


def _condition(where: str | None, candidates: Sequence[_Candidate]) -> Condition | None:
    if not where or not candidates:
        # Still read, so that a mistake is found.
        return read(where) and None if where else None
    known = dict.fromkeys(_FIGURES)
    for one in candidates:
        known |= dict.fromkeys(one.planned.varied)
    for one in candidates:
        known |= dict.fromkeys(one.values())
    return read(where, known)


def _scalars(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    found = []
    for key, value in node.items():
        if isinstance(value, Mapping):
            found += _scalars(value, f"{prefix}{key}.")
        elif not isinstance(value, list):
            found.append((f"{prefix}{key}", value))
    return found


def _overrides(point: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in point.items()]


def _require_options(points: Sequence[Mapping[str, str]]) -> None:
    """An option that does not exist is a mistake, not a combination that cannot work."""
    known = files.groups()
    wanted = {(k, v): None for point in points for k, v in point.items() if k in known}
    for group, value in wanted:
        option = typed(value)
        # Hydra takes no null and no number for the name of an option.
        if not isinstance(option, list) and option not in known[group]:
            raise files.unknown_option(group, value, known[group])


def _require_apart(points: Sequence[Mapping[str, str]], common: Sequence[str]) -> None:
    shared = {key_of(parsed(text)): text for text in common}
    for point in points:
        for key, value in point.items():
            if key in shared:
                raise UserError(
                    f"{shared[key]} is set for all jobs, and {key}={value} for some",
                    "leave it out in one of the two places",
                )


@lru_cache(maxsize=1)
def _costs() -> Costs:
    """Kept, since a search plans point by point."""
    return Costs()
