"""`parts:` of a model's yaml: arguments for the options that the model itself chooses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import segscape
from segscape.config import composing, files, systems, targets
from segscape.config.composer import Composer
from segscape.config.identity import identity
from segscape.errors import UserError
from segscape.report.options import choices_of

ROOT = Path(__file__).resolve().parents[2]
PPM, FPN = "segscape.models.contexts.ppm.PPM", "segscape.models.decoders.fpn.FPN"
OWN = {
    # FPN with PPM, as `model=own` chooses them
    "model/own.yaml": """# @package _global_
# A model that gives arguments to its parts
defaults:
  - override /context: ppm
  - override /decoder: fpn
  - override /fusion: add
parts:
  context: {bins: [1, 3]}
  decoder: {width: 64}
model:
  {name: own, auxiliary: null, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], align_corners: false}
""",
    "model/child.yaml": """# @package _global_
# Chooses the same parts, and says more of one
defaults: [own]
parts: {context: {out_channels: 64}}
model: {name: child}
""",
    "model/exchanged.yaml": """# @package _global_
# Exchanges the decoder of its base
defaults: [own, {override /decoder: fld}]
model: {name: exchanged}
""",
    "experiment/wide.yaml": """# @package _global_
# A recipe that sets the key too
defaults: [{override /model: own}]
decoder: {width: 32}
""",
    "experiment/other.yaml": """# @package _global_
# A recipe that exchanges the part
defaults: [{override /model: own}, {override /decoder: fld}]
""",
    # The same network, its arguments in the yamls of the options
    "context/narrow.yaml": f"# Narrow\n_target_: {PPM}\nbins: [1, 3]\n",
    "decoder/thin.yaml": f"# Thin\n_target_: {FPN}\nwidth: 64\n",
}

Composing = Callable[[list[str]], tuple[dict[str, Any], dict[str, str]]]


def by_hydra(overrides: list[str]) -> tuple[Any, dict[str, str]]:
    composed, choices = composing.compose_with_choices(overrides)
    return OmegaConf.to_container(composed, resolve=True), choices


def by_composer(overrides: list[str]) -> tuple[Any, dict[str, str]]:
    composer = Composer()
    composer.compose(["model=own", "decoder=thin", "context=sppm"])  # cached from then on
    return composer.compose(overrides)


def by_train(overrides: list[str]) -> tuple[Any, dict[str, str]]:
    """What `python train.py` hands to a job."""
    import yaml

    command = [sys.executable, str(ROOT / "train.py"), "--config-dir", str(files.folders()[-1])]
    done = subprocess.run(
        [*command, "--cfg", "job", *overrides], capture_output=True, text=True, check=True
    )
    config = yaml.safe_load(done.stdout)
    del config["sweep"]
    return config, by_hydra(overrides)[1]


WAYS = pytest.mark.parametrize("compose", [by_hydra, by_composer, by_train])


@pytest.fixture(autouse=True)
def _own(tmp_path: Path) -> Iterator[None]:
    for name, text in OWN.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    with files.extra_config_dir(tmp_path):
        yield


@WAYS
@pytest.mark.parametrize(
    ("overrides", "context", "decoder"),
    [
        (["model=own"], {"bins": [1, 3]}, {"width": 64}),
        (["model=own", "decoder=fpn"], {"bins": [1, 3]}, {"width": 64}),
        (["model=own", "decoder.width=32"], {"bins": [1, 3]}, {"width": 32}),
        # as the option has it
        (["model=own", "decoder.width=128"], {"bins": [1, 3]}, {"width": 128}),
        (["model=own", "decoder=fld"], {"bins": [1, 3]}, {"widths": [32, 64, 128]}),
        (["model=own", "context=sppm"], {}, {"width": 64}),
        (["model=child"], {"bins": [1, 3], "out_channels": 64}, {"width": 64}),
        (["model=exchanged"], {"bins": [1, 3]}, {"widths": [32, 64, 128]}),
        (["model=exchanged", "decoder=fpn"], {"bins": [1, 3]}, {"width": 128}),
        (["experiment=wide"], {"bins": [1, 3]}, {"width": 32}),
        (["experiment=other"], {"bins": [1, 3]}, {"widths": [32, 64, 128]}),
        (["experiment=other", "decoder=fpn"], {"bins": [1, 3]}, {"width": 64}),
    ],
    ids=" ".join,
)
def test_arguments_go_with_the_part(
    compose: Composing, overrides: list[str], context: dict[str, Any], decoder: dict[str, Any]
) -> None:
    config, choices = compose(overrides)
    assert {k: v for k, v in config["context"].items() if k != "_target_"} == context
    assert {k: v for k, v in config["decoder"].items() if k != "_target_"} == decoder
    assert "parts" not in config and not any("parts" in key for key in choices)


def test_a_run_is_the_same_as_with_the_arguments_in_the_options() -> None:
    said, _ = by_hydra(["model=own"])
    named, _ = by_hydra(["model=own", "context=narrow", "decoder=thin"])
    assert json.dumps(said) == json.dumps(named)
    assert identity(said) == identity(named)


def test_systems_are_read_as_hydra_composes_them() -> None:
    for name in ("own", "child", "exchanged"):
        composed, choices = by_hydra([f"model={name}"])
        system = systems.read(name)
        assert system.choices == {part: choices[part] for part in targets.PARTS}
        assert system.settings == {k: composed[k] for k in ("model", *targets.PARTS)}


def test_a_network_is_built_with_them() -> None:
    network = segscape.create_model("own", num_classes=3)
    assert network.decoder.spec.channels[8] == 64
    network = segscape.create_model("own", num_classes=3, decoder="fpn", context="sppm")
    assert network.decoder.spec.channels[8] == 64
    network = segscape.create_model("own", num_classes=3, overrides=["decoder.width=16"])
    assert network.decoder.spec.channels[8] == 16


def test_a_sweep_plans_with_them() -> None:
    from segscape.sweep.plan.check import plan
    from segscape.sweep.settings import SweepSettings

    points = [{"decoder": decoder} for decoder in ("fpn", "fld", "thin")]
    planned = plan(points, ["model=own"], SweepSettings()).planned
    decoders = [job.config["decoder"] for job in planned]
    assert decoders[0] == decoders[2] == {"_target_": FPN, "width": 64}
    assert decoders[1]["widths"] == [32, 64, 128]


def test_the_cost_of_a_model_counts_them() -> None:
    from segscape.profiling.option_costs import option_costs

    counted = option_costs("model")
    network = segscape.create_model("own", num_classes=19)
    assert counted["own"]["params"] == sum(each.numel() for each in network.parameters())
    assert counted["own"]["params"] < counted["exchanged"]["params"]


def test_a_recorded_run_is_known_by_the_option_and_not_by_its_twin() -> None:
    config, _ = by_hydra(["model=own"])
    assert choices_of(config, ["model=own"]).items() >= {"context": "ppm", "decoder": "fpn"}.items()


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("{decodr: {width: 64}}", "did you mean decoder?"),
        ("[decoder]", "is not a mapping"),
        ("{decoder: fpn}", "override /decoder: OPTION"),
        (f"{{decoder: {{_target_: {FPN}}}}}", "override /decoder: OPTION"),
    ],
)
def test_what_parts_cannot_be_is_an_error(tmp_path: Path, parts: str, expected: str) -> None:
    text = OWN["model/own.yaml"]
    before, _, after = text.partition("parts:")
    (tmp_path / "model" / "own.yaml").write_text(
        f"{before}parts: {parts}\nmodel:{after.partition('model:')[2]}"
    )
    for compose in (by_hydra, by_composer):
        with pytest.raises(UserError, match="parts of model=own") as caught:
            compose(["model=own"])
        assert expected in str(caught.value)


def test_an_argument_that_the_part_does_not_have_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "model" / "own.yaml"
    file.write_text(file.read_text().replace("width: 64", "widht: 64"))
    with pytest.raises(UserError, match=r"did you mean decoder\.width\?"):
        segscape.create_model("own", num_classes=3)


def test_a_part_taken_out_is_named() -> None:
    for compose in (by_hydra, by_composer):
        with pytest.raises(UserError, match="fusion was taken out"):
            compose(["~fusion"])
