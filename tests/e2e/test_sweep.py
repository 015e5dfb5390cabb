"""A sweep as a user runs one: from the command line, on this machine, with real trainings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from offline_run import records

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "data.size=[64,128]",
    "data.crop=[64,128]",
    "data.train_size=8",
    "data.val_size=2",
    "data.batch_size=4",
    "data.eval_batch_size=2",
    "trainer.max_epochs=1",
    "trainer.precision=32-true",
    "profile.latency=false",
    "callbacks.gallery_images=0",
)
SWEEP = ("-m", "fusion=uafm_spatial,add", "sweep.name=s", *SMALL)


def call(
    *arguments: str, cwd: Path, entry: str = str(ROOT / "train.py")
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *((entry,) if entry.endswith(".py") else ("-m", entry))]
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**os.environ, "WANDB_MODE": "offline"},
        text=True,
        capture_output=True,
        timeout=900,
    )


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    place = tmp_path_factory.mktemp("sweep")
    done = call(*SWEEP, "hydra.launcher.jobs=2", cwd=place)
    assert done.returncode == 0, done.stderr + done.stdout
    sweep = place / "runs" / "sweeps" / "s"
    # A job is finished before its tracker is: what it takes itself down for is not waited for.
    end = time.monotonic() + 120
    while not all(has_ended(job) for job in jobs_of(sweep)):
        assert time.monotonic() < end, "a job does not end"
        time.sleep(0.1)
    return sweep, done.stdout


def has_ended(job: Path) -> bool:
    return "exit" in json.loads((job / "worker.json").read_text())


def jobs_of(sweep: Path) -> list[Path]:
    manifest = json.loads((sweep / "manifest.json").read_text())
    return [sweep / "jobs" / job["folder"] for job in manifest["jobs"]]


def test_every_job_finishes_and_is_a_run_directory(swept: tuple[Path, str]) -> None:
    sweep, printed = swept
    assert "2 jobs, 2 submitted (local)" in printed
    for job, fusion in zip(jobs_of(sweep), ("uafm_spatial", "add"), strict=True):
        assert json.loads((job / "status.json").read_text())["state"] == "finished"
        assert (job / "checkpoints" / "best.ckpt").is_file()
        assert json.loads((job / "choices.json").read_text())["fusion"] == fusion
        assert len(json.loads((job / "attempts.json").read_text())["attempts"]) == 1


def test_the_tracker_has_one_group_and_a_run_for_every_job(swept: tuple[Path, str]) -> None:
    names, ids = set(), set()
    for job in jobs_of(swept[0]):
        (directory,) = (job / "wandb").glob("offline-run-*")
        (run,) = [r.run for r in records(directory) if r.WhichOneof("record_type") == "run"]
        assert run.run_group == "s"
        names.add(run.display_name)
        ids.add(run.run_id)
    assert names == {"fusion=uafm_spatial", "fusion=add"}
    assert len(ids) == 2


def test_the_same_command_runs_nothing_twice(swept: tuple[Path, str]) -> None:
    sweep, _ = swept
    before = {job: (job / "metrics.csv").stat().st_mtime_ns for job in jobs_of(sweep)}
    done = call(*SWEEP, "hydra.launcher.jobs=2", cwd=sweep.parents[2])
    assert done.returncode == 0, done.stderr
    assert "2 finished already, 0 submitted" in done.stdout
    assert {job: (job / "metrics.csv").stat().st_mtime_ns for job in jobs_of(sweep)} == before


def test_latencies_are_measured_one_by_one_afterwards(swept: tuple[Path, str]) -> None:
    sweep, _ = swept
    first = jobs_of(sweep)[0] / "summary.json"
    before = json.loads(first.read_text())
    assert "latency/p50_ms" not in before  # profile.latency=false
    assert before.pop("model/input_size") == [64, 128]
    first.write_text(json.dumps(before))  # as with profile=off
    done = call("sweep", "measure", str(sweep), cwd=sweep, entry="segscape")
    assert done.returncode == 0, done.stderr
    assert "2 designs measured" in done.stdout
    for job in jobs_of(sweep):
        after = json.loads((job / "summary.json").read_text())
        assert after["latency/p50_ms"] > 0
        assert after["latency/input_size"] == [64, 128]
        assert "one design at a time" in after["latency/measured"]


def test_a_job_is_the_run_of_the_same_overrides_alone(
    swept: tuple[Path, str], tmp_path: Path
) -> None:
    import torch

    sweep, _ = swept
    job = jobs_of(sweep)[1]
    alone = tmp_path / "alone"
    threads = {"OMP_NUM_THREADS": "1"} if len(os.sched_getaffinity(0)) == 2 else {}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "fusion=add", *SMALL, f"run_dir={alone}"],
        env={**os.environ, "WANDB_MODE": "offline", **threads},
        capture_output=True,
        text=True,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    ours, theirs = (
        torch.load(place / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
        for place in (job, alone)
    )
    for key, weight in ours["state_dict"].items():
        assert torch.equal(weight, theirs["state_dict"][key]), key


def test_edited_configuration_is_not_taken_for_the_same_sweep(
    swept: tuple[Path, str], tmp_path: Path
) -> None:
    own = tmp_path / "own" / "optim"
    own.mkdir(parents=True)
    text = (ROOT / "conf" / "optim" / "adamw.yaml").read_text()
    (own / "mine.yaml").write_text(text)
    with_mine = ("optim=mine", "--config-dir", str(own.parent))
    name = ("sweep.name=edited", "sweep.wait=false")
    sweep = [text for text in SWEEP if text != "sweep.name=s"]
    before = call(*sweep, *with_mine, *name, cwd=tmp_path)
    assert before.returncode == 0, before.stderr
    cancelled = call("sweep", "cancel", "edited", cwd=tmp_path, entry="segscape")
    assert cancelled.returncode == 0, cancelled.stderr
    (own / "mine.yaml").write_text(text.replace("lr: 0.001", "lr: 0.002"))
    after = call(*sweep, *with_mine, *name, cwd=tmp_path)
    assert after.returncode == 2
    assert "optim.lr was 0.001, is 0.002" in after.stderr
    assert "segscape sweep resume" in after.stderr


def test_what_cannot_work_is_named_before_anything_runs(tmp_path: Path) -> None:
    done = call("-m", "decoder=fld,unpool", "encoder=stdc1,espnet", *SMALL, cwd=tmp_path)
    assert done.returncode == 2
    assert "3 of 4 combinations cannot work" in done.stderr
    assert "sweep.exclude=" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["hydra/launcher=local", "fusion=add"], "python train.py -m hydra/launcher=local"),
        (["sweep.seeds=3"], "python train.py -m sweep.seeds=3"),
        (["-m", "sweep.sed=3"], "sweep.seed"),
        (["-m", "run_dir=x", "fusion=add"], "sweep.name=NAME"),
        (["-m", "hydra.launcher.jobs=0"], "hydra.launcher.jobs"),
        (["-m", "hydra.launcher.job=2"], "hydra.launcher.jobs"),
        (["-m", "hydra/launcher=slrum"], "slurm"),
        (["-m", "sweep=fusion_ablatoin"], "did you mean sweep=fusion_ablation?"),
        (["sweep.where=mac<1e9 and params<9e9", "-m"], "did you mean macs?"),
    ],
)
def test_mistakes_are_named(arguments: list[str], expected: str, tmp_path: Path) -> None:
    done = call(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib", "submitit_local", "ray"])
def test_a_third_party_launcher_has_the_memory_too(launcher: str, tmp_path: Path) -> None:
    plugin = f"hydra_{launcher.partition('_')[0]}_launcher"
    if launcher != "basic" and not find_spec(f"hydra_plugins.{plugin}"):
        pytest.skip(f"{plugin} is not installed")
    done = call(*SWEEP, f"hydra/launcher={launcher}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "2 jobs: 2 finished" in done.stdout
    # No stray files: the launcher's own files are in the directory of the sweep too.
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    again = call(*SWEEP, f"hydra/launcher={launcher}", cwd=tmp_path)
    assert "2 finished already" in again.stdout
    assert "job 0" not in again.stdout


@pytest.mark.slow
def test_a_third_party_sweeper_runs_over_our_queue(tmp_path: Path) -> None:
    done = call(*SWEEP, "hydra/sweeper=basic", "hydra.launcher.jobs=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    assert len(list((tmp_path / "runs" / "sweeps" / "s" / "jobs").glob("*/summary.json"))) == 2
