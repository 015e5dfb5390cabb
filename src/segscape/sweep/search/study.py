"""The study: what was tried, by whom, and with what result, in a journal or a database.

Every trial says in its attributes whose it is (`owner`), what it runs (`jobs`), and why it does not
count (`refused`). A pruner of Optuna judges a single objective only, so the intermediate values are
kept in a second study beside the first, one trial there for each trial here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError

if TYPE_CHECKING:
    import optuna
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial, Trial

    from segscape.sweep.search.locks import Owner

# A trial without an owner was asked for by a process that died at once, or one that is at it.
_ORPHAN_S = 120.0
_SCHEMES = ("sqlite", "mysql", "postgresql")


def require_optuna() -> None:
    """Optuna must be there.

    Raises:
        UserError: it is not, or too old.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "hydra/sweeper=optuna needs Optuna, which is not installed",
            'pip install "segscape[sweep]"',
        ) from error
    if int(optuna.__version__.split(".")[0]) < 5:
        raise UserError(
            f"hydra/sweeper=optuna needs Optuna 5, found {optuna.__version__}",
            'pip install -U "segscape[sweep]"',
        )


def open_storage(where: str | None, folder: Path) -> BaseStorage:
    """The journal of a sweep, or the database that the user names.

    Args:
        where: `sweep.storage`: None, the path of a journal, or a database's address.
        folder: directory of the sweep.

    Raises:
        UserError: the database cannot be opened.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    from segscape.sweep.search.locks import JournalLock

    if where is None or "://" not in where:
        journal = Path(where) if where else folder / "study.journal"
        journal.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalLock(journal.absolute())
        lock.mend()
        return JournalStorage(JournalFileBackend(str(journal.absolute()), lock_obj=lock))
    if not where.startswith(_SCHEMES):
        raise UserError(
            f"sweep.storage={where} cannot be used",
            f"give a file, or the address of a database: {', '.join(_SCHEMES)}, e.g. "
            "sqlite:///study.db",
        )
    try:
        return RDBStorage(where)
    except Exception as error:  # every database has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"sweep.storage={where} cannot be opened: {reason}",
            "is the address right, and its driver installed?",
        ) from error


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

    # -- trials ------------------------------------------------------------------------------------

    def all(self) -> list[FrozenTrial]:
        """Every trial, also the refused ones."""
        return self._main.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """The trials that were not refused, and are at least under way."""
        waiting = self._optuna.trial.TrialState.WAITING
        return [
            each
            for each in self.all()
            if each.state != waiting and "refused" not in each.user_attrs
        ]

    def complete(self) -> list[FrozenTrial]:
        """The trials that have values."""
        done = self._optuna.trial.TrialState.COMPLETE
        return [each for each in self.counted() if each.state == done]

    def running(self) -> list[FrozenTrial]:
        """The trials that have not ended, whoever's they are."""
        state = self._optuna.trial.TrialState.RUNNING
        return self._main.get_trials(deepcopy=False, states=(state,))

    def ask(self, owner: Owner, place: str) -> Trial:
        """A new trial, or one that was put in line. The caller holds the sweep's lock."""
        trial = self._main.ask()
        self._asked[trial.number] = trial
        trial.set_user_attr("owner", owner.token)
        trial.set_user_attr("place", place)
        return trial

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

    def adopt(self, owner: Owner, place: str) -> list[FrozenTrial]:
        """Take over the trials whose searcher has died. The caller holds the sweep's lock.

        Returns:
            Those that had jobs; the others are given up, since nothing was run for them.
        """
        found = []
        for trial in self.running():
            whose = trial.user_attrs.get("owner")
            if trial.user_attrs.get("place", place) != place or trial.number in self._asked:
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

    def _trial(self, number: int) -> Trial:
        if number not in self._asked:
            self._asked[number] = self._optuna.trial.Trial(self._main, self._id(number))
        return self._asked[number]

    def _id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self._main._study_id, number)

    # -- pruning -----------------------------------------------------------------------------------

    def report(self, number: int, curve: Mapping[int, float]) -> bool:
        """Give the pruner the values of a trial so far; whether it should end here.

        Args:
            number: of the trial.
            curve: by number of the validation.
        """
        if self._pruner_name == "none" or not curve:
            return False
        twin = self._twin(number)
        trial_id = self._curve_id(twin)
        frozen = self.storage.get_trial(trial_id)
        prune = False
        for step in sorted(set(curve) - set(frozen.intermediate_values)):
            self.storage.set_trial_intermediate_value(trial_id, step, curve[step])
            pruner = make_pruner(self._pruner_name, self._length())
            prune = pruner.prune(self._curves, self.storage.get_trial(trial_id)) or prune
        return prune

    def _length(self) -> int | None:
        """Validations of a whole run, as far as one has ended."""
        done = (self._optuna.trial.TrialState.COMPLETE,)
        steps = [each.last_step for each in self._curves.get_trials(deepcopy=False, states=done)]
        return next((step for step in steps if step), None)

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
        last = self.storage.get_trial(self._curve_id(twin))
        complete = state == self._optuna.trial.TrialState.COMPLETE
        value = last.intermediate_values[last.last_step] if last.last_step else None
        if complete and value is None:
            state = self._optuna.trial.TrialState.FAIL
        self._curves.tell(twin, value if complete else None, state, skip_if_finished=True)


def make_sampler(name: str, seed: int, trials: int) -> optuna.samplers.BaseSampler:
    """The sampler that `sweep.sampler` names, fit for a search of so many trials."""
    import optuna

    # The first third explores, so that a short search does not lean on two or three results.
    start = max(4, min(10, trials // 3))
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, start)))
    if name == "gp":
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=start, warn_independent_sampling=False
        )
    assert name == "tpe", name
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=start)


def make_pruner(name: str, length: int | None) -> optuna.pruners.BasePruner:
    """The pruner that `sweep.pruner` names.

    Args:
        name: of it.
        length: validations of a whole run; None while none has ended, then nothing is pruned.
    """
    from optuna import pruners

    if name == "none" or length is None:
        return pruners.NopPruner()
    # The first tenth of a run says too little.
    least = max(1, length // 10)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=least)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=3)
    assert name == "hyperband", name
    return pruners.HyperbandPruner(
        min_resource=least, max_resource=max(length, least), reduction_factor=3
    )


def mixed(seed: int, drawn: int) -> int:
    """A seed that differs for every number of trials that are there already."""
    digest = hashlib.sha256(f"{seed} {drawn}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def _age_s(trial: FrozenTrial) -> float:
    begun = trial.datetime_start
    if begun is None:
        return 0.0
    # Databases give the local time back without a zone.
    now = datetime.now(UTC) if begun.tzinfo else datetime.now()
    return (now - begun).total_seconds()
