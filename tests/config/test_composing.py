"""The configuration composes for every option, and errors show what is right."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import HydraException

from segscape.config import command_line, composing, explaining, files
from segscape.config.hydra_session import own_hydra
from segscape.errors import UserError

OPTIONS = [(g, o) for g, options in files.groups().items() for o in options]


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_describes_itself(group: str, option: str) -> None:
    assert files.describe(group, option), "the first comment line is the description"
    composed = composing.compose([f"{group}={option}"])
    assert composed.model.name


def test_the_command_line_beats_the_model_and_the_experiment() -> None:
    assert composing.compose(["model=ppliteseg_b"]).encoder.variant == "stdc2"
    chosen = composing.compose(["model=ppliteseg_b", "encoder=stdc1", "fusion=add"])
    assert chosen.encoder.variant == "stdc1"
    assert chosen.fusion._target_.endswith("add.Add")
    chosen = composing.compose(
        ["experiment=ppliteseg_camvid", "model=ppliteseg_b", "optim.lr=0.3", "encoder=stdc1"]
    )
    assert (chosen.model.name, chosen.optim.lr) == ("ppliteseg_b", 0.3)
    assert chosen.encoder.variant == "stdc1"
    assert chosen.optim._target_.endswith(".sgd")
    assert chosen.trainer.max_epochs is None


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("fusion=uafm_spatal", "did you mean fusion=uafm_spatial?"),
        ("fusion=concta,add", "did you mean fusion=concat?"),
        ("fusion=concat,add", "python train.py -m fusion=concat,add"),
        ("fusio=add", "did you mean fusion?"),
        ("trainer.max_epoch=3", "did you mean trainer.max_epochs?"),
        ("trainer.lr=3", "did you mean optim.lr?"),
        ("fusion", "write key=value"),
        ("encoder=alexnet", "segscape list encoder"),
        ("data.root='", "quote"),
    ],
)
def test_errors_name_the_nearest_valid_thing(override: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        composing.compose([override])
    assert expected in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 10


def test_a_users_own_options_are_known() -> None:
    error = explaining.explain(["fusion=add"], HydraException("something else"))
    assert "something else" in str(error)


def test_own_folder_of_options(tmp_path: Path) -> None:
    (tmp_path / "fusion").mkdir()
    (tmp_path / "fusion" / "mine.yaml").write_text("# mine\n")
    assert "mine" in files.groups(tmp_path)["fusion"]
    error = explaining.explain(["fusion=min"], HydraException(""), tmp_path)
    assert "did you mean fusion=mine?" in str(error)


def test_composing_inside_a_hydra_application_does_not_change_it() -> None:
    from hydra.core.global_hydra import GlobalHydra

    with own_hydra():
        outer = GlobalHydra.instance().hydra
        composing.compose(["fusion=add"])
        assert GlobalHydra.instance().hydra is outer


def test_the_package_and_the_help_import_no_torch() -> None:
    code = (
        "import sys, segscape, segscape.cli, segscape.config.composing\n"
        "segscape.config.composing.compose(['fusion=add'])\n"
        "assert not {'torch', 'lightning', 'wandb'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_any_argument_of_a_part_can_be_given() -> None:
    composed = composing.compose(["optim.momentum=0.8", "optim=sgd", "data.train_size=3"])
    assert (composed.optim.momentum, composed.data.train_size) == (0.8, 3)
    assert command_line.admit(["fusion=add", "trainer.max_steps=3"]) == [
        "fusion=add",
        "trainer.max_steps=3",
    ]
    assert command_line.as_typed(command_line.admit(["optim.lr=1"])) == ["optim.lr=1"]
