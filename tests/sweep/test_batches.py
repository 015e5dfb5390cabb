"""Third-party sweepers over the launchers of segscape, with jobs that are not trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobStatus as HydraStatus
from omegaconf import OmegaConf
from small_sweep import StandInQueue

from segscape.config.files import option
from segscape.errors import JobsFailed, UserError
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.batches import Batches
from segscape.sweep.memory.directory import Job, SweepDirectory


class ScoringQueue(StandInQueue):
    """Every job has ended when `submit` returns, with a score by its seed; seed 3 fails."""

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        for job in jobs:
            run = RunDirectory(sweep.place(job))
            if job.varied["seed"] == 3:
                run.write_status("failed", error="too small")
            else:
                run.write_summary({"val/miou": job.varied["seed"] / 10})
                run.write_status("finished")


def batches(
    path: Path, command: Sequence[str] = ("fusion=add", "seed=1,2"), **sweep: Any
) -> Batches:
    config = OmegaConf.create(
        {
            "sweep": {**option("sweep", "default"), "dir": str(path), **sweep},
            "hydra": {
                "sweeper": {"_target_": "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"},
                "overrides": {"task": list(command)},
            },
        }
    )
    return Batches(config, ScoringQueue(1))


@pytest.fixture(autouse=True)
def no_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segscape.sweep.run.supervisor.take_snapshot", lambda path, configs: "code")


def test_the_sweeper_gets_the_score_of_each_job_or_why_there_is_none(tmp_path: Path) -> None:
    made = batches(tmp_path, name="s", retry_failed=0)
    jobs = [["fusion=add", f"seed={seed}"] for seed in (2, 3, 1)] + [["fusion=ad", "seed=1"]]
    first, second, third, fourth = made.run(jobs)
    assert [first.return_value, third.return_value] == [0.2, 0.1]
    assert (second.status, fourth.status) == (HydraStatus.FAILED, HydraStatus.FAILED)
    with pytest.raises(JobsFailed, match="seed=3: failed: too small") as failed:
        second.return_value  # noqa: B018
    assert failed.value.exit_code == 1
    with pytest.raises(UserError, match="fusion=ad"):
        fourth.return_value  # noqa: B018
    # What the command line gives to all of them does not name a job.
    assert [job.name for job in made.sweep.jobs()] == ["seed=2", "seed=3", "seed=1"]
    assert made.run([["fusion=add", "seed=4"]])[0].return_value == 0.4
    assert len(made.sweep.jobs()) == 4


def test_every_command_begins_a_sweep_of_its_own(tmp_path: Path) -> None:
    batches(tmp_path, name="s").run([["fusion=add", "seed=1"]])
    with pytest.raises(UserError, match=r"sweep\.name=s is there already"):
        batches(tmp_path, name="s")
    assert batches(tmp_path).sweep.path != batches(tmp_path).sweep.path


@pytest.mark.parametrize(
    ("typed", "sweep"),
    [
        ("sweep.seeds=3", {"seeds": 3}),
        ("sweep.trials=30", {"trials": 30}),  # its default, and still without effect
        ("fusion=add", {"sampler": "random"}),
        ("fusion=add", {"grid": {"fusion": ["add"]}}),
        ("sweep.wait=false", {"wait": False}),
    ],
)
def test_settings_without_effect_are_refused(
    typed: str, sweep: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=f"sweep.{next(iter(sweep))}") as found:
        batches(tmp_path, [typed], **sweep)
    assert "BasicSweeper" in found.value.what
    assert not list(tmp_path.iterdir())
