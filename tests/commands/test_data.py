"""`segscape data check` and `segscape data sample`, as typed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segscape.commands.data import data
from segscape.data.datasets.camvid_labels import CLASSES
from segscape.errors import UserError
from segscape.exit_codes import WRONG_REQUEST

SPLITS = {"train": ["a b", "straße", "c"], "val": ["d", "e"]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """CamVid in SegNet's layout, in miniature."""
    place = tmp_path / "Cam Vid"
    seed = 0
    for split, names in SPLITS.items():
        lines = []
        for name in names:
            rng = np.random.default_rng(seed := seed + 1)
            for folder, shape, most in ((split, (36, 48, 3), 256), (f"{split}annot", (36, 48), 12)):
                file = place / folder / f"{name}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, most, shape, dtype=np.uint8)).save(file)
            lines.append(f"{split}/{name}.png {split}annot/{name}.png\n")
        (place / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
    return place


def arguments(root: Path) -> list[str]:
    return ["data=camvid", f"data.root={root}", "data.batch_size=2", "data.num_workers=0"]


def damage(root: Path) -> list[str]:
    """Spoil files of every kind; what the report must name."""
    (root / "trainannot" / "a b.png").write_bytes(b"")
    image = root / "train" / "straße.png"
    image.write_bytes(image.read_bytes()[:200])
    (root / "train" / "c.png").unlink()
    Image.fromarray(np.full((36, 40), 3, np.uint8)).save(root / "valannot" / "d.png")
    Image.fromarray(np.full((36, 48), 99, np.uint8)).save(root / "valannot" / "e.png")
    return ["trainannot/a b.png", "train/straße.png", "train/c.png", "d.png", "e.png"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from segscape import cli; cli.main()"
    return subprocess.run(
        [sys.executable, "-c", code, "data", *words], capture_output=True, text=True, timeout=300
    )


def test_a_right_tree(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(["check", *arguments(root)]) == 0
    text = capsys.readouterr().out
    assert "ready to train" in text and "48x36" in text and "error" not in text
    assert max(map(len, text.splitlines())) <= 80 or str(root) in text
    for name in CLASSES:
        assert f"\n {name} " in text


def test_a_damaged_tree_in_a_pipe(root: Path) -> None:
    named = damage(root)
    done = run("check", *arguments(root))
    assert done.returncode == WRONG_REQUEST and done.stderr == ""
    assert "Traceback" not in done.stdout and "\x1b" not in done.stdout
    for file in named:
        assert any(file in line and ":" in line for line in done.stdout.splitlines()), file
    assert done.stdout.splitlines()[-1].startswith("a training would fail: 5 errors")


def test_json_has_everything(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    named = damage(root)
    assert data(["check", *arguments(root), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False and found["complete"] is True
    assert found["splits"]["train"]["samples"] == 2 and found["splits"]["val"]["checked"] == 2
    fatal = [p for p in found["problems"] if p["severity"] == "error"]
    assert sorted(p["kind"] for p in fatal) == [
        "ids",
        "missing",
        "size",
        "unreadable",
        "unreadable",
    ]
    assert all(any(p["file"].endswith(file) for p in fatal) for file in named)
    train = found["splits"]["train"]["classes"]
    assert list(train) == list(CLASSES) and train["sky"]["pixels"] > 0
    assert set(found["class_weights"]) == {"median_frequency", "enet"}
    assert found["class_weights_of"] == "train"
    assert abs(sum(found["class_weights"]["enet"].values()) / len(CLASSES) - 1) < 1e-6


def test_generated_scenes_and_one_split(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["data=streets", "data.size=[32,64]", "data.crop=[16,32]", "data.num_workers=0"]
    assert data(["check", *small, "split=val", "--sample", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["splits"]) == ["val"] and found["splits"]["val"]["checked"] == 3
    assert found["complete"] is False and found["epoch"] is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["chek"], "did you mean segscape data check"),
        (["check"], r"data=NAME is needed\nchoices: ade20k, camvid"),
        (["check", "data=camvit"], "did you mean data=camvid"),
        (["check", "data=streets", "split=tset"], "did you mean test"),
        (["check", "data=streets", "data.bath_size=3"], "did you mean data.batch_size"),
        (["check", "data=streets", "data.batch_size=many"], "data.batch_size"),
        (["check", "data=streets", "--sample", "0"], "--sample 0"),
        (["sample", "data=streets", "-n", "0"], "-n 0"),
        (["sample", "data=streets", "out=sheet.jpg"], r"out=sheet\.png"),
        (["sample", "data=streets", "split=val,test"], "a sheet shows one split"),
    ],
)
def test_mistakes_are_errors_with_a_hint(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        data(words)


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert data([]) == 0
    text = capsys.readouterr().out
    assert "check" in text and "sample" in text


def test_a_sheet_of_samples(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheets = []
    for seed in ("3", "3", "4"):
        out = tmp_path / "new folder" / f"sheet {len(sheets)}.png"
        words = [*arguments(root), "data.crop=[24,32]", f"seed={seed}", f"out={out}", "-n", "3"]
        assert data(["sample", *words]) == 0
        assert str(out) in capsys.readouterr().out
        sheets.append(np.asarray(Image.open(out)))
    first, again, other = sheets
    assert first.shape[1] == 1600 and first.shape[2] == 3
    np.testing.assert_array_equal(first, again)
    assert first.shape != other.shape or (first != other).any()
    # every picture is there: noise, not paper
    assert (first != 255).any(axis=2).mean() > 0.01
    assert len(np.unique(first.reshape(-1, 3), axis=0)) > 1000


def test_more_samples_than_there_are_and_another_split(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "val.png"
    assert data(["sample", *arguments(root), "split=val", f"out={out}"]) == 0
    assert Image.open(out).width == 1600


def test_a_sheet_names_the_damaged_file(root: Path, tmp_path: Path) -> None:
    damage(root)
    (root / "val.txt").write_text("val/d.png valannot/d.png\n")
    with pytest.raises(UserError, match=r"d\.png: the label is 40x36"):
        data(["sample", *arguments(root), "split=val", f"out={tmp_path / 'x.png'}"])
