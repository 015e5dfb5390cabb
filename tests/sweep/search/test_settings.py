"""Settings of a search: objectives, limits, storage, what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from played_search import PlayedQueue, figures_of, toy_search

from segscape.config import files
from segscape.errors import UserError
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.launchers.plugin import PluginQueue
from segscape.sweep.launchers.slurm import SlurmQueue
from segscape.sweep.memory.directory import SweepDirectory
from segscape.sweep.search.command import check_settings, check_slots, make_search, run_search
from segscape.sweep.search.objectives import (
    best_row,
    check_measured,
    check_objectives,
    curve,
    pruning_metric,
    read_constraints,
)
from segscape.sweep.search.sampling import mixed
from segscape.sweep.search.space import Parameter, read_parameters
from segscape.sweep.search.storage import open_storage
from segscape.sweep.search.terms import in_known_order, refuse_other_terms, terms_of
from segscape.sweep.settings import SweepSettings


def test_limits() -> None:
    below, above = read_constraints(["latency/p50_ms < 20", "val/miou>=0.5"])
    assert str(below) == "latency/p50_ms<20"
    assert below.violation(25.0) == pytest.approx(0.25) and below.violation(10.0) == -0.5
    assert not below.holds(20.0) and above.holds(0.5) and not above.holds(0.4)
    # What is outside for the sampler is what the front leaves out.
    assert below.violation(20.0) > 0 and above.violation(0.5) == 0


@pytest.mark.parametrize("text", ["latency/p50_ms", "5<latency/p50_ms<9", "latency/p50_ms<fast"])
def test_limits_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_constraints([text])


def test_figures_that_no_run_has() -> None:
    check_objectives([("max", "val/iou/road"), ("min", "model/macs/encoder")])
    with pytest.raises(UserError, match="did you mean val/miou"):
        check_objectives([("max", "val/mIoU")])
    with pytest.raises(UserError, match="did you mean latency/p50_ms"):
        read_constraints(["latency/p50<20"])
    with pytest.raises(UserError, match="twice"):
        check_objectives([("max", "val/miou"), ("min", "val/miou")])


def test_the_pruner_judges_what_is_measured_again_and_again() -> None:
    assert pruning_metric([("min", "latency/p50_ms"), ("min", "val/loss")]) == ("min", "val/loss")
    assert pruning_metric([("min", "latency/p50_ms")]) == ("max", "val/miou")


def test_figures_are_those_of_the_first_best_row(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    for step, score in enumerate([0.2, 0.5, None, 0.5, 0.4]):
        run.append_metrics({"step": step, "val/miou": score, "val/loss": float(step)})
    assert best_row(run)["val/loss"] == 1.0
    assert curve(run, "val/miou") == {1: 0.2, 2: 0.5, 4: 0.5, 5: 0.4}
    assert best_row(RunDirectory(tmp_path / "none")) == {}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"zip": ["a", "b"]}, "sweep.zip is for grids"),
        ({"jobs": ["encoder=stdc1"]}, "sweep.jobs is for grids"),
        ({"exclude": ["encoder=stdc1"]}, "sweep.exclude is for grids"),
        ({"wait": False}, "sweep.wait=false"),
    ],
)
def test_what_a_search_would_not_heed_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_settings(SweepSettings(**given))


def test_more_workers_than_slots_are_refused() -> None:
    check_slots(PlayedQueue(slots=None), SweepSettings(workers=9))
    with pytest.raises(UserError, match=r"hydra\.launcher\.jobs=3"):
        check_slots(PlayedQueue(slots=2), SweepSettings(workers=3))


def test_an_array_limit_would_limit_nothing() -> None:
    with pytest.raises(UserError, match=r"array_parallelism has no effect"):
        check_slots(SlurmQueue(array_parallelism=2), SweepSettings())


@pytest.mark.parametrize(
    ("profile", "key"),
    [
        ({"enabled": True, "latency": False}, "latency/p50_ms"),
        ({"enabled": False, "latency": True}, "model/macs"),
    ],
)
def test_figures_that_are_not_measured_are_refused(profile: dict[str, bool], key: str) -> None:
    check_measured(["val/miou"], profile)
    with pytest.raises(UserError, match=key):
        check_measured(["val/miou", key], profile)
    check_measured([key], {"enabled": True, "latency": True})


def test_a_search_that_was_begun_with_something_else_is_refused() -> None:
    base = {"trainer": {"max_epochs": 2}, "data": {"root": "here"}, "logger": {"name": "csv"}}
    space = [Parameter("fusion", ("add", "cff")), Parameter("x", low=0.0, high=1.0)]
    options = {"fusion=add": {"fusion": {"kernel": 3}}}
    begun = terms_of(space, SweepSettings(seeds=(1, 2)), base, options)
    # The path of the data, how a run is tracked, and in which order choices are typed is the same.
    other = {**base, "data": {"root": "there"}, "logger": {"name": "wandb"}}
    turned = [Parameter("fusion", ("cff", "add")), space[1]]
    refuse_other_terms("s", begun, terms_of(turned, SweepSettings(seeds=(1, 2)), other, options))
    assert in_known_order(turned, begun) == space
    for parameters, settings, config_, words in (
        (space, SweepSettings(seeds=(1,)), base, r"sweep.seeds was \[1, 2\], is \[1\]"),
        (space[:1], SweepSettings(seeds=(1, 2)), base, "x was 0..1 .real., is not given"),
        (space, SweepSettings(seeds=(1, 2), where="macs<1"), base, "sweep.where was not given"),
        (space, SweepSettings(seeds=(1, 2)), {"trainer": {"max_epochs": 3}}, "max_epochs was 2"),
    ):
        with pytest.raises(UserError, match=words):
            refuse_other_terms("s", begun, terms_of(parameters, settings, config_, options))
    edited = {"fusion=add": {"fusion": {"kernel": 5}}}
    with pytest.raises(UserError, match="fusion=add stands for another configuration now"):
        now = terms_of(space, SweepSettings(seeds=(1, 2)), base, edited)
        refuse_other_terms("s", begun, now)


def test_storage_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be used"):
        open_storage("redis://here", tmp_path)
    with pytest.raises(UserError, match="cannot be opened"):
        open_storage("sqlite:////nowhere/at/all/study.db", tmp_path)


def test_searchers_that_start_later_draw_otherwise() -> None:
    assert mixed(1, 0) == mixed(1, 0)
    assert len({mixed(1, 0), mixed(1, 1), mixed(2, 0)}) == 3


class Launcher:
    """Plays a third-party launcher: every second job cannot even start."""

    def __init__(self, sweep: SweepDirectory) -> None:
        self.sweep = sweep
        self.batches: list[list[list[str]]] = []

    def launch(self, overrides: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        assert initial_job_idx == sum(map(len, self.batches))
        self.batches.append([list(each) for each in overrides])
        for number, each in enumerate(overrides):
            place = next(text for text in each if text.startswith("run_dir="))
            run = RunDirectory(place.removeprefix("run_dir=").strip("'"))
            assert each[-1] == "resume=auto"
            if number % 2 == 0:
                job = next(j for j in self.sweep.jobs() if self.sweep.run(j).path == run.path)
                row = figures_of(self.sweep.saved(job)["config"], 1.0)
                run.append_metrics({"epoch": 1, "step": 1, **row})
                run.write_status("finished")


def test_a_third_party_launcher_runs_batches(tmp_path: Path) -> None:
    launcher: Any = Launcher(SweepDirectory(tmp_path))
    queue: Any = PluginQueue(launcher, jobs=2)
    search = toy_search(tmp_path, queue, trials=5)
    search.run()
    assert {len(batch) for batch in launcher.batches} <= {1, 2}
    ended = [each.state.name for each in search.study.counted()]
    assert len(ended) == 5 and {"COMPLETE", "FAIL"} == {*ended}


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, fate, code in (("a", "finish", 0), ("b", "fail", 1)):
        search = toy_search(tmp_path / name, PlayedQueue(fate=lambda c, a, f=fate: f), trials=2)
        assert run_search(search) == code
    other = (("max", "val/miou"),)
    search = toy_search(tmp_path / "a", PlayedQueue(), trials=2, objectives=other)
    assert run_search(search) == 0
    assert "a was searched for max:val/miou,min:latency/p50_ms too" in capsys.readouterr().out


def test_a_search_over_real_designs(tmp_path: Path) -> None:
    overrides = [
        "decoder=fld,fcn8s",
        "fusion=add,uafm_spatial",
        "encoder=stdc1,resnet50",
        "profile.size=[64,128]",
    ]
    settings = SweepSettings(trials=9, where="params<20e6", name="real")
    parameters, common = read_parameters(overrides, files.groups())
    sweep = SweepDirectory(tmp_path / "real")
    search = make_search(
        sweep,
        PlayedQueue(length=1),
        settings,
        parameters,
        common,
        say=lambda line: None,
        interval_s=0.01,
    )
    search.run()
    points = [each.user_attrs["point"] for each in search.study.complete()]
    assert {"decoder": "fcn8s", "encoder": "stdc1"} in points
    assert len(points) == 3 and all(point["encoder"] == "stdc1" for point in points)
    assert all(job.cost["params"] < 20e6 for job in sweep.jobs())
    with pytest.raises(UserError, match=r"fusion was add,uafm_spatial, is add,cff"):
        more, _ = read_parameters(["fusion=add,cff", *overrides[:1], overrides[2]], files.groups())
        make_search(sweep, PlayedQueue(), settings, more, common)
