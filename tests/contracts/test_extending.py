"""The examples of docs/extending.md: everything that can be added, from outside of segscape.

SEGSCAPE_OWN_PARTS=DIR checks the options of another folder against their contracts instead, as it
is given with --config-dir; their classes must be on PYTHONPATH.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import part_catalog
import pytest
import test_fusions as fusions
import test_parts as parts
import torch
from omegaconf import OmegaConf

import segscape
from segscape import preflight
from segscape.commands.explain import explain
from segscape.config import composing, files
from segscape.errors import UserError
from segscape.runs.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "my_fusion"
OWN = Path(os.environ.get("SEGSCAPE_OWN_PARTS", EXAMPLE / "conf"))
CONTRACTS = {
    "encoder": (
        parts.test_an_encoder_gives_the_features_of_its_spec,
        parts.test_an_encoder_runs_on_the_meta_device,
    ),
    "context": (
        parts.test_a_context_keeps_the_size,
        parts.test_a_context_runs_on_the_meta_device,
    ),
    "fusion": (
        *(
            lambda option, sizes=sizes, check=check: check(option, *sizes)
            for sizes in fusions.SIZES.values()
            for check in (
                fusions.test_training_reaches_both_inputs_and_leaves_them,
                fusions.test_one_image_in_evaluation,
            )
        ),
        fusions.test_no_memory_on_the_meta_device,
        fusions.test_channels_last_stays,
    ),
    "decoder": (
        parts.test_a_decoder_gives_the_features_of_its_spec,
        parts.test_a_decoder_names_the_strides_that_it_lacks,
    ),
    "head": (parts.test_a_head_keeps_the_size_or_gives_more,),
}
OPTIONS = [(g, file.stem) for g in CONTRACTS for file in sorted((OWN / g).glob("*.yaml"))]


@pytest.fixture
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLE))


def test_there_are_parts_to_check() -> None:
    assert OPTIONS, f"{OWN} has no yaml in {', '.join(CONTRACTS)}"


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_parts_outside_of_the_tree_keep_their_contracts(
    group: str,
    option: str,
    on_path: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = shutil.copytree(part_catalog.CONF, tmp_path / "conf")
    shutil.copytree(OWN, both, dirs_exist_ok=True)
    monkeypatch.setattr(part_catalog, "CONF", both)
    for check in CONTRACTS[group]:
        check(option)


def test_a_network_with_the_example(on_path: None) -> None:
    with files.extra_config_dir(EXAMPLE / "conf"):
        model = segscape.create_model(
            "ppliteseg", num_classes=5, fusion="mine", overrides=["fusion.kernel=5"]
        )
    fusion = model.decoder.fusions[0]
    assert type(fusion).__name__ == "MyFusion" and fusion.out.conv.kernel_size == (5, 5)
    with torch.no_grad():
        assert model(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)


def test_the_tools_show_the_example(on_path: None, capsys: pytest.CaptureFixture[str]) -> None:
    with files.extra_config_dir(EXAMPLE / "conf"):
        assert (
            files.describe("fusion", "mine") == "One learned share per channel (examples/my_fusion)"
        )
        assert explain(["fusion=mine", "data=cityscapes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["fusions"]) == 3
    # low to out, high to out, a share per channel, 3x3, and BatchNorm after each convolution
    low, high, out = 256, 64, 32
    expected = low * out + high * out + out + 9 * out * out + 3 * 2 * out
    assert found["fusions"][-1]["params"] == expected


PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"```(?:python|yaml) (\S+)\n(.*?)```", PAGE, flags=re.DOTALL))
GROUPS = ("model", "data", "loss", "metrics", "callbacks", "logger")


def test_the_page_shows_the_example_as_it_is() -> None:
    for file in ("my_fusion.py", "conf/fusion/mine.yaml"):
        assert (EXAMPLE / file).read_text() == FILES[file]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of docs/extending.md, outside of the checkout."""
    place = tmp_path_factory.mktemp("outside")
    for name, text in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    return place


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")])},
        cwd=folder,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def trained(folder: Path) -> RunDirectory:
    """One training with one of each."""
    overrides = [f"{group}=mine" for group in GROUPS]
    overrides += ["trainer.max_epochs=2", "data.num_workers=0", "profile.latency=false"]
    overrides += ["callbacks.lr._target_=lightning.pytorch.callbacks.LearningRateMonitor"]
    overrides += ["callbacks.lr.logging_interval=epoch"]
    overrides += ["metrics.f1._target_=torchmetrics.classification.MulticlassF1Score"]
    overrides += ["metrics.f1.average=none", "metrics.boundary_iou.width=0.05", "run_dir=run"]
    run(folder, str(ROOT / "train.py"), "--config-dir", "conf", *overrides)
    return RunDirectory(folder / "run")


def test_a_model_with_parts_from_outside(trained: RunDirectory) -> None:
    summary = trained.read_summary()
    assert summary["model/params/fusion"] > 0 and summary["model/params/encoder"] > 0
    config = trained.read_config()
    assert config is not None
    assert config["encoder"]["_target_"] == "my_encoder.MyEncoder"
    assert config["model"]["name"] == "mine"


def test_a_data_set_and_a_loss_from_outside(trained: RunDirectory) -> None:
    row = trained.read_metrics()[-1]
    assert row["step"] == 4 and row["val/iou/square"] is not None
    assert {file.stem for file in trained.gallery.glob("*.png")} == {f"val_{i}" for i in range(8)}
    # Two heads, each with the focal loss, which is below cross-entropy.
    assert 0 < row["train/loss/main"] < math.log(2)


def test_metrics_from_outside(trained: RunDirectory) -> None:
    row = trained.read_metrics()[-1]
    iou = [row["val/iou/background"], row["val/iou/square"]]
    assert row["val/fw_iou"] == pytest.approx(np.average(iou, weights=[64**2 - 20**2, 20**2]))
    for name, value in zip(("background", "square"), iou, strict=True):
        assert row[f"val/f1/{name}"] == pytest.approx(2 * value / (1 + value), abs=1e-6)
    assert trained.read_summary()["val/fw_iou"] is not None


def test_callbacks_from_outside(trained: RunDirectory) -> None:
    rows = trained.read_metrics()
    assert [row["validations"] for row in rows] == [1, 2]
    assert rows[0]["weight_norm"] != rows[1]["weight_norm"]
    assert any(key.startswith("lr-") for key in rows[0])


def test_a_tracker_from_outside(trained: RunDirectory) -> None:
    lines = (trained.path / "rows.txt").read_text().split()
    rows = trained.read_metrics()
    assert [float(word) for word in lines] == [
        number for row in rows for number in (row["step"], row["val/miou"])
    ]


def test_a_run_is_scored_with_the_classes_only(folder: Path, trained: RunDirectory) -> None:
    """Without --config-dir: the run directory has the configuration."""
    run(folder, "-m", "segscape", "evaluate", "run=run", "split=test", "profile.enabled=false")
    found = json.loads((folder / "run" / "evaluate-test" / "summary.json").read_text())
    assert found["test/fw_iou"] is not None and found["test/f1/square"] is not None


def test_a_command_from_outside(folder: Path, trained: RunDirectory) -> None:
    (entry_point,) = re.findall(r"```toml\n# [^\n]*\n(.*?)```", PAGE, flags=re.DOTALL)
    # What pip makes of a pyproject.toml.
    information = folder / "my_parts-0.1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-parts\nVersion: 0.1\n")
    points = entry_point.replace("project.entry-points.", "").replace('"', "")
    (information / "entry_points.txt").write_text(points)
    assert "best" in run(folder, "-m", "segscape", "--help")
    printed = run(folder, "-m", "segscape", "best", "run")
    assert float(printed) == trained.read_summary()["val/miou"]


def test_a_mistake_in_a_part_from_outside_is_found_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    with files.extra_config_dir(folder / "conf"):
        for override, message in (
            ("metrics.fw_iou.absent=1", "metrics.fw_iou.absent"),
            ("callbacks.weight_norm.kye=a", "did you mean callbacks.weight_norm.key?"),
            ("callbacks.weight_norm.key=3", "expected str"),
            ("loss.gamma=much", "expected float"),
            ("logger.flie=a", "did you mean logger.file?"),
            ("~metrics.confusion", "val/miou"),
        ):
            typed = [*(f"{group}=mine" for group in GROUPS), override]
            composed: Any = OmegaConf.to_container(composing.compose(typed), resolve=True)
            with pytest.raises(UserError) as caught:
                preflight.check_config(composed, typed)
            assert message in str(caught.value), override
