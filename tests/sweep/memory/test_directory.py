from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from small_sweep import config_of, planned

from segscape.config.identity import design, identity
from segscape.errors import UserError
from segscape.sweep.memory.directory import Attempt, SweepDirectory
from segscape.sweep.settings import objective, read_settings


def test_a_job_is_its_configuration_not_where_it_runs() -> None:
    one = config_of("add")
    moved = {**one, "run_dir": "/else/where", "resume": "auto", "logger": {"project": "y"}}
    moved["data"] = {**one["data"], "root": "/scratch"}
    assert identity(moved) == identity(one)
    assert identity(config_of("add", seed=2)) != identity(one)
    assert identity({**one, "data": {**one["data"], "size": [1, 2]}}) != identity(one)
    assert identity({**one, "init": "weights.safetensors"}) != identity(one)


def test_a_design_has_many_seeds() -> None:
    assert design(config_of("add", 1)) == design(config_of("add", 2))
    assert design(config_of("add")) != design(config_of("concat"))


def test_the_manifest_only_grows(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path / "s")
    first = sweep.add([planned("add"), planned("concat"), planned("add")])
    assert [job.varied["fusion"] for job in first] == ["add", "concat"]
    second = sweep.add([planned("bga"), planned("add")])
    assert [job.id for job in sweep.jobs()] == [*(job.id for job in first), second[0].id]
    assert second[1] == first[0]
    assert sweep.saved(first[0])["config"] == dict(planned("add").config)
    assert sweep.saved(first[0])["group"] == "s"


def test_folders_are_safe_whatever_the_values_hold(tmp_path: Path) -> None:
    odd = replace(planned("add"), varied={"init": "/a b/ü[1],{x}", "optim.lr": "0.01"})
    (job,) = SweepDirectory(tmp_path).add([odd])
    assert set(job.folder) <= set(
        "abcdefghijklmnopqrstuvwxyz0123456789.-_+ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    long = replace(planned("bga"), varied={"init": "x" * 500})
    assert len(SweepDirectory(tmp_path).add([long])[0].folder) < 100


def test_jobs_are_found_by_what_people_type(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    add, concat = sweep.add([planned("add"), planned("concat")])
    assert sweep.job(add.id[:4]) == add
    assert sweep.job(concat.folder) == concat
    assert sweep.job("fusion=concat seed=1") == concat
    with pytest.raises(UserError, match="did you mean 'fusion=concat seed=1'"):
        sweep.job("fusion=concat seed=11")


def test_names_are_written_as_they_are_typed(tmp_path: Path) -> None:
    varied = {"data.size": [64, 128], "init": None, "fusion": "add", "+note": "a, b"}
    (job,) = SweepDirectory(tmp_path).add([replace(planned("add"), varied=varied)])
    assert job.name == "data.size=[64,128] init=null fusion=add +note='a, b'"


def test_the_log_of_a_job_that_never_began_is_that_of_slurm(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    (job,) = sweep.add([planned("add")])
    attempt = Attempt("t1", "slurm", "7_1", "2026-01-01T00:00:00+00:00", "code")
    sweep.record(job, attempt)
    own = sweep.place(job) / "log.txt"
    assert sweep.log_path(job) == own
    slurms = tmp_path / "slurm" / "7_1_0_log.err"
    slurms.parent.mkdir()
    slurms.touch()
    assert sweep.log_path(job) == slurms
    own.touch()
    assert sweep.log_path(job) == own


@pytest.mark.parametrize("content", ["", '{"jobs": [', "[]", '{"jobs": [{"id": "a"}]}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    sweep = SweepDirectory(tmp_path)
    sweep.add([planned("add")])
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json is damaged") as caught:
        sweep.jobs()
    assert "run the command of its run or sweep again" in str(caught.value)


def test_what_a_damaged_manifest_listed_is_found_again(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    before = sweep.add([planned("add"), planned("concat")])
    sweep.record(before[0], Attempt("t1", "local", "1", "2026-01-01T00:00:00+00:00", "code"))
    (tmp_path / "manifest.json").unlink()
    assert sweep.add([planned("add"), planned("concat")]) == before
    assert [each.token for each in sweep.attempts(before[0])] == ["t1"]


def test_damaged_attempts_are_named(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    (job,) = sweep.add([planned("add")])
    (sweep.place(job) / "attempts.json").write_text('{"attempts": [{"token": "t1"}]}')
    with pytest.raises(UserError, match=r"attempts\.json is damaged"):
        sweep.attempts(job)


def test_a_place_that_cannot_hold_a_sweep_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sweep = SweepDirectory(tmp_path / "file" / "sweep")
    with pytest.raises(UserError, match=r"cannot be used") as caught, sweep.lock():
        pass
    assert "sweep.dir=DIR" in str(caught.value)


def test_attempts_replace_their_own_kind(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    (job,) = sweep.add([planned("add")])
    one = Attempt("t1", "local", None, "2026-01-01T00:00:00+00:00", "code")
    sweep.record(job, one)
    sweep.record(job, replace(one, token="t2"))
    sweep.record(job, replace(one, queue_id="7"))
    assert [(each.token, each.queue_id) for each in sweep.attempts(job)] == [
        ("t1", "7"),
        ("t2", None),
    ]


def _add(path: str, first: int) -> None:
    sweep = SweepDirectory(path)
    for seed in range(first, first + 10):
        sweep.add([planned("add", seed)])


def test_two_processes_do_not_lose_each_others_jobs(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_add, args=(str(tmp_path), first)) for first in (0, 5, 100)]
    for each in others:
        each.start()
    for each in others:
        each.join()
    assert len(SweepDirectory(tmp_path).jobs()) == 25


def test_the_lock_is_reentrant_and_released(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    with sweep.lock(), SweepDirectory(tmp_path).lock():
        pass
    with sweep.lock(timeout_s=0):
        pass


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"seed_s": 3}, "did you mean sweep.seeds?"),
        ({"pruner": "medain"}, "did you mean sweep.pruner=median?"),
        ({"retry_failed": -1}, "retry_failed"),
        ({"seeds": [1, 1]}, "seeds"),
        ({"seeds": True}, "seeds"),
        ({"seeds": 10**9}, "seeds"),
        ({"name": "a/b"}, "without slashes"),
        ({"name": "a:b"}, "colons"),
        ({"name": ""}, "is empty"),
        ({"dir": ""}, "is empty"),
        ({"name": "x" * 200}, "too long"),
        ({"objectives": ["val/miou"]}, "max:KEY"),
        ({"wait": "no"}, "true or false"),
    ],
)
def test_wrong_settings_are_named(given: dict[str, object], expected: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(given)
    assert expected in str(caught.value)


def test_settings_have_the_types_that_follow() -> None:
    settings = read_settings({"seeds": 3, "objectives": "min:model/macs", "exclude": "fusion=add"})
    assert settings.seeds == (1, 2, 3)
    assert settings.objectives == (("min", "model/macs"),)
    assert settings.exclude == ["fusion=add"]
    assert objective("max:val/iou/road") == ("max", "val/iou/road")


def test_the_yaml_and_the_class_agree() -> None:
    import dataclasses

    from segscape.config.files import option
    from segscape.sweep.settings import SweepSettings

    given = read_settings(option("sweep", "default"))
    assert given == SweepSettings(exclude=[], jobs=[], zip=[], constraints=[])
    names = {field.name for field in dataclasses.fields(SweepSettings)}
    assert set(option("sweep", "default")) == names


def test_a_seed_that_the_data_follow_is_no_other_design() -> None:
    one, two = (
        {**config_of("add", seed), "data": {"size": [1, 2], "seed": seed}} for seed in (1, 2)
    )
    assert design(one) == design(two)
    other = {**one, "data": {"size": [1, 2], "seed": 7}}
    assert design(other) != design(one)
