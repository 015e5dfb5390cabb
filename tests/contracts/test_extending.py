"""The example of docs/adding_a_part.md: parts that live outside of segscape.

SEGSCAPE_OWN_PARTS=DIR checks the options of another folder against their contracts instead, as it
is given with --config-dir; their classes must be on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import part_catalog
import pytest
import test_fusions as fusions
import test_parts as parts
import torch

import segscape
from segscape import commands
from segscape.config import files

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "my_fusion"
OWN = Path(os.environ.get("SEGSCAPE_OWN_PARTS", EXAMPLE / "conf"))
CONTRACTS = {
    "encoder": (
        parts.test_an_encoder_gives_what_its_spec_says,
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
        parts.test_a_decoder_gives_what_its_spec_says,
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
        assert commands.explain(["fusion=mine", "data=cityscapes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["fusions"]) == 3
    # low to out, high to out, a share per channel, 3x3, and BatchNorm after each convolution
    low, high, out = 256, 64, 32
    expected = low * out + high * out + out + 9 * out * out + 3 * 2 * out
    assert found["fusions"][-1]["params"] == expected


def test_a_training_with_the_example(tmp_path: Path) -> None:
    arguments = [
        *(
            "--config-dir",
            str(EXAMPLE / "conf"),
            "fusion=mine",
            "debug=fast",
            "model.auxiliary=null",
        ),
        *("data.size=[64,128]", "data.crop=[64,128]", "data.train_size=4", "data.val_size=2"),
        *("data.batch_size=2", "data.num_workers=0", f"run_dir={tmp_path / 'run'}"),
    ]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(EXAMPLE)},
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["model/params/fusion"] > 0
    # The run directory is enough to build it again, while the class can be imported.
    saved = (tmp_path / "run" / "config.yaml").read_text()
    assert "_target_: my_fusion.MyFusion" in saved


def test_the_page_shows_the_example_as_it_is() -> None:
    page = (ROOT / "docs" / "adding_a_part.md").read_text()
    blocks = re.findall(r"```(?:python|yaml)\n(.*?)```", page, flags=re.DOTALL)
    for file in ("my_fusion.py", "conf/fusion/mine.yaml"):
        assert (EXAMPLE / file).read_text() in blocks, file
