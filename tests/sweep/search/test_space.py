"""The parameter space of a search: axes of a command line, and when they exist."""

from __future__ import annotations

import optuna
import pytest

from segscape.config import command_line, composing, files
from segscape.errors import UserError
from segscape.sweep.search.conditions import Conditions
from segscape.sweep.search.space import Parameter, Space, read_parameters

GROUPS = {"encoder": ["stdc1", "stdc2", "resnet18"], "fusion": ["add", "uafm_spatial"]}


def read(*overrides: str) -> dict[str, Parameter]:
    return {each.key: each for each in read_parameters(overrides, GROUPS)[0]}


def test_every_kind_of_axis() -> None:
    found = read(
        "encoder=stdc1,stdc2",
        "fusion=choice(add,uafm_spatial)",
        "optim.lr=tag(log,interval(1e-4,1e-1))",
        "++optim.momentum=interval(0.5,0.99)",
        "trainer.max_epochs=range(10,41,10)",
        "data.batch_size=tag(log,int(interval(2,16)))",
        "optim.weight_decay=0.01,0.001",
        "model.mean=[0,0,0],[1,1,1]",
    )
    assert found["encoder"].choices == ("stdc1", "stdc2")
    assert found["fusion"].choices == ("add", "uafm_spatial")
    assert found["optim.lr"] == Parameter("optim.lr", low=1e-4, high=1e-1, log=True)
    assert found["optim.momentum"].key == "optim.momentum"
    assert list(found["trainer.max_epochs"].texts()) == ["10", "20", "30", "40"]
    assert found["data.batch_size"] == Parameter("data.batch_size", (), 2, 16, 1, True)
    assert found["optim.weight_decay"].choices == ("0.01", "0.001")
    assert found["model.mean"].choices == ("[0,0,0]", "[1,1,1]")


def test_a_glob_stands_for_the_options_of_its_group() -> None:
    found = read_parameters(["encoder=glob(stdc*)"], files.groups())[0]
    assert "stdc1" in found[0].choices and "resnet18" not in found[0].choices


def test_what_is_not_varied_is_common_and_a_grid_adds_axes() -> None:
    grid = {"fusion": ["add", "uafm_spatial"], "x": "interval(0,1)", "seed_": 1}
    parameters, common = read_parameters(["data=streets", "encoder=stdc1,stdc2"], GROUPS, grid)
    assert [each.key for each in parameters] == ["encoder", "fusion", "x"]
    assert common == ["data=streets", "seed_=1"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("encoder=stdc1,stdc3", "did you mean encoder=stdc"),
        ("optim.lr=tag(lg,interval(1e-4,1))", "did you mean log"),
        ("optim.lr=tag(log,interval(0,1))", "low > 0"),
        ("optim.lr=interval(1,0)", "low < high"),
        ("optim.lr=tag(log,choice(1,2))", "belongs to an interval"),
        ("seed=1,2,3", "sweep.seeds=3"),
    ],
)
def test_axes_that_cannot_be_searched(override: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(override)
    assert words in str(caught.value)


def test_drawn_values_are_overrides_that_read_back() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    parameters = [
        Parameter("a", ("x", "y")),
        Parameter("n", low=2, high=10, step=4),
        Parameter("r", low=1e-6, high=1e-5, log=True),
    ]
    space = Space(parameters, lambda key, point: True)
    for _ in range(20):
        trial = study.ask()
        point = space.suggest(trial)
        assert point["n"] in ("2", "6", "10") and point["a"] in ("x", "y")
        assert 1e-6 <= float(point["r"]) <= 1e-5 and len(point["r"]) < 14
        again = study.ask()
        assert again.params == {}
        study.enqueue_trial(space.values(point))
        repeated = space.suggest(study.ask())
        assert repeated == point


def test_a_finite_space_lists_every_point_once() -> None:
    parameters = [Parameter("a", ("x", "y")), Parameter("b", low=1, high=2, step=1)]
    space = Space(parameters, lambda key, point: key != "b" or point["a"] == "x")
    assert list(space.points()) == [{"a": "x", "b": "1"}, {"a": "x", "b": "2"}, {"a": "y"}]


def test_dependent_parameters_are_drawn_later_and_circles_are_refused() -> None:
    a, b = Parameter("a", ("1",)), Parameter("b", ("1",))
    assert [p.key for p in Space([a, b], lambda k, p: True, {"a": {"b"}}).parameters] == ["b", "a"]
    with pytest.raises(UserError, match="depend on each other"):
        Space([a, b], lambda k, p: True, {"a": {"b"}, "b": {"a"}})


def test_a_fusion_is_a_parameter_only_where_the_decoder_uses_one() -> None:
    parameters = read_parameters(
        ["fusion=add,uafm_spatial", "fusion.x=1,2", "decoder=fld,head_free", "head=seg"],
        files.groups(),
    )[0]
    space = Conditions(parameters, [], {}).space(parameters)
    points = list(space.points())
    assert {"decoder": "head_free"} in points
    with_fusion = [point for point in points if point["decoder"] == "fld"]
    assert len(with_fusion) == 4 and len(points) == 5


def test_a_model_brings_its_decoder() -> None:
    parameters = read_parameters(
        ["model=ppliteseg,enet", "context=sppm,ppm", "fusion=add,uafm_spatial"], files.groups()
    )[0]
    points = list(Conditions(parameters, [], {}).space(parameters).points())
    assert {"model": "enet"} in points and len(points) == 5


def test_when() -> None:
    parameters = read_parameters(
        ["optim.momentum=0.8,0.9", "optim=sgd,adamw", "x=1,2"], files.groups()
    )[0]
    when = {"optim.momentum": "optim == 'sgd'", "x": "optim.momentum > 0.85 and model == 'enet'"}
    points = list(Conditions(parameters, ["model=enet"], when).space(parameters).points())
    assert {"optim": "adamw"} in points
    assert {"optim": "sgd", "optim.momentum": "0.8"} in points
    assert {"optim": "sgd", "optim.momentum": "0.9", "x": "2"} in points and len(points) == 4


def test_mappings_of_ones_own_keys_can_be_typed() -> None:
    """Hydra itself adds no key to `sweep.when` unless it is configured to."""
    typed = ["sweep.when={optim.momentum: \"optim == 'sgd'\"}", "sweep.grid={fusion: [add, cff]}"]
    assert command_line.as_typed(command_line.admit(typed)) == typed
    composing.compose(typed)


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"optim.momentm": "optim == 'sgd'"}, "did you mean optim.momentum"),
        ({"optim.momentum": "optm == 'sgd'"}, "did you mean optim"),
        ({"optim.momentum": "optim = 'sgd'"}, "=="),
    ],
)
def test_mistakes_in_when(when: dict[str, str], words: str) -> None:
    parameters = read_parameters(["optim=sgd,adamw", "optim.momentum=0.8,0.9"], files.groups())[0]
    with pytest.raises(UserError) as caught:
        Conditions(parameters, [], when)
    assert words in str(caught.value)
