"""The search: asynchronous, without repetition, resumable after SIGKILL."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from played_search import ENCODERS, PlayedQueue, Space, X, always, submitted, toy_search

from segscape.errors import UserError
from segscape.sweep.launchers.base import REFUSED, new_attempt
from segscape.sweep.search.results import table, winners
from segscape.sweep.search.search import Search
from segscape.sweep.search.space import Parameter
from segscape.sweep.search.study import Outcome


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts, and thousands of small files are written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def states(search: Search) -> Counter[str]:
    return Counter(each.state.name for each in search.study.counted())


def test_finds_the_front_and_runs_nothing_twice(tmp_path: Path) -> None:
    queue = PlayedQueue(slots=2)
    search = toy_search(tmp_path, queue, trials=20)
    search.run()
    assert states(search) == {"COMPLETE": 20}
    assert max(Counter(submitted(tmp_path)).values()) == 1
    found = winners(search.study.complete(), search.settings.objectives, [])
    scores = [trial.values for trial in found]
    assert scores == sorted(scores, reverse=True)
    assert all(low[1] < high[1] for high, low in itertools.pairwise(scores))


def test_values_are_those_of_the_best_row(tmp_path: Path) -> None:
    search = toy_search(tmp_path, PlayedQueue(), trials=1)
    search.run()
    trial = search.study.complete()[0]
    job = search.sweep.jobs()[0]
    row = search.sweep.run(job).read_metrics()[-1]
    assert trial.values == [row["val/miou"], row["latency/p50_ms"]]
    assert trial.user_attrs["jobs"] == [job.id]


def test_the_source_is_copied_once_for_all_jobs_of_a_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = toy_search(tmp_path, PlayedQueue(), trials=3)
    search.run()
    codes = {search.sweep.attempts(job)[-1].code for job in search.sweep.jobs()}
    assert len(codes) == 1
    lines: list[str] = []
    name = "segscape.sweep.memory.code_snapshot.take_snapshot"
    monkeypatch.setattr(name, lambda path, configs: "other")
    toy_search(tmp_path, PlayedQueue(), trials=5, say=lines.append).run()
    assert sum("the source has changed" in line for line in lines) == 1


def test_a_free_slot_gets_the_next_trial_while_a_slow_one_runs(tmp_path: Path) -> None:
    queue = PlayedQueue(slots=2, length=3)
    slow: list[Any] = []

    def fate(config: Any, attempt: int) -> str:
        if not slow:
            slow.append(config["toy"])
        return "finish"

    queue.fate = fate
    lines: list[str] = []
    search = toy_search(tmp_path, queue, trials=6, say=lines.append)

    original = queue._played

    def played(sweep: Any, file: Path) -> bool:
        first = json.loads(file.read_text())["folder"] == sweep.jobs()[0].folder
        done = sum("val/miou" in line for line in lines)
        return True if first and done < 5 else original(sweep, file)

    queue._played = played  # type: ignore[method-assign]
    search.run()
    assert [line for line in lines if "val/miou" in line][-1].startswith("trial 0:")


def test_no_more_jobs_at_once_than_workers(tmp_path: Path) -> None:
    queue, seen = PlayedQueue(slots=8), []
    live = queue.live

    def watched(sweep: Any, attempts: Any) -> Any:
        seen.append(queue.busy(sweep))
        return live(sweep, attempts)

    queue.live = watched  # type: ignore[method-assign]
    toy_search(tmp_path, queue, trials=6, workers=3, seeds=(1, 2)).run()
    assert max(seen) == 3


def test_objectives_are_means_over_seeds(tmp_path: Path) -> None:
    search = toy_search(tmp_path, PlayedQueue(), trials=3, seeds=(1, 2, 3))
    search.run()
    assert len(submitted(tmp_path)) == 9
    for trial in search.study.complete():
        figure = trial.user_attrs["figures"]["val/miou"]
        assert trial.values[0] == pytest.approx(sum(figure["seeds"]) / 3)
        assert figure["std"] == pytest.approx(0.01)
    shown = table(search.study.complete(), search.settings.objectives, [], "best")
    cells = [cell for column in shown.columns for cell in column.cells]
    assert any("± 0.0100" in str(cell) for cell in cells)


def test_a_failed_job_is_reported_and_the_search_goes_on(tmp_path: Path) -> None:
    lines: list[str] = []
    fate = lambda config, attempt: "fail" if config["toy"]["encoder"] == "wide" else "finish"  # noqa: E731
    search = toy_search(tmp_path, PlayedQueue(fate=fate), trials=8, say=lines.append)
    search.run()
    found = states(search)
    assert found["COMPLETE"] and found["FAIL"] and found.total() == 8
    assert any("ValueError: played" in line and "log.txt" in line for line in lines)


def test_a_failed_job_is_tried_again_as_often_as_said(tmp_path: Path) -> None:
    fate = lambda config, attempt: "fail" if attempt < 3 else "finish"  # noqa: E731
    search = toy_search(tmp_path, PlayedQueue(fate=fate), trials=2, retry_failed=2)
    search.run()
    assert states(search) == {"COMPLETE": 2}
    assert set(Counter(submitted(tmp_path)).values()) == {3}


def test_a_lost_job_is_submitted_again_up_to_the_limit(tmp_path: Path) -> None:
    fate = lambda config, attempt: "lose" if attempt <= 2 else "finish"  # noqa: E731
    search = toy_search(tmp_path / "a", PlayedQueue(fate=fate), trials=2, restarts=2)
    search.run()
    assert states(search) == {"COMPLETE": 2}
    search = toy_search(tmp_path / "b", PlayedQueue(fate=fate), trials=1, restarts=1)
    search.run()
    assert states(search) == {"FAIL": 1}
    assert search.study.counted()[0].user_attrs["cause"] == "killed by signal 9"


class RefusingQueue(PlayedQueue):
    """A cluster that is away now and then."""

    answers: Any = ()

    def submit(self, sweep: Any, jobs: Any, code: str) -> None:
        if jobs and not next(self.answers, True):
            for job in jobs:
                attempt = new_attempt(self, code)  # type: ignore[arg-type]
                sweep.record(job, replace(attempt, cancelled=True, reason=REFUSED))
            raise UserError("SLURM refuses the jobs: it is away")
        super().submit(sweep, jobs, code)


def test_a_cluster_that_is_away_for_a_while_ends_no_search(tmp_path: Path) -> None:
    queue, lines = RefusingQueue(), list[str]()
    # More refusals than restarts: they are no fault of a job.
    queue.answers = iter([True, *[False] * 6, True, False])
    search = toy_search(tmp_path, queue, trials=5, say=lines.append)
    search.run()
    assert states(search) == {"COMPLETE": 5}
    assert sum("it is away" in line for line in lines) == 2
    assert sum("taken again" in line for line in lines) == 2
    assert max(Counter(submitted(tmp_path)).values()) == 1

    queue.answers = iter([False])
    search = toy_search(tmp_path, queue, trials=6)
    with pytest.raises(UserError, match="it is away"):
        search.run()
    search = toy_search(tmp_path, queue, trials=6)
    search.run()
    assert states(search) == {"COMPLETE": 6}


def test_fail_fast_ends_the_search(tmp_path: Path) -> None:
    search = toy_search(tmp_path, PlayedQueue(fate=lambda c, a: "fail"), fail_fast=True)
    with pytest.raises(UserError, match=r"trial \d failed: ValueError: played"):
        search.run()


def test_a_figure_that_no_run_has_ends_the_search(tmp_path: Path) -> None:
    wanted = (("max", "val/miou"), ("max", "val/boundary_iou"))
    search = toy_search(tmp_path, PlayedQueue(), objectives=wanted)
    with pytest.raises(UserError, match="the runs have no val/boundary_iou"):
        search.run()


def test_an_exhausted_space_ends_the_search_after_every_design(tmp_path: Path) -> None:
    parameters = [ENCODERS, Parameter("depth", low=1, high=3, step=1)]
    search = toy_search(tmp_path, PlayedQueue(), parameters=parameters, trials=50)
    search.run()
    assert search.proposer.ended and "every design" in search.proposer.ended
    points = [tuple(each.user_attrs["point"].items()) for each in search.study.complete()]
    assert len(points) == len(set(points)) == 6
    again = toy_search(tmp_path, PlayedQueue(), parameters=parameters, trials=50)
    again.run()
    assert len(submitted(tmp_path)) == 6


def test_what_cannot_work_or_does_not_fit_is_drawn_again_and_does_not_count(tmp_path: Path) -> None:
    parameters = [Parameter("encoder", ("narrow", "wide", "bad", "huge")), X]
    search = toy_search(tmp_path, PlayedQueue(), parameters=parameters, trials=10)
    search.run()
    assert states(search) == {"COMPLETE": 10}
    reasons = {each.user_attrs.get("refused") for each in search.study.all()} - {None}
    assert "bad cannot work" in reasons
    used = {each.user_attrs["point"]["encoder"] for each in search.study.complete()}
    assert used <= {"narrow", "wide"}


@pytest.mark.parametrize("more", [[], [X]])
def test_a_space_in_which_nothing_works_is_an_error(tmp_path: Path, more: list[Parameter]) -> None:
    parameters = [Parameter("encoder", ("bad", "huge")), *more]
    search = toy_search(tmp_path, PlayedQueue(), parameters=parameters)
    with pytest.raises(UserError, match="bad cannot work"):
        search.run()


def test_a_finished_job_of_another_command_is_not_run_again(tmp_path: Path) -> None:
    parameters = [ENCODERS, Parameter("depth", ("1", "2"))]
    first = toy_search(tmp_path, PlayedQueue(), parameters=parameters, trials=4)
    first.run()
    other = (("min", "latency/p50_ms"),)
    second = toy_search(tmp_path, PlayedQueue(), parameters=parameters, trials=4, objectives=other)
    second.run()
    assert states(second) == {"COMPLETE": 4}
    assert len(submitted(tmp_path)) == 4


def test_constraints_reach_the_sampler_and_the_front(tmp_path: Path) -> None:
    search = toy_search(tmp_path, PlayedQueue(), trials=12, constraints=["latency/p50_ms<15"])
    search.run()
    for trial in search.study.complete():
        wide = trial.user_attrs["point"]["encoder"] == "wide"
        assert (trial.constraints["latency/p50_ms<15"] > 0) is wide
    found = winners(search.study.complete(), search.settings.objectives, search.constraints)
    assert found and all(each.user_attrs["point"]["encoder"] == "narrow" for each in found)


@pytest.mark.parametrize("pruner", ["median", "halving", "hyperband"])
def test_pruning_with_two_objectives(tmp_path: Path, pruner: str) -> None:
    queue = PlayedQueue(slots=2, length=12)
    search = toy_search(tmp_path, queue, trials=16, pruner=pruner, sampler="random")
    search.run()
    found = states(search)
    assert found["PRUNED"] and found["COMPLETE"] and found.total() == 16
    pruned = [each for each in search.study.counted() if each.state.name == "PRUNED"]
    for trial in pruned:
        job = search.sweep.job(trial.user_attrs["jobs"][0])
        last = search.sweep.attempts(job)[-1]
        assert last.cancelled and last.reason == "pruned"
        assert len(search.sweep.run(job).read_metrics()) < 12
    best = max(search.study.complete(), key=lambda each: each.values[0])
    assert best.values[0] > 0.7


@pytest.mark.parametrize("pruner", ["median", "halving"])
def test_the_pruner_gets_whole_curves(tmp_path: Path, pruner: str) -> None:
    """Whatever was seen of a run while it ran: others are held against all of it."""
    study = toy_search(tmp_path, PlayedQueue(), pruner=pruner).study
    curve = {step: 0.1 * step for step in range(1, 10)}
    for last in (1.0, 1.0, 1.0, math.nan):  # that one diverged, behind its best checkpoint
        trial = study.ask()
        assert not study.report(trial.number, {1: 0.1, 2: 0.2})
        study.report(trial.number, {**curve, 10: last}, ended=True)
        study.tell(trial.number, Outcome(TrialState.COMPLETE, [0.5, 1.0]))
    done = study.curves()
    assert [each.value for each in done] == pytest.approx([1.0, 1.0, 1.0, 0.9])
    if pruner == "halving":
        assert [each.system_attrs["completed_rung_0"] for each in done] == [0.1] * 4
    worse = study.ask().number
    # The last validation decides nothing: all is paid by then.
    assert not study.report(worse, {10: 0.01})
    worse = study.ask().number
    assert study.report(worse, {1: 0.01, 2: 0.01, 3: 0.01})


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random", "gp"])
def test_every_sampler_with_a_conditional_space(tmp_path: Path, sampler: str) -> None:
    space = Space(
        [ENCODERS, X, Parameter("depth", low=1, high=4, step=1)],
        lambda key, point: key != "depth" or point["encoder"] == "wide",
    )
    search = toy_search(tmp_path, PlayedQueue(length=1), space=space, trials=12, sampler=sampler)
    search.run()
    assert states(search) == {"COMPLETE": 12}
    for trial in search.study.complete():
        point = trial.user_attrs["point"]
        assert ("depth" in point) is (point["encoder"] == "wide")


def test_one_worker_and_one_seed_repeat_a_search(tmp_path: Path) -> None:
    points = []
    for name in "ab":
        search = toy_search(tmp_path / name, PlayedQueue(slots=1, length=1), trials=8)
        search.run()
        points.append([each.user_attrs["point"] for each in search.study.counted()])
    assert points[0] == points[1]


def test_a_database_instead_of_the_journal(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    for trials in (3, 5):
        search = toy_search(tmp_path / "s", PlayedQueue(), trials=trials, storage=storage)
        search.run()
    assert states(search) == {"COMPLETE": 5} and not (tmp_path / "s/study.journal").exists()


def test_an_endless_space_that_only_repeats_itself_ends_too(tmp_path: Path) -> None:
    narrow = Parameter("x", low=0.3, high=0.3 + 1e-9)
    search = toy_search(tmp_path, PlayedQueue(), space=Space([narrow], always), trials=3)
    search.run()
    assert len(submitted(tmp_path)) == 1
    assert search.proposer.ended and "is new" in search.proposer.ended
