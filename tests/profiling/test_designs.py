"""Counting part by part gives the figures of counting whole networks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

from segscape import build
from segscape.config import composing, files, systems, targets
from segscape.errors import UserError
from segscape.profiling import complexity, space
from segscape.profiling.designs import DesignCost, DesignCosts
from segscape.profiling.meta import on_meta

SIZE = (96, 192)
QUICK = ("ppliteseg", "ppliteseg_b")


def whole(settings: Any, size: tuple[int, int], num_classes: int) -> dict[str, tuple[int, int]]:
    """Parameters and MACs by part, of the assembled network."""
    counted = complexity.measure(build.model(settings, num_classes=num_classes), size)
    found = {name: (part["params"], part["macs"]) for name, part in counted.parts.items()}
    return {**found, "all": (counted.params, counted.macs)}


def in_parts(cost: DesignCost) -> dict[str, tuple[int, int]]:
    found = {name: (part.params, part.macs) for name, part in cost.parts.items()}
    return {**found, "all": (cost.params, cost.macs)}


def design(choices: dict[str, str]) -> dict[str, Any]:
    """PP-LiteSeg-T with some parts exchanged."""
    base = systems.read("ppliteseg")
    return {**base.settings, **{part: files.option(part, o) for part, o in choices.items()}}


def sample(count: int) -> Iterator[tuple[DesignCost, dict[str, Any]]]:
    """Designs that fit, in a fixed random order."""
    costs = DesignCosts(SIZE, num_classes=7)
    designs = list(space.designs())
    random.Random(0).shuffle(designs)
    for choices in designs:
        settings = space.settings(choices)
        with suppress(UserError):  # does not fit
            yield costs.of(settings), settings
            count -= 1
        if not count:
            return


@pytest.mark.parametrize("count", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_a_random_sample_of_the_space_costs_what_the_networks_cost(count: int) -> None:
    compared = 0
    for cost, settings in sample(count):
        assert in_parts(cost) == whole(settings, SIZE, 7), settings
        compared += 1
    assert compared == count


def test_the_space_holds_every_encoder_decoder_context_and_fusion() -> None:
    designs = list(space.designs())
    assert len(designs) == len({tuple(choices.items()) for choices in designs})
    for group in ("encoder", "decoder", "context", "fusion"):
        assert {choices[group] for choices in designs} == set(files.groups()[group])


def test_a_branch_that_is_not_read_costs_nothing() -> None:
    costs = DesignCosts(SIZE, 19)
    two = costs.of(systems.read("bisenetv2").settings).parts["encoder"]
    one = costs.of(design({"encoder": "bisenetv2"})).parts["encoder"]
    assert one.params < two.params and one.macs < two.macs
    assert in_parts(costs.of(design({"encoder": "bisenetv2"}))) == whole(
        design({"encoder": "bisenetv2"}), SIZE, 19
    )


def test_further_outputs_cost_too() -> None:
    settings = systems.read("espnetv2_s05").settings
    more = {**settings, "model": {**settings["model"], "extra_outputs": 1}}
    costs = DesignCosts(SIZE, 7)
    assert costs.of(more).params > costs.of(settings).params
    assert in_parts(costs.of(more)) == whole(more, SIZE, 7)


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in systems.names()]
)
def test_every_system_costs_what_its_network_costs(name: str) -> None:
    settings = systems.read(name).settings
    size = (101, 203)  # odd on purpose: padding and rounding up count too
    assert in_parts(DesignCosts(size, 5).of(settings)) == whole(settings, size, 5)


@pytest.mark.parametrize("name", systems.names())
def test_a_system_is_what_hydra_composes(name: str) -> None:
    composed, choices = composing.compose_with_choices([f"model={name}"])
    system = systems.read(name)
    assert system.choices == {part: choices[part] for part in targets.PARTS}
    for key, value in system.settings.items():
        assert value == composed[key], key


def test_parts_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = build.part

    def spied(node: Any, key: str) -> Any:
        made.append(key)
        return original(node, key)

    monkeypatch.setattr(build, "part", spied)
    costs = DesignCosts(SIZE, 19)
    first = costs.of(design({"fusion": "add"}))
    made.clear()
    second = costs.of(design({"fusion": "concat"}))
    assert set(made) == {"decoder", "fusion"}  # the decoder is looked at, not counted again
    assert first.parts["encoder"] is second.parts["encoder"]
    assert first.parts["fusion"] != second.parts["fusion"]
    assert first.flops == 2 * first.macs


def test_a_design_that_does_not_fit_is_refused_every_time() -> None:
    costs = DesignCosts(SIZE, 19)
    wrong = design({"encoder": "timm"})
    wrong["encoder"] = {**wrong["encoder"], "name": "vit_tiny_patch16_224"}
    for _ in range(2):
        with pytest.raises(UserError, match="stride"):
            costs.of(wrong)


def test_modules_on_meta_are_not_filled() -> None:
    with on_meta():
        module = nn.Linear(10, 10)
        nn.init.trunc_normal_(module.weight)
    assert module.weight.is_meta
    torch.manual_seed(0)
    with on_meta():
        filled = nn.init.ones_(torch.empty(3, device="cpu"))
    assert filled.tolist() == [1, 1, 1]  # values elsewhere are not touched
