"""The commands of the README, run as a user runs them, on scenes small enough for a test."""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from offline_run import read_summary
from PIL import Image

import segscape

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "data.size=[64,128]",
    "data.crop=[64,128]",
    "data.train_size=8",
    "data.val_size=3",
    "data.batch_size=4",
    "data.eval_batch_size=2",
    "trainer.max_epochs=2",
    "trainer.precision=32-true",
    "profile.max_seconds=0.5",
    "profile.min_seconds=0.1",
)


def call(
    *arguments: str, script: str = "train.py", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "train.py")] if script == "train.py" else ["-m", "segscape"]
    environment = {**os.environ, "WANDB_MODE": "offline", "OMP_NUM_THREADS": "2"}
    return subprocess.run(
        [sys.executable, *command, *arguments],
        cwd=cwd or ROOT,
        env=environment,
        text=True,
        capture_output=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A finished training with the tracker offline, and what it printed."""
    place = tmp_path_factory.mktemp("train") / "run"
    done = call(*SMALL, "fusion=add", f"run_dir={place}", cwd=place.parent)
    assert done.returncode == 0, done.stderr + done.stdout
    return place, done.stdout + done.stderr


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_run_directory_is_complete(run: tuple[Path, str]) -> None:
    place, printed = run
    for name in (
        "config.yaml",
        "overrides.yaml",
        "metrics.csv",
        "summary.json",
        "status.json",
        "environment.json",
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
    ):
        assert (place / name).is_file(), name
    assert len(list((place / "gallery").glob("*.png"))) >= 1
    assert json.loads((place / "status.json").read_text())["state"] == "finished"
    assert len(rows(place)) == 2
    for text in ("mIoU", "p50", "MACs", "FLOPs", "run directory", "wandb sync"):
        assert text in printed, text


def test_the_keys_of_the_record_are_there_and_true(run: tuple[Path, str]) -> None:
    summary = json.loads((run[0] / "summary.json").read_text())
    for key in (
        *("val/miou", "val/pixel_accuracy", "val/class_accuracy", "val/boundary_iou"),
        *("val/iou/road", "train/loss", "train/loss/main", "train/loss/decoder_16"),
        *("train/images_per_second", "train/data_wait"),
        *("model/params", "model/macs", "model/flops", "model/input_size", "model/macs/fusion"),
        *("latency/p50_ms", "latency/p90_ms", "latency/p99_ms", "latency/fps"),
        *("latency/to_mask_p50_ms", "latency/backend", "latency/precision", "latency/device"),
    ):
        assert key in summary, key
    best = max(rows(run[0]), key=lambda row: float(row["val/miou"]))
    assert summary["val/miou"] == float(best["val/miou"])
    assert summary["model/flops"] == 2 * summary["model/macs"]
    assert summary["model/input_size"] == [64, 128]
    assert 0 <= summary["train/data_wait"] <= 1


def test_csv_summary_and_tracker_hold_the_same(run: tuple[Path, str]) -> None:
    place, _ = run
    summary = json.loads((place / "summary.json").read_text())
    tracked = tracked_summary(place)
    row = next(r for r in rows(place) if int(r["step"]) == summary["step"])
    for key, value in summary.items():
        if "/" not in key or key == "model/uncounted_ops":
            continue
        assert key in row, key
        assert key in tracked, key
        if isinstance(value, float) and math.isfinite(value):
            assert float(row[key]) == value, key
            assert tracked[key] == pytest.approx(value, rel=1e-12), key


def tracked_summary(place: Path) -> dict[str, Any]:
    """The summary that W&B's own offline file holds."""
    runs = list((place / "wandb").glob("offline-run-*"))
    assert len(runs) == 1
    return read_summary(runs[0])


def test_evaluate_repeats_the_score_of_the_training(run: tuple[Path, str], tmp_path: Path) -> None:
    place, _ = run
    done = call("evaluate", f"run={place}", f"run_dir={tmp_path}", script="segscape")
    assert done.returncode == 0, done.stderr
    ours = json.loads((tmp_path / "summary.json").read_text())
    theirs = json.loads((place / "summary.json").read_text())
    for key in ("val/miou", "val/boundary_iou", "val/iou/road", "val/pixel_accuracy"):
        assert ours[key] == pytest.approx(theirs[key], abs=1e-6), key


def test_evaluate_refuses_what_it_would_ignore(run: tuple[Path, str], tmp_path: Path) -> None:
    done = call("evaluate", f"run={run[0]}", "optim.lr=7", f"run_dir={tmp_path}", script="segscape")
    assert done.returncode == 2
    assert "no effect" in done.stderr


def test_predict_writes_class_maps_and_overlays(run: tuple[Path, str], tmp_path: Path) -> None:
    image = tmp_path / "street photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)).save(image)
    out = tmp_path / "out"
    done = call("predict", f"run={run[0]}", str(image), "-o", str(out), script="segscape")
    assert done.returncode == 0, done.stderr
    written = sorted(out.glob("*.png"))
    assert len(written) == 2
    sizes = {Image.open(file).size for file in written}
    assert sizes == {(70, 50)}


def test_a_loaded_model_is_plain_torch_without_auxiliary_heads(run: tuple[Path, str]) -> None:
    model = segscape.load_model(run[0] / "checkpoints" / "best.ckpt")
    assert not any(name.startswith("auxiliary") for name, _ in model.named_parameters())
    assert model.classes[3] == "road"
    result = model.predict(np.zeros((33, 47, 3), np.uint8))
    assert result.mask.shape == (33, 47)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["fusion=uafm_spatal"], "did you mean fusion=uafm_spatial?"),
        (["fusion.reduction=4"], "fusion.reduction"),
        (["data=camvid"], "data.root=DIR"),
        (["data.batch_size=1", "data.crop=[32,32]"], "BatchNorm on 1x1 maps"),
        (["resume=nowhere.ckpt"], "nowhere.ckpt"),
    ],
)
def test_a_wrong_request_ends_with_two_and_few_lines(
    arguments: list[str], expected: str, tmp_path: Path
) -> None:
    done = call(*arguments, "logger=csv", cwd=tmp_path)
    printed = done.stdout + done.stderr
    assert done.returncode == 2, printed
    assert expected in printed
    assert "Traceback" not in printed
    assert len(printed.strip().splitlines()) <= 10
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("command", ["predikt", "evaluate", "list", "help"])
def test_the_console_script_explains_itself(command: str) -> None:
    arguments = {"evaluate": ["evaluate", "run=nowhere"], "list": ["list", "fusio"]}
    done = call(*arguments.get(command, [command]), script="segscape")
    assert done.returncode == (0 if command == "help" else 2), done.stderr
    expected = {"predikt": "predict", "evaluate": "nowhere", "list": "fusion", "help": "train"}
    assert expected[command] in done.stdout + done.stderr
