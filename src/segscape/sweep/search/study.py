"""The trials of a search, with their results, in Optuna's storage.

Searchers that share a study detect each other by Optuna's heartbeats: the trials of one that was
killed are in line again after a minute, and go to the next searcher with a free slot. The
attributes of a trial are what it runs (`point`, `design`, `jobs`), and why it does not count
(`refused`).

A pruner of Optuna takes a single objective only, so the intermediate values are kept in a second
study beside the first, one trial there for each trial here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from math import isfinite
from threading import Event, Thread
from time import monotonic
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from segscape.sweep.search import storage as storages
from segscape.sweep.search.objectives import pruning_metric
from segscape.sweep.search.sampling import BY_RUNGS, make_pruner, make_sampler, mixed
from segscape.sweep.search.storage import BEATS, HeartbeatStorage, put_in_line
from segscape.sweep.settings import SweepSettings

_WAYS = {"max": StudyDirection.MAXIMIZE, "min": StudyDirection.MINIMIZE}
_CURVE = " curve of "


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        state: `COMPLETE`, `FAIL` or `PRUNED`.
        values: of the objectives, for a complete one.
        violations: by constraint, how far it is beyond its bound.
        notes: kept with the trial: figures by seed, the cause of a failure.
    """

    state: TrialState
    values: Sequence[float] | None = None
    violations: Mapping[str, float] | None = None
    notes: Mapping[str, Any] | None = None


class Study:
    """The trials of a search, shared by all its searchers.

    Args:
        storage: where they are kept, with heartbeats.
        name: of the search.
        settings: objectives, sampler, pruner, seed, trials.
    """

    def __init__(self, storage: HeartbeatStorage, name: str, settings: SweepSettings) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage, self._pruner, self._name = storage, settings.pruner, name
        # Other objectives are another study: its results would be other figures.
        self._objectives = ",".join(f"{way}:{key}" for way, key in settings.objectives)
        full, (way, key) = f"{name} {self._objectives}", pruning_metric(settings.objectives)
        self._main = optuna.create_study(
            storage=storage,
            study_name=full,
            directions=[_WAYS[way] for way, _ in settings.objectives],
            load_if_exists=True,
        )
        self._curves = optuna.create_study(
            storage=storage,
            study_name=f"{full}{_CURVE}{key}",
            direction=_WAYS[way],
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(),
        )
        # A searcher that starts later must not draw again what the first one drew.
        drawn = len(self._main.get_trials(deepcopy=False))
        seed = mixed(settings.seed, drawn)
        self._main.sampler = make_sampler(settings.sampler, seed, settings.trials)
        self._asked: dict[int, Trial] = {}
        self._checked = 0.0

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
        ours = [each.removeprefix(f"{self._name} ") for each in names if _CURVE not in each]
        return [each for each in ours if each[:4] in ("max:", "min:") and each != self._objectives]

    # -- trials ------------------------------------------------------------------------------------

    def all(self) -> list[FrozenTrial]:
        """Every trial, also the refused ones; of one that was put in line again the last."""
        trials = self._main.get_trials(deepcopy=False)
        replaced = {number for each in trials for number in before(each)}
        return [each for each in trials if each.number not in replaced]

    def counted(self) -> list[FrozenTrial]:
        """The trials that were not refused, and are at least under way."""
        return [
            each
            for each in self.all()
            if each.state is not TrialState.WAITING and "refused" not in each.user_attrs
        ]

    def complete(self) -> list[FrozenTrial]:
        """The trials that have values."""
        return [each for each in self.counted() if each.state is TrialState.COMPLETE]

    def unfinished(self, *states: TrialState) -> list[int]:
        """Numbers of the trials that run or are in line, of every searcher."""
        wanted = states or (TrialState.RUNNING, TrialState.WAITING)
        return [each.number for each in self._main.get_trials(deepcopy=False, states=wanted)]

    def trial(self, number: int) -> FrozenTrial:
        """One trial, as it is now."""
        return self.storage.get_trial(self._id(number))

    def ask(self) -> Trial:
        """One that is in line, or a new one."""
        trial = self._main.ask()
        self._asked[trial.number] = trial
        self._beat(trial.number)
        trial.set_user_attr(BEATS, True)
        return trial

    def too_many(self, number: int, wanted: int) -> bool:
        """Whether there were enough before this one: other directories have other locks."""
        return sum(each.number < number for each in self.counted()) >= wanted

    def enqueue(self, values: Mapping[str, Any]) -> None:
        """Give these parameters to the next trial of any searcher."""
        self._main.enqueue_trial(dict(values))

    def again(self, trial: FrozenTrial) -> None:
        """Put a trial in line that has failed or was pruned."""
        put_in_line(self._main, trial)

    def note(self, number: int, **values: Any) -> None:
        """Keep something with a trial that has not ended."""
        for key, value in values.items():
            self._asked[number].set_user_attr(key, value)

    def tell(self, number: int, outcome: Outcome) -> None:
        """Write how a trial ended; nothing where another searcher has taken it over."""
        with suppress(UpdateFinishedTrialError):
            self.note(number, **(outcome.notes or {}))
            for key, violation in (outcome.violations or {}).items():
                self._asked[number].set_constraint(key, violation)
            values = None if outcome.values is None else [float(each) for each in outcome.values]
            self._main.tell(number, values, outcome.state)
            self._end_curve(number, outcome.state)
        self._asked.pop(number, None)

    def refuse(self, number: int, reason: str, bad: bool = False, **notes: Any) -> None:
        """Give up a trial that does not count: it could not run, or was there before.

        Args:
            number: of the trial.
            reason: why.
            bad: let the sampler take it for a bad result.
            notes: kept with it.
        """
        # TPE learns from pruned trials, and from failed ones it does not.
        state = TrialState.PRUNED if bad else TrialState.FAIL
        notes |= {"refused": reason, **({"bad": True} if bad else {})}
        self.tell(number, Outcome(state, notes=notes))

    def interrupt(self, number: int, reason: str) -> None:
        """Give up a trial that may be proposed again as if it had never been."""
        self.refuse(number, reason, interrupted=True)

    # -- searchers that were killed, and the others ------------------------------------------------

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Send heartbeats; trials that have not ended when the block ends are put in line."""
        stop = Event()
        thread = Thread(target=self._keep_beating, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            for number in set(self._asked) & set(self.unfinished(TrialState.RUNNING)):
                trial = self.trial(number)
                self._main.tell(number, state=TrialState.FAIL)
                put_in_line(self._main, trial)
            self._asked.clear()

    def _keep_beating(self, stop: Event) -> None:
        while not stop.wait(storages.HEARTBEAT_S):
            # The main thread gets the same error of the storage, and reports it.
            with suppress(optuna.exceptions.StorageInternalError, OSError):
                for number in list(self._asked):
                    self._beat(number)

    def put_stale_in_line(self) -> None:
        """Put the trials of searchers that send no heartbeats in line, once in an interval."""
        if self._checked and monotonic() - self._checked < storages.HEARTBEAT_S:
            return
        self._checked = monotonic()
        for number in self.unfinished(TrialState.RUNNING):
            # A searcher may have been killed before its first heartbeat: then this is the last.
            if number in self._asked or BEATS not in self.trial(number).user_attrs:
                self._beat(number)
                with suppress(UpdateFinishedTrialError):
                    self.storage.set_trial_user_attr(self._id(number), BEATS, True)
        fail_stale_trials(self._main)

    def _beat(self, number: int) -> None:
        with suppress(UpdateFinishedTrialError):
            self.storage.record_heartbeat(self._id(number))

    def _id(self, number: int) -> int:
        study = self.storage.get_study_id_from_name(self._main.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)

    # -- pruning -----------------------------------------------------------------------------------

    def report(self, number: int, curve: Mapping[int, float], ended: bool = False) -> bool:
        """Give the pruner the values of a trial so far; whether it should end here.

        Args:
            number: of the trial.
            curve: by number of the validation.
            ended: the run is over, and this is the whole of it.
        """
        if self._pruner == "none" or not curve:
            return False
        trial_id = self._curve_id(number)
        frozen = self.storage.get_trial(trial_id)
        if frozen.state.is_finished():  # another searcher has taken the trial over, and ended it
            return False
        length = max(self._length() or 0, max(curve)) if ended else self._length()
        pruner = make_pruner(self._pruner, length)
        new = set(curve) - set(frozen.intermediate_values)
        # Before a run had ended nothing was compared; halving needs the values of that time too.
        unjudged = not any("rung" in key for key in frozen.system_attrs)
        prune = False
        for step in sorted(curve if unjudged and self._pruner in BY_RUNGS else new):
            if step in new:
                self.storage.set_trial_intermediate_value(trial_id, step, curve[step])
            frozen = copy(self.storage.get_trial(trial_id))
            until = {each: v for each, v in frozen.intermediate_values.items() if each <= step}
            frozen.intermediate_values = until
            beaten = pruner.prune(self._curves, frozen)
            # After the last validation of a run pruning saves nothing: its result is kept.
            late = length is None or step >= length
            prune = prune or (beaten and step in new and not late)
        return prune

    def curves(self) -> list[FrozenTrial]:
        """The trials as the pruner reads them."""
        return self._curves.get_trials(deepcopy=False)

    def _length(self) -> int | None:
        """Validations of a whole run, the longest so far; None before one has ended."""
        done = [each.last_step for each in self.curves() if each.state is TrialState.COMPLETE]
        return max((step for step in done if step), default=None)

    def _curve_id(self, number: int) -> int:
        """The id of the trial that holds the curve of this one."""
        curve = self._asked[number].user_attrs.get("curve")
        if curve is None:
            curve = self._curves.ask().number
            self.note(number, curve=curve)
        study = self.storage.get_study_id_from_name(self._curves.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, curve)

    def _end_curve(self, number: int, state: TrialState) -> None:
        curve = self._asked[number].user_attrs.get("curve")
        if curve is None:
            return
        steps = self.storage.get_trial(self._curve_id(number)).intermediate_values
        complete = state is TrialState.COMPLETE
        # A run that diverged after its best checkpoint ends in a figure that no study takes.
        value = next((steps[each] for each in sorted(steps)[::-1] if isfinite(steps[each])), None)
        if complete and value is None:
            state = TrialState.FAIL
        self._curves.tell(curve, value if complete else None, state, skip_if_finished=True)


def before(trial: FrozenTrial) -> Collection[int]:
    """Numbers that a trial had before it was put in line again."""
    return RetryHeartbeatStaleTrialCallback.retry_history(trial)
