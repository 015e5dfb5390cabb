"""Every published recipe composes, fits its model and data, and can be turned into a training."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from segscape import build, preflight
from segscape.config import composing, files, targets
from segscape.errors import UserError
from segscape.losses.class_weights import class_weights
from segscape.losses.heads import HeadLosses
from segscape.models.segmenter import Segmenter
from segscape.optim.groups import parameter_groups

NAMES = [name for name in files.groups()["experiment"] if not name.endswith("_recipe")]
# Quick runs take one of each system.
QUICK = set({re.split(r"_|\d", name)[0]: name for name in reversed(NAMES)}.values())
EACH = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow, id=name) for name in NAMES
]


@cache
def settings(name: str) -> dict[str, Any]:
    composed = composing.compose([f"experiment={name}", "data.root=somewhere"])
    plain: Any = OmegaConf.to_container(composed, resolve=True)
    return plain


def named_after(name: str) -> tuple[str, str]:
    """The model and the data set in the name of an experiment."""
    name = name.removesuffix("_512").replace("ppliteseg_t_", "ppliteseg_")
    model, _, data = name.rpartition("_")
    return model, data


def classes(chosen: dict[str, Any]) -> int:
    """How many classes the data set has, without looking for its files."""
    return len(targets.locate(chosen["data"]["_target_"], "data").classes)


@cache
def network_of(name: str) -> Segmenter:
    """The network of an experiment, without memory for its weights."""
    return on_meta(settings(name))


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


@pytest.mark.parametrize("name", EACH)
def test_an_experiment_is_right_before_data_is_touched(name: str) -> None:
    chosen = settings(name)
    preflight.check_config(chosen, [f"experiment={name}"])
    model, data = named_after(name)
    assert chosen["model"]["name"] == model
    node = files.option("data", data)
    expected = node.get("data", node)
    for key in expected.keys() - {"root", "seed", "crop", "batch_size"}:
        assert chosen["data"][key] == expected[key], key
    assert (chosen["trainer"]["max_epochs"] is None) != (chosen["trainer"]["max_steps"] is None)
    build.factory(chosen["augment"], "augment")()


@pytest.mark.parametrize("name", EACH)
def test_an_experiment_becomes_a_training(name: str) -> None:
    chosen = settings(name)
    network = network_of(name)
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
    without = models - {named_after(name)[0] for name in NAMES}
    assert without <= {"espnetv2_s125"}, without  # published as a classifier only


# What the original multiplies the learning rate of by how much, and what it leaves alone.
RATES = [
    (
        "stdcseg_stdc1_cityscapes",
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
    ("pspnet_resnet50_cityscapes", 10, ["context.", "head.", "auxiliary."], ["encoder."]),
    ("espnetv2_s05_cityscapes", 10, ["decoder."], ["encoder."]),
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
    "name", ["stdcseg_stdc1_cityscapes", "bisenet_cityscapes", "bisenetv2_cityscapes"]
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
