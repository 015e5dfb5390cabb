"""What can be run is found before the first submission: checked, costed, and within the budget."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from omegaconf import OmegaConf

from segscape import build
from segscape.config import composing, files
from segscape.errors import UserError
from segscape.profiling.complexity import measure
from segscape.sweep.plan.check import Plan, plan
from segscape.sweep.plan.explain import exclusions, explain_rejections, listed
from segscape.sweep.plan.grid import axes_of, expand
from segscape.sweep.settings import read_settings

SMALL = ["data.size=[32,64]", "data.crop=[32,32]"]


def planned(*overrides: str, **sweep: Any) -> Plan:
    settings = read_settings(sweep)
    axes, common = axes_of([*SMALL, *overrides])
    return plan(expand(axes, settings, common), common, settings)


def test_every_combination_is_composed_and_costed() -> None:
    found = planned("fusion=add,concat", "optim.lr=0.1", seeds=2)
    assert not found.rejected and not found.unfit and not found.notes
    assert [dict(one.varied) for one in found.planned] == [
        {"fusion": "add", "seed": 1},
        {"fusion": "add", "seed": 2},
        {"fusion": "concat", "seed": 1},
        {"fusion": "concat", "seed": 2},
    ]
    last = found.planned[-1]
    assert last.overrides == (*SMALL, "optim.lr=0.1", "fusion=concat", "seed=2")
    assert last.choices["fusion"] == "concat" and last.choices["model"] == "ppliteseg"
    expected = OmegaConf.to_container(composing.compose(last.overrides), resolve=True)
    assert last.config == expected and "sweep" not in last.config
    network = build.model(last.config, num_classes=11)
    whole = measure(network, (32, 64))
    assert last.cost == {"params": whole.params, "macs": whole.macs}


def test_cost_is_for_profile_size_where_it_is_given() -> None:
    one, four = (
        planned("fusion=add", f"profile.size={size}").planned[0].cost["macs"]
        for size in ("[64,64]", "[128,128]")
    )
    # The context pools to a fixed size, so that not quite everything grows with the image.
    assert 3.9 < four / one <= 4.0


def test_data_that_are_elsewhere_are_said_to_be() -> None:
    common = ["data=cityscapes", "data.root=/on/the/cluster"]
    found = plan([{"fusion": "add"}], common, read_settings({}))
    assert found.planned[0].cost["macs"] > 10e9
    assert len(found.notes) == 1 and "512x1024" in found.notes[0]
    assert not planned("fusion=add").notes


def test_parts_that_do_not_fit_are_rejected_before_anything_runs() -> None:
    found = planned("encoder=stdc1,enet", "fusion=add,concat", seeds=2)
    assert len(found.planned) == 4
    assert [one.overrides[0] for one in found.rejected] == ["encoder=enet"] * 4
    assert "needs features at stride 16" in found.rejected[0].reason


def test_a_batch_that_cannot_be_trained_is_rejected() -> None:
    found = planned("data.batch_size=1,2", seeds=2)
    assert [one.varied["data.batch_size"] for one in found.planned] == [2, 2]
    assert [one.varied["data.batch_size"] for one in found.rejected] == [1, 1]
    assert "BatchNorm on 1x1 maps" in found.rejected[0].reason


def test_choices_without_effect_are_rejected() -> None:
    found = planned("decoder=fld,head_free", "fusion=add,concat")
    assert [one.overrides[0] for one in found.rejected] == ["decoder=head_free"] * 2
    assert "fusion has no effect" in found.rejected[0].reason


def test_features_of_auxiliary_heads_must_exist() -> None:
    found = planned("model.auxiliary={decoder_16: 1.0},{decoder_64: 1.0}")
    assert len(found.planned) == 1
    assert "decoder_64" in found.rejected[0].reason


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["optim.lr=0.1,abc"], "optim.lr='abc' has the wrong type"),
        (["optim=sgd,adamw", "optim.momentum=0.8"], "optim.momentum"),
        (["data.batch_size=4,0"], "data.batch_size=0 cannot be used"),
        (["head.mid_channels=64,-1"], "it cannot be built"),
    ],
)
def test_wrong_values_are_rejected_with_their_reason(overrides: list[str], reason: str) -> None:
    found = planned(*overrides)
    assert len(found.planned) == 1 and len(found.rejected) == 1
    assert reason in found.rejected[0].reason


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["fusion=add,uafm_spatail"], "did you mean fusion=uafm_spatial"),
        (["fusion=add,concat", "trainer.max_epoch=3"], "did you mean trainer.max_epochs"),
        (["optim.lr=1,2", "data=streats"], "did you mean data=streets"),
        (["fusion=null,add"], "fusion=null: there is no such fusion"),
        (["fuson=add,concat", "encoder=stdc1,stdc2"], "did you mean fusion"),
        (["trainer.max_epoch=3,4"], "did you mean trainer.max_epochs"),
        (["optim=sgd,adamw", "optim.lrr=0.1,0.2"], "did you mean optim.lr"),
    ],
)
def test_a_mistake_in_what_was_typed_is_one_error(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        planned(*overrides, invalid="skip")
    assert message in str(raised.value)


def test_a_key_that_only_some_options_have_is_no_mistake() -> None:
    found = planned("optim=sgd,adamw", "optim.momentum=0.8,0.9")
    assert len(found.planned) == 2 and len(found.rejected) == 2


def test_a_key_for_all_and_for_some_is_an_error() -> None:
    with pytest.raises(UserError, match="fusion=add is set for all jobs, and fusion=concat"):
        plan([{"fusion": "concat"}], ["fusion=add"], read_settings({}))


def test_a_budget_sorts_designs_out() -> None:
    found = planned("encoder=stdc1,stdc2", "fusion=add,concat", where="params < 8.1e6")
    assert [dict(one.varied) for one in found.planned] == [{"encoder": "stdc1", "fusion": "add"}]
    assert len(found.unfit) == 3 and not found.rejected
    assert all(one.cost["params"] >= 8.1e6 for one in found.unfit)
    assert found.unfit[0].overrides == ("encoder=stdc1", "fusion=concat")


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("fusion == 'add'", 2),
        ("macs_encoder > 0.5*macs and flops == 2*macs", 4),
        ("params_fusion < 2157700", 2),
        ("optim.lr == 0.5 and data.batch_size == 4", 2),
        ("seed in (1, 2) and context == 'sppm' and model.name == 'ppliteseg'", 4),
    ],
)
def test_conditions_may_ask_for_choices_values_and_parts(where: str, left: int) -> None:
    found = planned("fusion=add,uafm_spatial", "optim.lr=0.1,0.5", where=where)
    assert len(found.planned) == left


@pytest.mark.parametrize("where", ["mac < 3", "macs <", "fusion < 3"])
def test_a_wrong_condition_is_an_error(where: str) -> None:
    with pytest.raises(UserError):
        planned("fusion=add,concat", where=where)


def test_rejections_come_as_one_error_with_what_to_paste() -> None:
    found = planned("encoder=stdc1,enet,espnet", "decoder=fld,head_free", seeds=2)
    error = explain_rejections(found)
    assert len(found.planned) == 2  # stdc1 with fld; head_free has no feature for auxiliary heads
    assert error.what.startswith("10 of 12 combinations cannot work")
    assert error.hint is not None and "sweep.invalid=skip" in error.hint
    for one in found.rejected:
        assert f"    {' '.join(one.overrides)}" in error.what.splitlines()
    for reason in {one.reason for one in found.rejected}:
        assert error.what.splitlines().count(f"  {reason}") == 1
    few = listed(found.rejected, 2)
    assert sum(line.startswith("    and ") for line in few) >= 1
    assert len(few) < len(error.what.splitlines())
    pasted = next(t for t in shlex.split(error.hint) if t.startswith("sweep.exclude="))
    exclude = OmegaConf.to_container(hydra_composed([pasted]).sweep.exclude, resolve=True)
    again = planned("encoder=stdc1,enet,espnet", "decoder=fld,head_free", seeds=2, exclude=exclude)
    assert not again.rejected and len(again.planned) == len(found.planned)


def hydra_composed(overrides: list[str]) -> Any:
    with initialize_config_dir(str(files.config_dir()), version_base="1.3"):
        return hydra_compose(files.CONFIG_NAME, overrides=overrides)


def test_exclusions_are_as_short_as_they_can_be() -> None:
    good = [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"a": 2, "b": 2}]
    assert exclusions([{"a": 3, "b": 1}, {"a": 3, "b": 2}], good) == [{"a": 3}]
    assert exclusions([{"a": 2, "b": 1}], good) == [{"a": 2, "b": 1}]
    assert exclusions([{"a": 1, "b": 1}], good) == []


@pytest.mark.parametrize("name", [n for n in files.groups()["sweep"] if n != "default"])
def test_the_sweeps_that_are_offered_can_run(name: str) -> None:
    node = OmegaConf.to_container(hydra_composed([f"sweep={name}"]).sweep, resolve=True)
    settings = read_settings(node)  # type: ignore[arg-type]
    found = plan(expand({}, settings), [], settings)
    assert not found.rejected and len(found.planned) >= 8
    if settings.where:
        assert found.unfit


def test_what_changes_in_a_yaml_is_seen_by_the_next_plan(tmp_path: Path) -> None:
    file = tmp_path / "optim" / "mine.yaml"
    file.parent.mkdir()
    for lr in (0.25, 0.125):
        file.write_text(f"_target_: segscape.optim.optimizers.sgd\nlr: {lr}\n# {lr}\n")
        with files.extra_config_dir(tmp_path):
            found = planned("optim=mine")
        assert found.planned[0].config["optim"]["lr"] == lr


def test_a_data_set_without_its_folder_is_one_error() -> None:
    points = [{"fusion": "add"}, {"fusion": "concat"}]
    with pytest.raises(UserError, match=r"data\.root=DIR is needed"):
        plan(points, ["data=cityscapes"], read_settings({}))
