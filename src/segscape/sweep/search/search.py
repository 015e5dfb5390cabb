"""The search itself: a free slot gets the next trial, whatever the others are doing.

Everything it knows is in the study and in the sweep's directory. A searcher that is killed leaves
its trials to the next one, which takes over their jobs wherever they are: waiting, running, ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from segscape.config.training import LATENCY, SCORE
from segscape.errors import JobsFailed, UserError
from segscape.sweep.launchers.base import REFUSED
from segscape.sweep.launchers.queues import statuses
from segscape.sweep.memory.status import LIVE, JobStatus, State
from segscape.sweep.search.ground import Source
from segscape.sweep.search.objectives import Limit, curve, deviation, figures, mean, missing
from segscape.sweep.search.proposals import Proposer
from segscape.sweep.search.results import figure_text
from segscape.sweep.search.study import Study, Verdict

if TYPE_CHECKING:
    from segscape.sweep.launchers.base import Queue
    from segscape.sweep.memory.directory import Job, SweepDirectory
    from segscape.sweep.search.locks import Owner
    from segscape.sweep.settings import SweepSettings

# Kept with every trial where a run has them.
_KEPT = (SCORE, LATENCY, "model/macs", "model/flops", "model/params")
_GOES_ON = (State.WAITING, State.STOPPED, State.LOST)
# A cluster that took jobs before is given so long to take them again.
_AWAY_S = 1800.0
_TAKEN_BACK = (State.CANCELLED, State.PRUNED)
Found = Mapping[str, JobStatus]


@dataclass
class Running:
    """A trial of this searcher that has not ended.

    Attributes:
        number: of the trial.
        jobs: one for each seed.
        adopted: whether another searcher began it.
        revived: whether this command found it there at its start: then it wants jobs again that
            somebody cancelled in between.
        submitted: by job, how often this searcher handed it over.
    """

    number: int
    jobs: Sequence[Job]
    adopted: bool = False
    revived: bool = False
    submitted: Counter[str] = field(default_factory=Counter)


class Search:
    """Runs trials until there are enough of them.

    Args:
        sweep: where the jobs are.
        queue: what runs them.
        settings: workers, trials, restarts, retries, objectives.
        study: of the search.
        proposer: of new trials.
        limits: measured constraints.
        watched: (direction, key) of the figure that the pruner judges by.
        owner: this searcher.
        configs: that together name every module that a job may need.
        say: where a line about each trial goes.
        interval_s: between two looks, in seconds; by default what the queue can bear.
    """

    def __init__(
        self,
        sweep: SweepDirectory,
        queue: Queue,
        settings: SweepSettings,
        study: Study,
        proposer: Proposer,
        limits: Sequence[Limit],
        watched: tuple[str, str],
        owner: Owner,
        configs: Sequence[Mapping[str, Any]] = (),
        say: Callable[[str], None] = print,
        interval_s: float | None = None,
    ) -> None:
        self.sweep, self.queue, self.settings, self.study = sweep, queue, settings, study
        self.proposer, self.limits, self.watched, self.owner = proposer, limits, watched, owner
        self._say = say
        self._interval_s = queue.poll_s if interval_s is None else interval_s
        self._source = Source(sweep, configs, say)
        self.trials: dict[int, Running] = {}
        self.stopped = False
        self._word = owner.stop_word()
        self._took = False
        self._away: float | None = None

    @property
    def workers(self) -> int:
        """How many jobs run at once."""
        return self.settings.workers or self.queue.slots or 4

    def run(self) -> None:
        """Search until the trials are done, nothing is left to try, or the sweep is cancelled.

        Raises:
            UserError: nothing can be run, no run has the figures that are wanted, or a trial
                failed and `sweep.fail_fast` is set.
        """
        with self.owner.living():
            self._word = self.owner.stop_word()
            self._adopt(revived=True)
            self._reopen()
            while True:
                self.owner.beat()
                found = self._look()
                self.stopped = self.owner.stop_word() != self._word
                if self.stopped:
                    return
                ended = self._collect(found)
                started = self._fill(self._look() if ended else found)
                if not self.trials:
                    return
                if not (ended or started):
                    time.sleep(self._interval_s)
                self._adopt()

    # -- trials of searchers that have died --------------------------------------------------------

    def _adopt(self, revived: bool = False) -> None:
        with self.sweep.lock():
            found = self.study.adopt(self.owner)
            jobs = {job.id: job for job in self.sweep.jobs()} if found else {}
        for trial in found:
            if trial.number in self.trials:
                continue
            mine = [jobs[id_] for id_ in trial.user_attrs["jobs"] if id_ in jobs]
            if len(mine) < len(trial.user_attrs["jobs"]):
                self.study.interrupt(trial.number, "its jobs are gone")
                self._say(f"trial {trial.number}: given up, its jobs are gone from {self.sweep}")
                continue
            self.trials[trial.number] = Running(trial.number, mine, adopted=True, revived=revived)
            self._say(f"trial {trial.number}: taken over from a searcher that has ended")

    def _reopen(self) -> None:
        """Trials that were given up and whose jobs somebody has brought to their end since."""
        with self.sweep.lock():
            jobs = {job.id: job for job in self.sweep.jobs()}
            for trial in self.study.given_up(self.owner):
                mine = [jobs[id_] for id_ in trial.user_attrs["jobs"] if id_ in jobs]
                status = [self.sweep.run(job).read_status().get("state") for job in mine]
                if len(mine) < len(trial.user_attrs["jobs"]) or {*status} != {"finished"}:
                    continue
                number = self.study.reopen(trial, self.owner)
                self.trials[number] = Running(number, mine, adopted=True)
                self._say(f"trial {number}: trial {trial.number}, whose jobs have finished since")

    # -- what has become of the jobs ---------------------------------------------------------------

    def _look(self) -> Found:
        return self._statuses([job for each in self.trials.values() for job in each.jobs])

    def _collect(self, found: Found) -> bool:
        """Tell the study what has ended; whether anything has."""
        ended = False
        for trial in list(self.trials.values()):
            verdict = self._verdict(trial, [found[job.id] for job in trial.jobs])
            if verdict is None:
                continue
            if verdict.state != "complete":
                reason = "pruned" if verdict.state == "pruned" else "another seed failed"
                try:
                    self._cancel(trial.jobs, reason)
                except UserError as error:
                    self._say(f"trial {trial.number}: {reason}, but cannot be stopped: {error}")
                    continue  # the next look sees what becomes of it
                now = self._statuses(trial.jobs).values()
                if all(one.state is State.FINISHED for one in now):
                    verdict = self._result(trial)  # it was quicker
            ended = True
            self.study.tell(trial.number, verdict)
            del self.trials[trial.number]
            self._say(self._line(trial, verdict))
            self._check(trial, verdict)
        return ended

    def _statuses(self, jobs: Sequence[Job]) -> dict[str, JobStatus]:
        if not jobs:
            return {}
        return {one.job.id: one for one in statuses(self.sweep, self.queue, jobs)}

    def _verdict(self, trial: Running, found: Sequence[JobStatus]) -> Verdict | None:
        """How a trial ended, None while it has not."""
        if all(one.state is State.FINISHED for one in found):
            return self._result(trial)
        for one in found:
            taken_back = one.state in _TAKEN_BACK and not self._is_due(trial, one)
            if taken_back and one.state is State.PRUNED:
                return Verdict("pruned")
            hopeless = one.state in (State.FAILED, *_GOES_ON) and not self._is_due(trial, one)
            if taken_back or hopeless:
                cause = one.cause or f"{one.state} without a cause"
                return Verdict("failed", notes={"cause": cause, "log": str(one.log)})
        return Verdict("pruned") if self._report(trial) else None

    def _report(self, trial: Running, ended: bool = False) -> bool:
        """Give the pruner what is new; whether it wants the trial to end."""
        # With several seeds the first one's curve decides: equal seeds are compared.
        first = self.sweep.run(trial.jobs[0])
        return self.study.report(trial.number, curve(first, self.watched[1]), ended)

    def _result(self, trial: Running) -> Verdict:
        """The objectives of a trial whose jobs have all finished: means over its seeds."""
        self._report(trial, ended=True)  # others are held against the whole of its curve
        runs = [figures(self.sweep.run(job)) for job in trial.jobs]
        wanted = [key for _, key in self.settings.objectives]
        needed = list(dict.fromkeys([*wanted, *(limit.key for limit in self.limits)]))
        for job, run in zip(trial.jobs, runs, strict=True):
            if absent := missing(run, needed):
                cause = f"{job.folder} has no {', '.join(absent)}"
                log = str(self.sweep.log_path(job))
                return Verdict("failed", notes={"cause": cause, "absent": absent, "log": log})
        kept: dict[str, dict[str, Any]] = {}
        for key in dict.fromkeys([*needed, *_KEPT]):
            values = [float(run[key]) for run in runs if not missing(run, [key])]
            if len(values) == len(runs):
                kept[key] = {"mean": mean(values), "std": deviation(values), "seeds": values}
        return Verdict(
            "complete",
            values=[kept[key]["mean"] for key in wanted],
            excess={str(limit): limit.excess(kept[limit.key]["mean"]) for limit in self.limits},
            notes={"figures": kept},
        )

    def _check(self, trial: Running, verdict: Verdict) -> None:
        notes = verdict.notes or {}
        if "absent" in notes and not self.study.complete():
            raise UserError(
                f"the runs have no {', '.join(notes['absent'])}, which the search is to judge by",
                "profile.enabled=true and profile.latency=true measure the cost; "
                f"metrics.csv in {self.sweep.place(trial.jobs[0])} shows what there is",
            )
        if verdict.state == "failed" and self.settings.fail_fast:
            for each in self.trials.values():
                self._cancel(each.jobs, "cancelled")
                self.study.interrupt(each.number, "cancelled after another failure")
            raise JobsFailed(
                f"trial {trial.number} failed: {notes['cause']}",
                f"{notes['log']}; sweep.fail_fast=false goes on with others",
            )

    def _line(self, trial: Running, verdict: Verdict) -> str:
        notes = verdict.notes or {}
        if verdict.state == "complete":
            kept = notes["figures"]
            said = [f"{k} {figure_text(k, kept[k])}" for _, k in self.settings.objectives]
            outside = [name for name, over in (verdict.excess or {}).items() if over > 0]
            said += [f"outside of {', '.join(outside)}"] if outside else []
            return f"trial {trial.number}: {', '.join(said)}"
        if verdict.state == "pruned":
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
            trial = Running(proposal.number, proposal.jobs)
            self.trials[trial.number] = trial
            words = " ".join(f"{key}={text}" for key, text in proposal.point.items())
            self._say(f"trial {trial.number}: {words}")
            new = self._statuses(trial.jobs)
            wanted = [(trial, job) for job in trial.jobs if self._is_due(trial, new[job.id])]
            due += wanted
            started = True
            if not wanted:
                break  # its jobs are there already: the sampler may learn from them first
        return self._hand_over(due[: max(0, free)]) and started

    def _nudge(self, found: Collection[JobStatus]) -> None:
        """Where jobs wait and none runs, whatever serves the queue may have died."""
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
            # A launcher that is not ours leaves no trace of a job that could not start.
            return before == 0
        if one.state in _GOES_ON:
            return before <= self.settings.restarts
        if one.state is State.FAILED:
            return before <= self.settings.retry_failed and self.settings.retry_failed > 0
        if one.state is State.CANCELLED and one.cause == REFUSED:
            return True  # nobody took it back: it never was in the queue
        if one.state is State.CANCELLED and trial.revived:
            return before == 0
        return one.state in _TAKEN_BACK and before == 0 and not trial.adopted

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
            if self.owner.stop_word() != self._word:
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
        from segscape.sweep.run.supervisor import Supervisor

        Supervisor(self.sweep, self.queue, self.settings, jobs).cancel(jobs, reason)
