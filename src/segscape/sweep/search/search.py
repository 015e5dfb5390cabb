"""The search itself: a free slot gets the next trial, independent of the others.

Its whole state is in the study and in the sweep's directory. The trials of a searcher that is
killed are put in line again, and get their jobs back wherever they are: waiting, running, ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.trial import TrialState

from segscape.config.training import LATENCY, SCORE
from segscape.errors import JobsFailed, UserError
from segscape.sweep.launchers.base import REFUSED, Queue
from segscape.sweep.launchers.queues import statuses
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import LIVE, JobStatus, State
from segscape.sweep.run.supervisor import Supervisor
from segscape.sweep.search.objectives import (
    Constraint,
    best_row,
    curve,
    deviation,
    mean,
    missing,
    pruning_metric,
)
from segscape.sweep.search.proposals import Proposal, Proposer
from segscape.sweep.search.results import metric_text
from segscape.sweep.search.snapshot import SourceSnapshot
from segscape.sweep.search.study import Outcome, Study
from segscape.sweep.settings import SweepSettings

# Kept with every trial where a run has them.
_KEPT = (SCORE, LATENCY, "model/macs", "model/flops", "model/params")
_GOES_ON = (State.WAITING, State.STOPPED, State.LOST)
_TAKEN_BACK = (State.CANCELLED, State.PRUNED)
# A cluster that took jobs before is given so long to take them again.
_AWAY_S = 1800.0
Found = Mapping[str, JobStatus]


@dataclass
class Running:
    """A trial of this searcher that has not ended.

    Attributes:
        number: of the trial.
        jobs: one for each seed.
        wanted_again: states of jobs that were cancelled before, and are submitted again.
        submitted: by job, how often this searcher handed it over.
    """

    number: int
    jobs: Sequence[Job]
    wanted_again: Collection[State] = _TAKEN_BACK
    submitted: Counter[str] = field(default_factory=Counter)


class Search:
    """Runs trials until there are enough of them.

    Args:
        sweep: where the jobs are.
        queue: what runs them.
        settings: workers, trials, restarts, retries, objectives.
        study: of the search.
        proposer: of new trials.
        constraints: on measured figures.
        configs: that together name every module that a job may need.
        say: prints a line about each trial.
        interval_s: between two queries, in seconds; by default that of the queue.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        queue: Queue,
        settings: SweepSettings,
        study: Study,
        proposer: Proposer,
        constraints: Sequence[Constraint],
        configs: Sequence[Mapping[str, Any]] = (),
        say: Callable[[str], None] = print,
        interval_s: float | None = None,
    ) -> None:
        self.sweep, self.queue, self.settings, self.study = sweep, queue, settings, study
        self.proposer, self.constraints = proposer, constraints
        self._say = say
        self._interval_s = queue.poll_s if interval_s is None else interval_s
        self._source = SourceSnapshot(sweep, configs, say)
        self.trials: dict[int, Running] = {}
        self.stopped = False
        self._cancelled: Any = None
        self._before: set[int] = set()
        self._took = False
        self._away: float | None = None

    @property
    def workers(self) -> int:
        """How many jobs run at once."""
        return self.settings.workers or self.queue.slots or 4

    def run(self) -> None:
        """Search until the trials are done, the space is exhausted, or the sweep is cancelled.

        Raises:
            UserError: nothing can be run, no run has the figures of the objectives, or a trial
                failed and `sweep.fail_fast` is set.
        """
        self._cancelled = self.sweep.read_description().get("cancelled")
        waits = False
        with self.study.beating():
            self._reopen()
            self._before = set(self.study.unfinished())
            while not self._is_cancelled():
                self.study.put_stale_in_line()
                changed = self.step()
                if not self.trials:
                    others = len(self.study.unfinished())
                    if not others:
                        return
                    if not waits:
                        self._say(f"waiting for {others} trials of other searchers")
                    waits = True
                if not changed:
                    time.sleep(self._interval_s)
        self.stopped = True

    def step(self) -> bool:
        """Check once what has ended, and fill free slots; whether anything has changed."""
        found = self._look()
        ended = self._collect(found)
        started = self._fill(self._look() if ended else found)
        return ended or started

    def _is_cancelled(self) -> bool:
        return bool(self.sweep.read_description().get("cancelled") != self._cancelled)

    def _reopen(self) -> None:
        """Trials that were given up and whose jobs were brought to their end since."""
        with self.sweep.lock():
            jobs = {job.id: job for job in self.sweep.jobs()}
            for trial in self.study.counted():
                ids = trial.user_attrs.get("jobs", ())
                ended = trial.state in (TrialState.FAIL, TrialState.PRUNED)
                if not ended or not ids or "absent" in trial.user_attrs or not {*ids} <= {*jobs}:
                    continue
                status = {self.sweep.run(jobs[id_]).read_status().get("state") for id_ in ids}
                if status == {"finished"}:
                    self.study.again(trial)

    # -- the outcome of the jobs -------------------------------------------------------------------

    def _look(self) -> Found:
        return self._statuses([job for each in self.trials.values() for job in each.jobs])

    def _collect(self, found: Found) -> bool:
        """Report to the study what has ended; whether anything has."""
        running = self.study.unfinished(TrialState.RUNNING) if self.trials else []
        before = len(self.trials)
        for trial in list(self.trials.values()):
            if trial.number not in running:
                self._say(f"trial {trial.number}: another searcher has taken it over")
                del self.trials[trial.number]
                continue
            outcome = self._outcome(trial, [found[job.id] for job in trial.jobs])
            if outcome is not None and outcome.state is not TrialState.COMPLETE:
                outcome = self._given_up(trial, outcome)
            if outcome is not None:
                self.study.tell(trial.number, outcome)
                del self.trials[trial.number]
                self._say(self._line(trial, outcome))
                self._check(trial, outcome)
        return len(self.trials) < before

    def _given_up(self, trial: Running, outcome: Outcome) -> Outcome | None:
        """Cancel the rest of a trial; its result if it ended before, None if it goes on."""
        reason = "pruned" if outcome.state is TrialState.PRUNED else "another seed failed"
        try:
            self._cancel(trial.jobs, reason)
        except UserError as error:
            self._say(f"trial {trial.number}: {reason}, but cannot be stopped: {error}")
            return None  # the next query finds its outcome
        now = self._statuses(trial.jobs).values()
        return self._result(trial) if all(o.state is State.FINISHED for o in now) else outcome

    def _statuses(self, jobs: Sequence[Job]) -> dict[str, JobStatus]:
        if not jobs:
            return {}
        return {one.job.id: one for one in statuses(self.sweep, self.queue, jobs)}

    def _outcome(self, trial: Running, found: Sequence[JobStatus]) -> Outcome | None:
        """How a trial ended, None while it has not."""
        if all(one.state is State.FINISHED for one in found):
            return self._result(trial)
        for one in found:
            hopeless = one.state in (State.FAILED, *_TAKEN_BACK, *_GOES_ON)
            if not hopeless or self._is_due(trial, one):
                continue
            if one.state is State.PRUNED:
                return Outcome(TrialState.PRUNED)
            cause = one.cause or f"{one.state} without a cause"
            return Outcome(TrialState.FAIL, notes={"cause": cause, "log": str(one.log)})
        return Outcome(TrialState.PRUNED) if self._report(trial) else None

    def _report(self, trial: Running, ended: bool = False) -> bool:
        """Give the pruner what is new; whether the trial is to be pruned."""
        # With several seeds the first one's curve decides: equal seeds are compared.
        first, (_, key) = trial.jobs[0], pruning_metric(self.settings.objectives)
        return self.study.report(trial.number, curve(self.sweep.run(first), key), ended)

    def _result(self, trial: Running) -> Outcome:
        """The objectives of a trial whose jobs have all finished: means over its seeds."""
        self._report(trial, ended=True)  # others are compared with the whole of its curve
        runs = [best_row(self.sweep.run(job)) for job in trial.jobs]
        wanted = [key for _, key in self.settings.objectives]
        needed = list(dict.fromkeys([*wanted, *(each.key for each in self.constraints)]))
        for job, run in zip(trial.jobs, runs, strict=True):
            if absent := missing(run, needed):
                cause = f"{job.folder} has no {', '.join(absent)}"
                log = str(self.sweep.log_path(job))
                notes = {"cause": cause, "absent": absent, "log": log}
                return Outcome(TrialState.FAIL, notes=notes)
        kept: dict[str, dict[str, Any]] = {}
        for key in dict.fromkeys([*needed, *_KEPT]):
            values = [float(run[key]) for run in runs if not missing(run, [key])]
            if len(values) == len(runs):
                kept[key] = {"mean": mean(values), "std": deviation(values), "seeds": values}
        return Outcome(
            TrialState.COMPLETE,
            values=[kept[key]["mean"] for key in wanted],
            violations={str(c): c.violation(kept[c.key]["mean"]) for c in self.constraints},
            notes={"figures": kept},
        )

    def _check(self, trial: Running, outcome: Outcome) -> None:
        notes = outcome.notes or {}
        if "absent" in notes and not self.study.complete():
            raise UserError(
                f"the runs have no {', '.join(notes['absent'])}, which the search is to judge by",
                "profile.enabled=true and profile.latency=true measure the cost; "
                f"metrics.csv in {self.sweep.place(trial.jobs[0])} shows what there is",
            )
        if outcome.state is TrialState.FAIL and self.settings.fail_fast:
            for each in self.trials.values():
                self._cancel(each.jobs, "cancelled")
            raise JobsFailed(
                f"trial {trial.number} failed: {notes['cause']}",
                f"{notes['log']}; sweep.fail_fast=false goes on with others",
            )

    def _line(self, trial: Running, outcome: Outcome) -> str:
        notes = outcome.notes or {}
        if outcome.state is TrialState.COMPLETE:
            kept = notes["figures"]
            words = [f"{k} {metric_text(k, kept[k])}" for _, k in self.settings.objectives]
            outside = [name for name, over in (outcome.violations or {}).items() if over > 0]
            words += [f"outside of {', '.join(outside)}"] if outside else []
            return f"trial {trial.number}: {', '.join(words)}"
        if outcome.state is TrialState.PRUNED:
            return f"trial {trial.number}: pruned"
        return f"trial {trial.number}: failed: {notes['cause']} ({notes['log']})"

    # -- new jobs ----------------------------------------------------------------------------------

    def _fill(self, found: Found) -> bool:
        """Give free slots their jobs; whether there is anything new."""
        self._nudge(list(found.values()))
        free = self.workers - sum(one.state in LIVE for one in found.values())
        due = [
            (trial, job)
            for trial in self.trials.values()
            for job in trial.jobs
            if self._is_due(trial, found[job.id])
        ]
        started = bool(due) and free > 0
        while len(due) < free:
            proposal = self.proposer.next()
            if proposal is None:
                break
            trial = self._begin(proposal)
            started = True
            new = self._statuses(trial.jobs)
            wanted = [(trial, job) for job in trial.jobs if self._is_due(trial, new[job.id])]
            due += wanted
            free -= sum(one.state in LIVE for one in new.values())
            if not wanted:
                break  # its jobs are there already: the sampler may learn from them first
        return self._hand_over(due[: max(0, free)]) and started

    def _begin(self, proposal: Proposal) -> Running:
        trial = Running(proposal.number, proposal.jobs)
        words = " ".join(f"{key}={text}" for key, text in proposal.point.items())
        if proposal.before:
            last = max(proposal.before)
            words = f"takes over trial {last}: {words}"
            # Jobs that were cancelled before this command began are submitted again, others not.
            early = self._before & {trial.number, *proposal.before}
            trial.wanted_again = (State.CANCELLED,) if early else ()
        self.trials[trial.number] = trial
        self._say(f"trial {trial.number}: {words}")
        return trial

    def _nudge(self, found: Collection[JobStatus]) -> None:
        """Where jobs wait and none runs, the process that serves the queue may have been killed."""
        states = {one.state for one in found}
        if State.QUEUED not in states or State.RUNNING in states:
            return
        waiting = next(one.job for one in found if one.state is State.QUEUED)
        with self.sweep.lock():
            self.queue.submit(self.sweep, [], self.sweep.attempts(waiting)[-1].code)

    def _is_due(self, trial: Running, one: JobStatus) -> bool:
        """Whether a job is to be handed over, now or when there is a free slot."""
        before = trial.submitted[one.job.id]
        if one.state is State.WAITING:
            # A third-party launcher records nothing of a job that could not start.
            return before == 0
        if one.state in _GOES_ON:
            return before <= self.settings.restarts
        if one.state is State.FAILED:
            return before <= self.settings.retry_failed and self.settings.retry_failed > 0
        if one.state is State.CANCELLED and one.cause == REFUSED:
            return True  # it never was in the queue
        return one.state in trial.wanted_again and before == 0

    def _hand_over(self, due: Sequence[tuple[Running, Job]]) -> bool:
        """Submit; whether the queue takes it.

        Raises:
            UserError: it takes nothing from the start, or has taken nothing for long.
        """
        try:
            self._submit(due)
        except UserError as error:
            now = time.monotonic()
            self._away = self._away or now
            if not self._took or now - self._away > _AWAY_S:
                raise
            if now == self._away:
                self._say(f"{error.what}; it is tried again for {_AWAY_S / 60:.0f} minutes")
            return False
        if self._away and due:
            self._say("jobs are taken again")
        self._took, self._away = self._took or bool(due), None if due else self._away
        return True

    def _submit(self, due: Sequence[tuple[Running, Job]]) -> None:
        if not due:
            return
        with self.sweep.lock():
            if self._is_cancelled():
                return
            # Another searcher may have submitted an equal job meanwhile.
            now = self._statuses([job for _, job in due])
            batches: dict[str, list[tuple[Running, Job]]] = {}
            for trial, job in due:
                one = now[job.id]
                if one.state in (*LIVE, State.FINISHED):
                    continue
                attempts = self.sweep.attempts(job)
                goes_on = attempts and (one.state in _GOES_ON or one.cause == REFUSED)
                code = attempts[-1].code if goes_on else self._source.of(job)
                batches.setdefault(code, []).append((trial, job))
            for code, batch in batches.items():
                self.queue.submit(self.sweep, [job for _, job in batch], code)
                for trial, job in batch:
                    trial.submitted[job.id] += 1
        self.queue.run_here(self.sweep)

    def _cancel(self, jobs: Sequence[Job], reason: str) -> None:
        Supervisor(self.sweep, self.queue, self.settings, jobs).cancel(jobs, reason)
