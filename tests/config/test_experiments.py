"""Every published recipe composes, fits its model and data, and can be turned into a training."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from segscape import build, preflight
from segscape.config import composing, files, targets
from segscape.config.moved import option_today
from segscape.errors import UserError
from segscape.losses.class_weights import class_weights
from segscape.losses.heads import HeadLosses
from segscape.models.segmenter import Segmenter
from segscape.optim.groups import parameter_groups


def models_of(experiment: str) -> list[str]:
    """The models in the header of an experiment, its own first; empty where it lists none."""
    header = files.file_of("experiment", experiment).read_text()
    return re.findall(r"^#   model=(\w+)", header, flags=re.MULTILINE)


# Experiment, and the model typed with it where there is a choice.
CASES = [
    (name, model) for name in files.groups()["experiment"] for model in models_of(name) or [None]
]
# Quick runs take one of each system.
QUICK = {re.split(r"_|\d", case[0])[0]: case for case in reversed(CASES)}.values()
EACH = [
    pytest.param(
        *case, marks=() if case in QUICK else pytest.mark.slow, id="-".join(filter(None, case))
    )
    for case in CASES
]


@cache
def settings(name: str, model: str | None = None) -> dict[str, Any]:
    typed = [f"model={model}"] if model else []
    composed = composing.compose([f"experiment={name}", *typed, "data.root=somewhere"])
    plain: Any = OmegaConf.to_container(composed, resolve=True)
    return plain


def data_of(name: str) -> str:
    """The data set in the name of an experiment."""
    return name.removesuffix("_512").rpartition("_")[2]


def classes(chosen: dict[str, Any]) -> int:
    """How many classes the data set has, without looking for its files."""
    return len(targets.locate(chosen["data"]["_target_"], "data").classes)


@cache
def network_of(name: str, model: str | None = None) -> Segmenter:
    """The network of an experiment, without memory for its weights."""
    return on_meta(settings(name, model))


def on_meta(chosen: dict[str, Any]) -> Segmenter:
    with torch.device("meta"):
        return build.model(chosen, num_classes=classes(chosen))


def losses(chosen: dict[str, Any]) -> HeadLosses:
    """The losses of all heads; rules for class weights are applied to equal shares."""
    number = classes(chosen)

    def criterion(node: dict[str, Any], key: str) -> torch.nn.Module:
        target, given = targets.arguments(node, key)
        if isinstance(given.get("class_weights"), str):
            shares = [1 / number] * number
            given["class_weights"] = class_weights(given["class_weights"], shares)
        module: torch.nn.Module = target(**given)
        return module

    heads = build.auxiliary(chosen)
    own = {n: criterion(dict(h.loss), n) for n, h in heads.items() if h.loss is not None}
    weights = {"main": 1.0, **{n: head.weight for n, head in heads.items()}}
    return HeadLosses(criterion(chosen["loss"], "loss"), weights, own)


@pytest.mark.parametrize(("name", "model"), EACH)
def test_an_experiment_is_right_before_data_is_touched(name: str, model: str | None) -> None:
    chosen = settings(name, model)
    preflight.check_config(chosen, [f"experiment={name}"])
    own = settings(name)["model"]["name"]
    assert own == models_of(name)[0] if model else name == f"{own}_{data_of(name)}"
    assert chosen["model"]["name"] == (model or own)
    node = files.option("data", data_of(name))
    expected = node.get("data", node)
    for key in expected.keys() - {"root", "seed", "crop", "batch_size"}:
        assert chosen["data"][key] == expected[key], key
    assert (chosen["trainer"]["max_epochs"] is None) != (chosen["trainer"]["max_steps"] is None)
    build.factory(chosen["augment"], "augment")()


@pytest.mark.parametrize(("name", "model"), EACH)
def test_an_experiment_becomes_a_training(name: str, model: str | None) -> None:
    chosen = settings(name, model)
    network = network_of(name, model)
    optimizer = build.factory(chosen["optim"], "optim")(network)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())
    schedule = build.factory(chosen["schedule"], "schedule")(optimizer, 300_000)
    factors = [group["lr_factor"] for group in optimizer.param_groups]
    first = [rate / factor for rate, factor in zip(schedule.get_last_lr(), factors, strict=True)]
    assert first == pytest.approx([first[0]] * len(first)) and first[0] > 0
    crop = chosen["data"]["crop"]
    preflight.check_training_step(network, chosen["data"]["batch_size"], (crop[0], crop[1]))
    criteria = losses(chosen)
    criteria.check(["main", *network.auxiliary])
    number = classes(chosen)
    label = torch.randint(0, number, (2, 16, 16), generator=torch.Generator().manual_seed(0))
    label[0, :4] = 255
    outputs = {
        head: torch.zeros(2, 1 if head == "detail" else number, 16, 16)
        for head in ("main", *network.auxiliary)
    }
    total, terms = criteria(outputs, label)
    assert torch.isfinite(total) and set(terms) == set(outputs)


def test_every_system_has_its_recipes() -> None:
    models = set(files.groups()["model"])
    without = models - {model or settings(name)["model"]["name"] for name, model in CASES}
    assert without <= {"espnetv2_s125"}, without  # published as a classifier only


def test_a_recipe_can_be_taken_by_any_model() -> None:
    chosen: Any = composing.compose(["recipe=mmseg", "model=bisenet"])
    assert (chosen.model.name, chosen.optim.lr, chosen.schedule.end_lr) == ("bisenet", 0.01, 1e-4)
    other: Any = composing.compose(["experiment=pspnet_cityscapes", "recipe=mmseg"])
    assert (other.optim.weight_decay, other.data.crop) == (5e-4, [713, 713])


# As experiments were called when each model had its own.
GONE = {
    "pspnet_resnet101_cityscapes": "experiment=pspnet_cityscapes model=pspnet_resnet101",
    "ppliteseg_t_camvid": "experiment=ppliteseg_camvid model=ppliteseg",
    "ppliteseg_b_cityscapes": "experiment=ppliteseg_cityscapes model=ppliteseg_b",
    "espnetv2_s15_cityscapes_512": "experiment=espnetv2_cityscapes_512 model=espnetv2_s15",
    "sfnet_lite_resnet18_cityscapes": "experiment=sfnet_lite_cityscapes model=sfnet_lite_resnet18",
    "sfnet_stdc2_cityscapes": "experiment=sfnet_lite_cityscapes model=sfnet_stdc2",
    "bisenetv2_large_camvid": "experiment=bisenetv2_camvid model=bisenetv2_large",
    "bisenet_paper_recipe": "recipe=bisenet_paper",
}


@pytest.mark.parametrize("name", GONE)
def test_an_experiment_that_is_one_with_others_gives_an_error_with_both(name: str) -> None:
    with pytest.raises(UserError, match=f"it is {GONE[name]} today"):
        composing.compose([f"experiment={name}"])


@pytest.mark.parametrize(("name", "model"), [case for case in CASES if case[1]])
def test_every_model_of_a_header_once_had_its_experiment(name: str, model: str) -> None:
    data = re.search(r"_[a-z0-9]+(_512)?$", name)
    assert data is not None
    once = f"{model}{data[0]}"
    if once != name:
        assert option_today("experiment", once) == (f"experiment={name}", f"model={model}")


def test_a_recipe_that_a_yaml_of_the_user_names_is_explained_too(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# Mine\ndefaults: [bisenet_recipe]\n"
    )
    with files.extra_config_dir(tmp_path), pytest.raises(UserError) as caught:
        composing.compose(["experiment=mine"])
    assert "it is recipe=bisenet today" in str(caught.value)


# What the original multiplies the learning rate of by how much, and what keeps its rate.
RATES = [
    (
        "stdcseg_cityscapes",
        10,
        ["decoder.fusions.0.", "head.", "auxiliary.decoder_16.", "auxiliary.detail."],
        ["encoder.", "context.", "decoder.to8.", "decoder.refine16."],
    ),
    (
        "bisenet_cityscapes",
        10,
        ["decoder.fusions.0.", "head.", "auxiliary.decoder_context8."],
        ["encoder.", "context.", "decoder.to16."],
    ),
    ("bisenetv2_cityscapes", 10, ["head.", "auxiliary."], ["encoder.", "context.", "decoder."]),
    (
        "bisenet_xception39_cityscapes",
        10,
        ["encoder.spatial.", "context.", "decoder.", "head.", "auxiliary."],
        ["encoder.body."],
    ),
    ("pspnet_cityscapes", 10, ["context.", "head.", "auxiliary."], ["encoder."]),
    ("espnetv2_cityscapes", 10, ["decoder."], ["encoder."]),
    (
        "fcn8s_vgg16_cityscapes",
        2,
        ["context.fc6.bias", "decoder.score_context.bias"],
        ["context.fc6.weight", "decoder.score_context.weight"],
    ),
]


@pytest.mark.parametrize(("name", "factor", "faster", "plain"), RATES)
def test_the_learning_rates_of_parts(
    name: str, factor: float, faster: list[str], plain: list[str]
) -> None:
    chosen = settings(name)
    network = network_of(name)
    optimizer = build.factory(chosen["optim"], "optim")(network)
    factors = {
        id(parameter): group["lr_factor"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    found = {key: factors[id(parameter)] for key, parameter in network.named_parameters()}
    for prefixes, expected in ((faster, factor), (plain, 1)):
        for prefix in prefixes:
            of_it = {value for key, value in found.items() if key.startswith(prefix)}
            assert of_it == {expected}, f"{prefix} has {of_it}"


@pytest.mark.parametrize(
    "name", ["stdcseg_cityscapes", "bisenet_cityscapes", "bisenetv2_cityscapes"]
)
def test_without_decay_are_exactly_the_parameters_of_one_dimension(name: str) -> None:
    chosen = settings(name)
    network = network_of(name)
    optimizer = build.factory(chosen["optim"], "optim")(network)
    exempt = {
        id(parameter)
        for group in optimizer.param_groups
        if group["weight_decay"] == 0
        for parameter in group["params"]
    }
    assert exempt == {id(p) for p in network.parameters() if p.ndim == 1}


def test_other_parts_may_stand_in_an_experiment() -> None:
    overrides = ["experiment=bisenet_cityscapes", "data.root=x", "model.auxiliary=null"]
    chosen: Any = OmegaConf.to_container(
        composing.compose([*overrides, "fusion=add"]), resolve=True
    )
    network = on_meta(chosen)
    groups = parameter_groups(network, 0.1, 0.0, lr_factors=chosen["optim"]["lr_factors"])
    assert {group["lr_factor"] for group in groups} == {1.0, 10.0}
    chosen["optim"]["lr_factors"] = {"auxiliary": 10}
    with pytest.raises(UserError, match="matches no trainable parameter"):
        build.factory(chosen["optim"], "optim")(network)
