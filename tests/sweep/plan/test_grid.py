"""Which jobs a sweep has."""

from __future__ import annotations

from typing import Any

import pytest

from segscape.config.override_text import typed, words, written
from segscape.errors import UserError
from segscape.sweep.plan.grid import axes_of, expand, split
from segscape.sweep.settings import read_settings


def points(*overrides: str, **sweep: Any) -> list[dict[str, str]]:
    axes, common = axes_of(overrides)
    return expand(axes, read_settings(sweep), common)


def named(*overrides: str, **sweep: Any) -> list[str]:
    return [" ".join(f"{k}={v}" for k, v in point.items()) for point in points(*overrides, **sweep)]


def test_axes_are_what_hydra_reads() -> None:
    axes, common = axes_of(
        [
            "fusion=add,concat",
            "seed=range(1,4)",
            "encoder=choice(stdc1, stdc2)",
            "data.size=[64,128],[128,256]",
            "run_dir='a b','c,d'",
            "trainer.max_epochs=2",
        ]
    )
    assert axes == {
        "fusion": ["add", "concat"],
        "seed": ["1", "2", "3"],
        "encoder": ["stdc1", "stdc2"],
        "data.size": ["[64,128]", "[128,256]"],
        "run_dir": ["'a b'", "'c,d'"],
    }
    assert common == ["trainer.max_epochs=2"]


def test_a_pattern_stands_for_the_options_of_its_group() -> None:
    axes, _ = axes_of(["fusion=glob(uafm*,exclude=*_mean)"])
    assert axes == {"fusion": ["uafm_channel", "uafm_spatial"]}
    with pytest.raises(UserError, match="matches no option"):
        axes_of(["fusion=glob(nothing*)"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=range(4,1)", "has no values"),
        ("seed=range(1,4,0)", "cannot be listed"),
        ("seed=range(0,1000000000)", "more than 20000 combinations"),
    ],
)
def test_a_range_that_cannot_be_run_is_explained(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        axes_of([override])


def test_millions_of_combinations_are_refused_before_they_are_made() -> None:
    with pytest.raises(UserError, match="more than 20000 combinations"):
        points("seed=range(0,9000)", "optim.lr=range(1,9000)", "data.seed=range(0,9000)")


def test_the_marks_of_admitted_arguments_are_no_part_of_a_key() -> None:
    axes, common = axes_of(["++optim.lr=0.1,0.2", "+data.note=a,b", "++optim.eps=1"])
    assert list(axes) == ["optim.lr", "+data.note"]
    assert common == ["++optim.eps=1"]


def test_intervals_are_kept_for_a_search_and_refused_by_a_grid() -> None:
    sweeps, common = split(["optim.lr=tag(log, interval(1e-4, 1e-2))", "fusion=add"])
    assert sweeps["optim.lr"].value().tags == {"log"}
    assert common == ["fusion=add"]
    with pytest.raises(UserError, match="can be listed") as raised:
        axes_of(["optim.lr=interval(0,1)"])
    assert "hydra/sweeper=optuna" in str(raised.value)


@pytest.mark.parametrize("second", ["fusion=ffm", "fusion=ffm,gated"])
def test_a_varied_key_is_given_once(second: str) -> None:
    with pytest.raises(UserError, match="fusion is given twice"):
        axes_of(["fusion=add,concat", second])
    with pytest.raises(UserError, match="fusion is given twice"):
        axes_of([second, "fusion=add,concat"])


def test_a_grid_comes_as_typed_with_the_seeds_innermost() -> None:
    assert named("fusion=add,ffm", "encoder=a,b", seeds=2) == [
        "fusion=add encoder=a seed=1",
        "fusion=add encoder=a seed=2",
        "fusion=add encoder=b seed=1",
        "fusion=add encoder=b seed=2",
        "fusion=ffm encoder=a seed=1",
        "fusion=ffm encoder=a seed=2",
        "fusion=ffm encoder=b seed=1",
        "fusion=ffm encoder=b seed=2",
    ]
    assert named("fusion=add,ffm", seeds=[5, 9])[1] == "fusion=add seed=9"


def test_without_axes_there_is_one_point() -> None:
    assert points() == [{}]


def test_what_is_typed_takes_the_place_of_the_same_axis_of_the_yaml() -> None:
    grid = {"fusion": ["add", "ffm"], "optim.lr": [0.1, 0.01]}
    assert len(points(grid=grid)) == 4
    assert named("fusion=gated,concat", grid={"fusion": ["add"]}) == [
        "fusion=gated",
        "fusion=concat",
    ]
    assert named("fusion=gated", grid=grid) == ["optim.lr=0.1", "optim.lr=0.01"]


def test_an_axis_of_the_yaml_may_be_written_as_on_the_command_line() -> None:
    grid = {"fusion": "glob(uafm_s*)", "seed": "range(1,3)", "encoder": "stdc1"}
    assert named(grid=grid)[:2] == [
        "fusion=uafm_spatial seed=1 encoder=stdc1",
        "fusion=uafm_spatial seed=2 encoder=stdc1",
    ]
    with pytest.raises(UserError, match=r"sweep\.grid\.fusion is empty"):
        points(grid={"fusion": []})


def test_zipped_axes_go_together_at_the_place_of_the_first() -> None:
    assert named("encoder=a,b", "seed=1,2", "fusion=add,ffm", zip=["encoder", "fusion"]) == [
        "encoder=a fusion=add seed=1",
        "encoder=a fusion=add seed=2",
        "encoder=b fusion=ffm seed=1",
        "encoder=b fusion=ffm seed=2",
    ]
    two = points("a=1,2", "b=3,4", "c=5,6,7", "d=8,9,10", zip=[["a", "b"], ["c", "d"]])
    assert len(two) == 6


@pytest.mark.parametrize(
    ("zipped", "message"),
    [
        (["encoder", "fusion"], "not equally long: encoder has 2, fusion has 3"),
        (["encoder", "fusoin"], "fusoin is not varied"),
        (["encoder"], "goes with nothing"),
        (["encoder", ["fusion", "seed"]], "mixes keys and lists"),
        ([["encoder", "seed"], ["seed", "encoder"]], "stands there twice"),
    ],
)
def test_a_wrong_zip_is_explained(zipped: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        points("encoder=a,b", "fusion=add,ffm,gated", "seed=1,2", zip=zipped)


def test_explicit_jobs_are_multiplied_with_the_axes() -> None:
    jobs = ["encoder=stdc1 fusion=add", {"encoder": "stdc2", "fusion": "concat"}]
    assert named("optim.lr=0.1,0.2", jobs=jobs) == [
        "encoder=stdc1 fusion=add optim.lr=0.1",
        "encoder=stdc1 fusion=add optim.lr=0.2",
        "encoder=stdc2 fusion=concat optim.lr=0.1",
        "encoder=stdc2 fusion=concat optim.lr=0.2",
    ]


@pytest.mark.parametrize(
    ("overrides", "job", "message"),
    [
        (["encoder=a,b"], "encoder=c", "encoder is given by a job and varied by the grid"),
        (["encoder=a"], "encoder=c", "encoder is given by a job and set for all jobs"),
        ([], "encoder=a,b", "encoder=a,b has several values"),
        ([], 3, "3 cannot be read"),
    ],
)
def test_wrong_jobs_are_explained(overrides: list[str], job: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        points(*overrides, jobs=[job])


def test_the_same_combination_stands_there_once() -> None:
    assert named(jobs=["seed=1 encoder=a", {"encoder": "a", "seed": 1}, "encoder=a seed=2"]) == [
        "encoder=a seed=1",
        "encoder=a seed=2",
    ]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ([{"encoder": "b", "fusion": "add"}], 6),
        (["encoder=b fusion=add"], 6),
        (["encoder=b"], 4),
        (["fusion=a*", {"fusion": "f*", "encoder": "a"}], 2),
        ([{"optim.lr": 0.01}], 4),
        ([{"optim.lr": 0.01, "encoder": "*"}], 4),
    ],
)
def test_excluded_combinations_are_left_out(exclude: list[Any], left: int) -> None:
    assert (
        len(points("encoder=a,b", "fusion=add,ffm", "optim.lr=1e-2,0.1", exclude=exclude)) == left
    )


def test_excluding_everything_is_an_error() -> None:
    with pytest.raises(UserError, match="leaves no combination"):
        points("encoder=a,b", exclude=["encoder=*"])


def test_brackets_in_an_exclusion_are_no_pattern() -> None:
    left = points("data.size=[64,128],[6,128]", exclude=[{"data.size": [64, 128]}])
    assert left == [{"data.size": "[6,128]"}]


@pytest.mark.parametrize(
    ("exclude", "message", "hint"),
    [
        ({"encoder": "c"}, "matches none of the 4", "encoder is a, b"),
        ({"encodr": "a"}, "encodr is not varied", "did you mean encoder"),
        ({}, "empty entry", ""),
        ("encoder", "not key=value", "encoder=stdc2"),
        (7, "cannot be read", ""),
    ],
)
def test_a_wrong_exclusion_is_explained(exclude: Any, message: str, hint: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        points("encoder=a,b", "fusion=add,ffm", exclude=[exclude])
    assert hint in str(raised.value)


@pytest.mark.parametrize("overrides", [["seed=1,2"], ["seed=4"]])
def test_two_kinds_of_seeds_are_an_error(overrides: list[str]) -> None:
    with pytest.raises(UserError, match=r"seed= and sweep\.seeds are both given"):
        points(*overrides, seeds=3)


@pytest.mark.parametrize(
    "value",
    ["a", "a b", "a,b", "1", "null", "true", "it's", 1, 0.1, None, True, [1, "2"], {"a": "b,c"}],
)
def test_what_is_written_reads_back_as_the_same(value: Any) -> None:
    assert typed(written(value)) == value
    assert type(typed(written(value))) is type(value)


def test_a_text_of_overrides_is_split_outside_of_quotes_and_brackets() -> None:
    text = "encoder=stdc1  data.size=[64, 128] run_dir='a b' x={a: 1}"
    assert list(words(text)) == [
        "encoder=stdc1",
        "data.size=[64, 128]",
        "run_dir='a b'",
        "x={a: 1}",
    ]
