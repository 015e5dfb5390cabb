"""What is typed for a sweep as a whole, and what becomes of it without a job that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_sweep import planned

from segscape.errors import UserError
from segscape.sweep.launchers.base import Live, Queue, new_attempt
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory
from segscape.sweep.settings import SweepSettings
from segscape.sweep.sweeper import refuse_places, refuse_without_effect, run_grid


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("sweep.seeds=1,2,3", "'sweep.seeds=[1,2,3]'"),
        ("sweep.zip=fusion,encoder", "'sweep.zip=[fusion,encoder]'"),
        ("sweep.grid.encoder=stdc1,stdc2", "'sweep.grid.encoder=[stdc1,stdc2]'"),
        ("sweep=encoders,fusion_ablation", "segscape list sweep"),
    ],
)
def test_a_list_for_the_sweep_itself_needs_brackets(text: str, hint: str) -> None:
    with pytest.raises(UserError, match="several values") as raised:
        refuse_places(["fusion=add,concat", text])
    assert raised.value.hint is not None and hint in raised.value.hint


def test_what_hydra_would_do_to_its_own_jobs_is_refused() -> None:
    refuse_without_effect(
        ["hydra.mode=MULTIRUN", "hydra/launcher=local", "hydra.launcher.jobs=2", "hydra.verbose=1"]
    )
    for text in ("hydra.sweep.dir=there", "hydra.job.chdir=true", "++hydra.job.env_set.A=1"):
        with pytest.raises(UserError, match="has no effect"):
            refuse_without_effect([text])


class Waiting(Queue):
    """A queue in which everything waits, and that records what it was given."""

    name, poll_s, slots = "local", 0.1, 1

    def __init__(self) -> None:
        self.given: list[int] = []

    def settings(self) -> dict[str, Any]:
        return {"jobs": 2}

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        self.given.append(len(jobs))
        for job in jobs:
            sweep.record(job, new_attempt(self, code))

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        return {token: Live("queued") for token in attempts}

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        raise AssertionError("nothing is cancelled here")

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        return None


def test_a_command_that_submits_nothing_updates_the_queue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("segscape.sweep.run.supervisor.take_snapshot", lambda path, configs: "code")
    queue, sweep = Waiting(), SweepDirectory(tmp_path / "s")
    for _ in range(2):
        assert run_grid(sweep, queue, SweepSettings(wait=False), [planned("add")], {}) == 0
    assert queue.given == [1, 0]  # how many jobs run at once may be another number now
    assert "fail_fast" not in capsys.readouterr().out
    settings = SweepSettings(wait=False, fail_fast=True)
    assert run_grid(sweep, queue, settings, [planned("add")], {}) == 0
    assert "counts only while a command waits" in capsys.readouterr().out
