"""The study: what was tried, by whom, and with what result, in a journal or a database.

Every trial says in its attributes whose it is (`owner`), what it runs (`jobs`), and why it does not
count (`refused`). A pruner of Optuna judges a single objective only, so the intermediate values are
kept in a second study beside the first, one trial there for each trial here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from segscape.sweep.search.sampling import BY_RUNGS, make_pruner, make_sampler, mixed

if TYPE_CHECKING:
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

    from segscape.sweep.search.locks import Owner

# A trial without an owner was asked for by a process that died at once, or one that is at it.
_ORPHAN_S = 120.0


@dataclass(frozen=True)
class Verdict:
    """How a trial ended.

    Attributes:
        state: `complete`, `failed` or `pruned`.
        values: of the objectives, for a complete one.
        excess: by constraint, how far it is beyond its bound.
        notes: kept with the trial: figures by seed, the cause of a failure.
    """

    state: str
    values: Sequence[float] | None = None
    excess: Mapping[str, float] | None = None
    notes: Mapping[str, Any] | None = None


class Study:
    """The trials of a search, shared by all its searchers.

    Args:
        storage: where they are kept.
        name: of the search.
        objectives: (direction, key) each.
        watched: (direction, key) of the figure that the pruner judges by.
        sampler: of Optuna, for what it has seen so far.
        pruner: of Optuna.
        seed: of the sampler.
        trials: how many there will be.
        shared: whether searchers of other sweeps may use the same storage.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        objectives: Sequence[tuple[str, str]],
        watched: tuple[str, str],
        sampler: str,
        pruner: str,
        seed: int,
        trials: int,
        shared: bool = False,
    ) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        words = {
            "max": optuna.study.StudyDirection.MAXIMIZE,
            "min": optuna.study.StudyDirection.MINIMIZE,
        }
        self.storage, self._pruner_name, self._optuna = storage, pruner, optuna
        self.shared = shared
        # Other objectives are another study: its results would be other figures.
        what = ",".join(f"{direction}:{key}" for direction, key in objectives)
        full = f"{name} {what}"
        self._name, self._full = name, full
        self._main = optuna.create_study(
            storage=storage,
            study_name=full,
            directions=[words[direction] for direction, _ in objectives],
            load_if_exists=True,
        )
        self._curves = optuna.create_study(
            storage=storage,
            study_name=f"{full} curve of {watched[1]}",
            direction=words[watched[0]],
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
        )
        # A searcher that starts later must not draw again what the first one drew.
        drawn = len(self._main.get_trials(deepcopy=False))
        self._main.sampler = make_sampler(sampler, mixed(seed, drawn), trials)
        self._asked: dict[int, Trial] = {}

    # -- what it is about --------------------------------------------------------------------------

    def terms(self) -> dict[str, Any]:
        """What the search was begun with; empty before anything was kept."""
        return dict(self._main.user_attrs.get("terms", {}))

    def keep_terms(self, terms: Mapping[str, Any]) -> None:
        """Keep what the search was begun with."""
        self._main.set_user_attr("terms", dict(terms))

    def others(self) -> list[str]:
        """The objectives of other studies of this sweep in the same storage."""
        names = [each.study_name for each in self.storage.get_all_studies()]
        ours = [each.removeprefix(f"{self._name} ") for each in names if each != self._full]
        return [
            each for each in ours if each.startswith(("max:", "min:")) and " curve of " not in each
        ]

    # -- trials ------------------------------------------------------------------------------------

    def all(self) -> list[FrozenTrial]:
        """Every trial, also the refused ones."""
        return self._main.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """The trials that were not refused, and are at least under way."""
        waiting, trials = self._optuna.trial.TrialState.WAITING, self.all()
        replaced = {each.user_attrs.get("instead_of") for each in trials}
        return [
            each
            for each in trials
            if each.state != waiting
            and "refused" not in each.user_attrs
            and each.number not in replaced
        ]

    def complete(self) -> list[FrozenTrial]:
        """The trials that have values."""
        done = self._optuna.trial.TrialState.COMPLETE
        return [each for each in self.counted() if each.state == done]

    def given_up(self, owner: Owner) -> list[FrozenTrial]:
        """The trials of this directory that failed or were pruned, and had jobs to the end."""
        states = self._optuna.trial.TrialState
        return [
            each
            for each in self.counted()
            if each.state in (states.FAIL, states.PRUNED)
            and self._is_of(each, owner)
            and each.user_attrs.get("jobs")
            and "absent" not in each.user_attrs
        ]

    def reopen(self, trial: FrozenTrial, owner: Owner) -> int:
        """Put a trial in the place of one that was given up; its number."""
        kept = {key: trial.user_attrs[key] for key in ("place", "point", "design", "jobs")}
        made = self._optuna.trial.create_trial(
            state=self._optuna.trial.TrialState.RUNNING,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs={**kept, "owner": owner.token, "instead_of": trial.number},
        )
        self._main.add_trial(made)
        numbers = [t.number for t in self.all() if t.user_attrs.get("instead_of") == trial.number]
        return numbers[-1]

    def running(self) -> list[FrozenTrial]:
        """The trials that have not ended, whoever's they are."""
        state = self._optuna.trial.TrialState.RUNNING
        return self._main.get_trials(deepcopy=False, states=(state,))

    def ask(self, owner: Owner) -> Trial:
        """A new trial, or one that was put in line. The caller holds the sweep's lock."""
        trial = self._main.ask()
        self._asked[trial.number] = trial
        trial.set_user_attr("owner", owner.token)
        trial.set_user_attr("place", owner.place)
        return trial

    def too_many(self, number: int, wanted: int) -> bool:
        """Whether there were enough before this one: searchers elsewhere have other locks."""
        return sum(each.number < number for each in self.counted()) >= wanted

    def put_in_line(self, values: Mapping[str, Any]) -> None:
        """Let the next trial that anyone asks for be this one."""
        self._main.enqueue_trial(dict(values))

    def note(self, number: int, **values: Any) -> None:
        """Keep something with a trial that has not ended."""
        trial_id = self._id(number)
        for key, value in values.items():
            self.storage.set_trial_user_attr(trial_id, key, value)

    def tell(self, number: int, verdict: Verdict) -> None:
        """Write how a trial ended."""
        states = self._optuna.trial.TrialState
        notes = dict(verdict.notes or {})
        self.note(number, **notes)
        for key, excess in (verdict.excess or {}).items():
            self._trial(number).set_constraint(key, excess)
        known = {"complete": states.COMPLETE, "failed": states.FAIL, "pruned": states.PRUNED}
        values = None if verdict.values is None else [float(value) for value in verdict.values]
        self._main.tell(number, values, known[verdict.state], skip_if_finished=True)
        self._end_curve(number, known[verdict.state])
        self._asked.pop(number, None)

    def refuse(self, number: int, reason: str, bad: bool = False) -> None:
        """Give up a trial that does not count: it could not run, or was there before.

        Args:
            number: of the trial.
            reason: why.
            bad: let the sampler take it for a bad result.
        """
        notes: dict[str, Any] = {"refused": reason}
        if bad:
            # TPE learns from pruned trials, and from failed ones it does not.
            self.tell(number, Verdict("pruned", notes={**notes, "bad": True}))
        else:
            self.tell(number, Verdict("failed", notes=notes))

    def interrupt(self, number: int, reason: str) -> None:
        """Give up a trial that may be proposed again as if it had never been."""
        self.tell(number, Verdict("failed", notes={"refused": reason, "interrupted": True}))

    def adopt(self, owner: Owner) -> list[FrozenTrial]:
        """Take over the trials whose searcher has died. The caller holds the sweep's lock.

        Returns:
            Those that had jobs; the others are given up, since nothing was run for them.
        """
        found = []
        for trial in self.running():
            whose = trial.user_attrs.get("owner")
            if not self._is_of(trial, owner) or trial.number in self._asked:
                continue  # a searcher elsewhere shares the database: its locks cannot be seen
            if whose is None and _age_s(trial) < _ORPHAN_S and self.shared:
                continue
            if whose is not None and owner.lives(whose):
                continue
            if not trial.user_attrs.get("jobs"):
                self.interrupt(trial.number, "its searcher was killed before it was submitted")
                continue
            self.note(trial.number, owner=owner.token)
            found.append(self.storage.get_trial(trial._trial_id))
        return found

    def elsewhere(self, owner: Owner) -> int:
        """How many trials searchers of other directories have not ended."""
        return sum(not self._is_of(trial, owner) for trial in self.running())

    def _is_of(self, trial: FrozenTrial, owner: Owner) -> bool:
        return bool(trial.user_attrs.get("place", owner.place) == owner.place)

    def _trial(self, number: int) -> Trial:
        if number not in self._asked:
            self._asked[number] = self._optuna.trial.Trial(self._main, self._id(number))
        return self._asked[number]

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._main._study_id, number)

    # -- pruning -----------------------------------------------------------------------------------

    def report(self, number: int, curve: Mapping[int, float], ended: bool = False) -> bool:
        """Give the pruner the values of a trial so far; whether it should end here.

        Args:
            number: of the trial.
            curve: by number of the validation.
            ended: the run is over, and this is the whole of it.
        """
        if self._pruner_name == "none" or not curve:
            return False
        trial_id = self._curve_id(self._twin(number))
        frozen = self.storage.get_trial(trial_id)
        length = max(self._length() or 0, max(curve)) if ended else self._length()
        pruner = make_pruner(self._pruner_name, length)
        new = set(curve) - set(frozen.intermediate_values)
        # While no run had ended nobody was compared; halving needs to know how it was then.
        unjudged = not any("rung" in key for key in frozen.system_attrs)
        prune = False
        for step in sorted(curve if unjudged and self._pruner_name in BY_RUNGS else new):
            if step in new:
                self.storage.set_trial_intermediate_value(trial_id, step, curve[step])
            frozen = copy(self.storage.get_trial(trial_id))
            until = {each: v for each, v in frozen.intermediate_values.items() if each <= step}
            frozen.intermediate_values = until
            beaten = pruner.prune(self._curves, frozen)
            # With its last validation a run has cost all that it costs: its result is wanted.
            late = length is None or step >= length
            prune = prune or (beaten and step in new and not late)
        return prune

    def _length(self) -> int | None:
        """Validations of a whole run, the longest so far; None before one has ended."""
        done = (self._optuna.trial.TrialState.COMPLETE,)
        steps = [each.last_step for each in self._curves.get_trials(deepcopy=False, states=done)]
        return max((step for step in steps if step), default=None)

    def _twin(self, number: int) -> int:
        """Number of the trial that holds the curve of this one."""
        known = self.storage.get_trial(self._id(number)).user_attrs.get("curve")
        if known is None:
            known = self._curves.ask().number
            self.note(number, curve=known)
        return int(known)

    def _curve_id(self, twin: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._curves._study_id, twin)

    def _end_curve(self, number: int, state: Any) -> None:
        twin = self.storage.get_trial(self._id(number)).user_attrs.get("curve")
        if twin is None:
            return
        steps = self.storage.get_trial(self._curve_id(twin)).intermediate_values
        complete = state == self._optuna.trial.TrialState.COMPLETE
        # A run that diverged after its best checkpoint ends in a figure that no study takes.
        value = next((steps[each] for each in sorted(steps)[::-1] if isfinite(steps[each])), None)
        if complete and value is None:
            state = self._optuna.trial.TrialState.FAIL
        self._curves.tell(twin, value if complete else None, state, skip_if_finished=True)


def _age_s(trial: FrozenTrial) -> float:
    begun = trial.datetime_start
    if begun is None:
        return 0.0
    # Databases give the local time back without a zone.
    now = datetime.now(UTC) if begun.tzinfo else datetime.now()
    return (now - begun).total_seconds()
