"""Third-party launchers, played; real ones are run in tests/e2e/test_sweep.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_sweep import planned

from segscape import job
from segscape.engine.fit import FitResult
from segscape.errors import UserError
from segscape.job import Request
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.launchers.plugin import is_job, refuse_sweep_settings, run_job
from segscape.sweep.launchers.queues import statuses
from segscape.sweep.memory.directory import Planned, SweepDirectory
from segscape.sweep.memory.status import State
from segscape.sweep.settings import SweepSettings
from segscape.sweep.sweeper import description, plugin_queue, run_grid


class Launcher:
    """Plays a launcher: in each batch a word for each job; `break` makes the launcher fail."""

    def __init__(self, *batches: Sequence[str]) -> None:
        self.batches = list(batches)
        self.launched: list[list[list[str]]] = []

    def launch(self, overrides: Sequence[Sequence[str]], initial_job_idx: int) -> None:
        assert initial_job_idx == sum(map(len, self.launched))
        self.launched.append([list(each) for each in overrides])
        for each, word in zip(overrides, self.batches.pop(0), strict=True):
            if word == "break":
                raise RuntimeError("no node answers\nat all")
            if word == "stop":
                raise SystemExit(3)
            text = next(text for text in each if text.startswith("run_dir="))
            run = RunDirectory(text.removeprefix("run_dir='").removesuffix("'"))
            run.write_status(word, **({"error": "too small"} if word == "failed" else {}))
            if word == "finished":
                run.write_summary({"val/miou": 0.5})


def swept(place: Path, launcher: Any, wanted: Sequence[Planned] = (), **given: Any) -> int:
    jobs, settings = wanted or [planned("add", 1), planned("add", 2)], SweepSettings(**given)
    queue = plugin_queue(launcher, settings)
    described = description(["seed=1,2"], queue, settings)
    return run_grid(SweepDirectory(place), queue, settings, jobs, described)


def test_what_went_wrong_is_in_the_next_batch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # `running` without a process that holds the lock: it was killed.
    launcher = Launcher(["failed", "running"], ["failed", "stopped"], ["finished"])
    assert swept(tmp_path, launcher) == 1
    assert [len(batch) for batch in launcher.launched] == [2, 2, 1]
    printed = capsys.readouterr().out
    assert "failed    fusion=add seed=1: too small" in printed
    assert "1 finished, 1 failed" in printed
    description = SweepDirectory(tmp_path).read_description()
    assert description["command"] == ["seed=1,2"]
    assert "launcher" not in description  # there is no queue to query


def test_the_same_command_again_runs_what_is_missing(tmp_path: Path) -> None:
    assert swept(tmp_path, Launcher(["finished", "failed"]), retry_failed=0) == 1
    moved = planned("add", 2)
    moved = Planned(moved.config, (*moved.overrides, "data.root=there"), {}, moved.varied)
    second = Launcher(["finished"])
    assert swept(tmp_path, second, [planned("add", 1), moved]) == 0
    ((overrides,),) = second.launched
    # As typed now: another path of the data does not make another job.
    assert "++data.root=there" in overrides
    assert swept(tmp_path, Launcher(), [planned("add", 1), moved]) == 0


def test_a_launcher_that_breaks_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="Launcher failed: RuntimeError: no node answers\n"):
        swept(tmp_path / "at once", Launcher(["break", "break"]))
    assert swept(tmp_path / "later", Launcher(["finished", "break"])) == 1
    assert "no node answers" in capsys.readouterr().err


def test_a_job_of_this_process_that_was_stopped_ends_the_command(tmp_path: Path) -> None:
    assert swept(tmp_path, Launcher(["finished", "stop"])) == 3


@pytest.mark.parametrize("settings", [{"wait": False}, {"fail_fast": True}])
def test_what_such_a_launcher_cannot_follow(settings: dict[str, bool], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        swept(tmp_path / "s", Launcher(), **settings)
    assert not (tmp_path / "s").exists()


def test_a_job_of_another_command_is_left_to_it(tmp_path: Path) -> None:
    sweep = SweepDirectory(tmp_path)
    (one,) = sweep.add([planned("add")])
    place = sweep.place(one)
    RunDirectory(place).write_status("running")
    assert statuses(sweep)[0].state is State.LOST
    hold = (
        "import sys; from segscape.runs.run_directory import RunDirectory as R\n"
        "with R(sys.argv[1]).lock() as run:\n"
        "    print('held', flush=True); sys.stdin.read(); run.write_status('finished')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        assert statuses(sweep)[0].state is State.RUNNING
        launcher = Launcher()
        other.stdin.close()
        assert swept(tmp_path, launcher, [planned("add")]) == 0
    assert launcher.launched == []


# -- the job ---------------------------------------------------------------------------------------


def asked(tmp_path: Path) -> Request:
    sweep = SweepDirectory(tmp_path)
    (one,) = sweep.add([planned("add")])
    return Request({"run_dir": str(sweep.place(one)), "model": {"name": "m"}}, [], {})


def test_a_job_records_how_it_ended_and_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    request = asked(tmp_path)
    place = Path(request.config["run_dir"])
    assert is_job(str(place)) and not is_job(str(tmp_path)) and not is_job(None)

    def refuse(given: Request) -> None:
        assert given.title == "fusion=add seed=1"
        raise UserError("there is no such folder", "data.root=DIR")

    monkeypatch.setattr(job, "run", refuse)
    assert run_job(request, 4, elsewhere=False) == 0  # the sweeper decides
    status = json.loads((place / "status.json").read_text())
    assert (status["state"], status["error"]) == ("failed", "there is no such folder")
    assert "data.root=DIR" in (place / "log.txt").read_text()
    assert "job 4: fusion=add seed=1: failed: there is no such" in capsys.readouterr().err


def test_ctrl_c_is_no_fault_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = asked(tmp_path)

    def interrupted(given: Request) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_job(request, 0, elsewhere=True)
    assert statuses(SweepDirectory(tmp_path))[0].state is State.STOPPED


def test_in_another_process_a_job_prints_into_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    request = asked(tmp_path)
    place = Path(request.config["run_dir"])

    def train(given: Request) -> FitResult:
        os.write(1, b"epoch 1\n")
        subprocess.run(["echo", "of a child"], check=True)
        RunDirectory(place).write_status("finished")
        return FitResult("finished", 0, {"val/miou": 0.25}, None, place, None)

    monkeypatch.setattr(job, "run", train)
    assert run_job(request, 0, elsewhere=True) == 0
    log, printed = (place / "log.txt").read_text(), capfd.readouterr().out
    assert "epoch 1\n" in log and "of a child\n" in log
    assert "epoch 1" not in printed
    assert printed.endswith("job 0: fusion=add seed=1: finished  mIoU 0.2500\n")
    assert run_job(request, 0, elsewhere=True) == 0
    assert "finished already" in capfd.readouterr().out


def test_without_a_part_of_segscape_no_key_of_the_sweep_has_an_effect() -> None:
    refuse_sweep_settings(["fusion=add", "data.size=[64,128]"])
    for text in ("sweep.seeds=3", "++sweep.name=s", "sweep=encoders"):
        with pytest.raises(UserError, match="has no effect"):
            refuse_sweep_settings(["fusion=add", text])
