"""New trials: what the sampler proposes, less what cannot run and what was there before."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from optuna.trial import Trial, TrialState

from segscape.config.identity import design
from segscape.config.override_text import Point
from segscape.errors import UserError
from segscape.sweep.memory.directory import Job, Planned, SweepDirectory
from segscape.sweep.search.sampling import mixed
from segscape.sweep.search.space import Space
from segscape.sweep.search.study import Study, before
from segscape.sweep.settings import SweepSettings

# So often a sampler may repeat itself before something new is chosen for it.
_PATIENCE = 20
_BEFORE = "the sampler proposed it before"
# So many points of a finite space are tried for something new.
_LOOKED_AT = 500
_LISTED = 20_000
# What cannot work is reported as a bad result as long as there are enough good ones beside it.
_BAD_PER_GOOD = 5

PlanPoints = Callable[[Sequence[Mapping[str, str]]], Any]


@dataclass(frozen=True)
class Proposal:
    """A trial that is to be run.

    Attributes:
        number: of the trial.
        point: the values of its parameters, as typed.
        jobs: one for each seed.
        before: numbers that it had before it was put in line again.
    """

    number: int
    point: Point
    jobs: Sequence[Job]
    before: Collection[int] = ()


class Proposer:
    """Draws from the sampler until a design is new, can work and fits the budget.

    Args:
        sweep: gets the jobs.
        study: of the search.
        space: to search.
        plan: checks points: `plan.check.plan` for the common overrides and settings.
        settings: trials, seeds, seed.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        study: Study,
        space: Space,
        plan: PlanPoints,
        settings: SweepSettings,
    ) -> None:
        self.sweep, self.study, self.space, self._plan = sweep, study, space, plan
        self.settings = settings
        self.ended: str | None = None
        self.refusals: Counter[str] = Counter()
        self._useless: set[tuple[tuple[str, str], ...]] = set()
        self._all_seen = False

    def next(self) -> Proposal | None:
        """The next trial to run; None when there are enough, or nothing is left (`ended`).

        Raises:
            UserError: nothing that was proposed could work.
        """
        refused = 0
        while True:
            with self.sweep.lock():
                enough = len(self.study.counted()) >= self.settings.trials
                if (enough or self.ended) and not self.study.unfinished(TrialState.WAITING):
                    return None
                trial = self.study.ask()
            if self.study.too_many(trial.number, self.settings.trials):
                self.study.interrupt(trial.number, "others had begun the last ones")
                return None
            found = self._considered(trial)
            if found is not None:
                return found
            refused += 1
            if refused >= _PATIENCE:
                self._help()

    def planned(self, point: Point) -> tuple[list[Planned], str | None]:
        """The jobs of a point, or why there are none."""
        seeds = self.settings.seeds
        points = [{**point, "seed": str(seed)} for seed in seeds] if seeds else [point]
        found = self._plan(points)
        if found.rejected:
            return [], str(found.rejected[0].reason)
        if found.unfit:
            return [], f"outside of sweep.where={self.settings.where!r}"
        return list(found.planned), None

    def _considered(self, trial: Trial) -> Proposal | None:
        """A proposal out of a trial, or None: then the trial was given up."""
        # One that was put in line again has its parameters, and gives the same point and jobs.
        number, point = trial.number, self.space.suggest(trial)
        with self.sweep.lock():
            # In one step: of two searchers that draw the same, one runs it.
            self.study.note(number, point=point)
            repeated = _frozen(point) in self._tried(besides=number)
        if repeated:
            return self._refuse(number, _BEFORE)
        planned, reason = self.planned(point)
        if reason is not None:
            return self._refuse(number, reason, bad=self._may_be_reported())
        identity = design(planned[0].config)
        with self.sweep.lock():
            for other in self.study.counted():
                if other.user_attrs.get("design") == identity and other.number != number:
                    return self._refuse(number, f"the same design as trial {other.number}")
            jobs = self.sweep.add(planned)
            self.study.note(number, design=identity, jobs=[job.id for job in jobs])
        return Proposal(number, point, jobs, before(self.study.trial(number)))

    def _refuse(self, number: int, reason: str, bad: bool = False) -> Proposal | None:
        self.refusals[reason] += 1
        self.study.refuse(number, reason, bad)
        return None

    def _may_be_reported(self) -> bool:
        """Whether the sampler may learn from one more design that cannot work.

        Without any of them a sampler would propose nothing else: it prefers regions without
        results. With too many, TPE would count them among its best tenth.
        """
        bad = sum("bad" in each.user_attrs for each in self.study.all())
        return bad < _BAD_PER_GOOD * len(self.study.complete())

    def _tried(self, besides: int | None = None) -> set[tuple[tuple[str, str], ...]]:
        """Points of all trials that were planned: neither interrupted before, nor repetitions."""
        return {
            _frozen(each.user_attrs["point"])
            for each in self.study.all()
            if "point" in each.user_attrs
            and "interrupted" not in each.user_attrs
            and each.user_attrs.get("refused") != _BEFORE
            and each.number != besides
        }

    def _help(self) -> None:
        """Put something new in line for a sampler that finds nothing, or end."""
        fresh = self._untried()
        if fresh is not None:
            self.study.enqueue(self.space.values(fresh))
        elif self.study.counted():
            self.ended = "every design of the space that can work has been tried"
            if not self._all_seen:
                self.ended = f"none of {_LOOKED_AT} further points can work, fits and is new"
        else:
            listed = [text for text, _ in self.refusals.most_common(5) if text != _BEFORE]
            raise UserError(
                f"none of {sum(self.refusals.values())} proposals could be run: "
                f"{'; '.join(listed)}",
                "is the space right, or sweep.where too narrow?",
            )

    def _untried(self) -> Point | None:
        """A point that no trial has had and that can work, at random."""
        tried = self._tried() | self._useless
        rng = Random(mixed(self.settings.seed, len(tried)))
        listed = list(itertools.islice(self.space.points(), _LISTED)) if self.space.finite else []
        if 0 < len(listed) < _LISTED:
            points = [point for point in listed if _frozen(point) not in tried]
            rng.shuffle(points)
            self._all_seen = len(points) <= _LOOKED_AT
        else:
            points = [self.space.random(rng) for _ in range(_LOOKED_AT)]
        seen = {each.user_attrs.get("design") for each in self.study.counted()}
        for point in points[:_LOOKED_AT]:
            planned, reason = self.planned(point)
            if reason is None and design(planned[0].config) not in seen:
                return point
            self.refusals[reason or "the same design as another"] += 1
            self._useless.add(_frozen(point))
        return None


def _frozen(point: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(point.items()))
