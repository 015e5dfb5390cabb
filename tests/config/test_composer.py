"""Composing many points is the same as composing each by Hydra."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segscape.config import composing, files, systems
from segscape.config.composer import Composer
from segscape.errors import UserError


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer()


def by_hydra(overrides: list[str]) -> tuple[Any, dict[str, str]]:
    composed, choices = composing.compose_with_choices(overrides)
    return OmegaConf.to_container(composed, resolve=True), choices


def same(one: Any, other: Any) -> bool:
    """Equal, keys of the configuration in the same order too."""
    return json.dumps(one[0]) == json.dumps(other[0]) and one[1] == other[1]


def sample(count: int) -> list[list[str]]:
    draw = random.Random(5)
    groups = files.groups()
    values = ["optim.lr=0.5", "seed=7", "optim.momentum=0.5", "data.batch_size=3", "logger.x=1"]
    found = []
    for _ in range(count):
        chosen = draw.sample(("model", "experiment", "recipe", "data", "loss", "optim", "head"), 3)
        parts = draw.sample(("encoder", "context", "decoder", "fusion"), 3)
        overrides = [f"{group}={draw.choice(groups[group])}" for group in (*chosen, *parts)]
        found.append([*overrides, *draw.sample(values, 2)])
    return found


@pytest.mark.parametrize("overrides", sample(16), ids=" ".join)
def test_a_random_design_is_composed_as_by_hydra(composer: Composer, overrides: list[str]) -> None:
    assert same(composer.compose(overrides), by_hydra(overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["fusion=add", "fusion=concat"],
        ["model=bisenetv2", "encoder=stdc1", "fusion=add"],
        ["model.auxiliary={decoder_16: 0.4}"],
        ["model.auxiliary=null"],
        ["~loss"],
        ["experiment=ppliteseg_camvid", "model=bisenet"],
        ["debug=fast", "encoder=stdc2"],
        ["hydra.job.name=x", "fusion=add"],
        ["+data.note={a: [1, x]}"],
        ["data.size=[32,64]", "data.crop=[16,16]", "trainer.max_steps=2"],
    ],
    ids=" ".join,
)
def test_what_may_be_typed_is_composed_as_by_hydra(
    composer: Composer, overrides: list[str]
) -> None:
    assert same(composer.compose(overrides), by_hydra(overrides))


@pytest.mark.parametrize(
    "overrides",
    [
        *(
            [f"encoder={e}", f"model={m}", "seed=3"]
            for e in ("stdc1", "timm")
            for m in systems.names()
        ),
        ["optim.momentum=0.8", "data.size=[32,64]", "model.auxiliary={decoder_16: 0.4}"],
        ["model.auxiliary=null", "+data.note={a: [1, x]}", "~data.train_size"],
        ["data.root=${oc.env:HOME}", "run_dir=x-${seed}"],
    ],
    ids=" ".join,
)
def test_grids_do_not_need_hydra(composer: Composer, overrides: list[str]) -> None:
    config, choices = composer.compose_without_hydra(overrides)
    expected, all_choices = by_hydra(overrides)
    assert json.dumps(config) == json.dumps(expected)
    assert {k: v for k, v in all_choices.items() if not k.startswith("hydra/")} == choices


def test_what_is_composed_is_not_shared(composer: Composer) -> None:
    first, choices = composer.compose(["fusion=add"])
    first["model"]["mean"][0] = first["model"]["auxiliary"]["decoder_16"] = "changed"
    choices["fusion"] = "changed"
    again = composer.compose(["fusion=add"])
    assert again[0]["model"]["mean"][0] == 0.5 and again[1]["fusion"] == "add"
    assert "changed" not in json.dumps(composer.compose(["fusion=concat"]))


@pytest.mark.parametrize(
    "overrides",
    [["fusion=nothing"], ["trainer.max_epoch=3"], ["nonsense"], ["fusion=add,concat"], ["x=1"]],
    ids=" ".join,
)
def test_errors_are_those_of_hydra(composer: Composer, overrides: list[str]) -> None:
    with pytest.raises(UserError) as ours:
        composer.compose(overrides)
    with pytest.raises(UserError) as theirs:
        by_hydra(overrides)
    assert str(ours.value) == str(theirs.value)


OWN = {
    "encoder/plain.yaml": "_target_: my.Encoder\nwidth: 3\nlayers: {a: 1, b: [1, 2]}\n",
    "encoder/based.yaml": "defaults: [plain]\nwidth: 4\nlayers: {a: null}\n",
    "encoder/placed.yaml": "# @package extra.place\nwidth: 5\n",
    "encoder/pointing.yaml": "_target_: my.Encoder\nwidth: ${seed}\nlayers: ${model.mean}\n",
    "encoder/open.yaml": "_target_: my.Encoder\nwidth: ???\n",
    "model/mine.yaml": (
        "# @package _global_\ndefaults:\n  - ppliteseg\n  - override /encoder: plain\n"
        "model: {name: mine, auxiliary: {decoder_16: 0.1}}\nencoder: {width: 9}\n"
    ),
    "model/indirect.yaml": "# @package _global_\ndefaults:\n  - /encoder@second: ${encoder}\n",
    "experiment/pointed.yaml": "# @package _global_\ndata: ${model}\n",
}


@pytest.mark.parametrize(
    "overrides",
    [
        ["encoder=plain"],
        ["encoder=based", "encoder.width=2"],
        ["encoder=placed"],
        ["encoder=pointing", "seed=4"],
        ["encoder=open", "encoder.width=4"],
        ["model=mine"],
        ["model=mine", "encoder=based"],
        ["model=mine", "encoder=stdc2"],
        ["model=indirect"],
        ["model=mine", "experiment=pointed", "data=camvid"],
    ],
    ids=" ".join,
)
def test_yamls_of_the_user_are_composed_as_by_hydra(tmp_path: Path, overrides: list[str]) -> None:
    for name, text in OWN.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    with files.extra_config_dir(tmp_path):
        composer = Composer()
        for _ in range(2):  # the second time from the cache
            try:
                expected = by_hydra(overrides)
            except (UserError, OmegaConfBaseException):
                with pytest.raises(UserError):
                    composer.compose(overrides)
            else:
                assert same(composer.compose(overrides), expected)
