"""`segscape sweep`: real queue, real processes that behave like jobs, no training."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from small_sweep import StandInQueue, planned, wait_until

from segscape import cli
from segscape.commands.sweep import choose, find, sweep
from segscape.errors import UserError
from segscape.sweep.launchers import queues
from segscape.sweep.launchers.queues import statuses
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import JobStatus
from segscape.sweep.run.supervisor import Supervisor
from segscape.sweep.settings import SweepSettings

NAME = "mine"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of its own, in which the local queue runs the stand-ins."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(queues.QUEUES, "local", StandInQueue)
    return tmp_path


def begun(what: Sequence[str], jobs: int = 2, submit: bool = True) -> Supervisor:
    """A sweep of the name `NAME` whose jobs behave as named: quick, long, fail, crash."""
    directory = SweepDirectory(Path("runs/sweeps") / NAME)
    queue = StandInQueue(jobs)
    wanted = [planned("add", seed, what=each) for seed, each in enumerate(what, 1)]
    launcher = {"name": "local", "settings": queue.settings()}
    directory.write_description(
        {
            "command": ["seed=1,2"],
            "launcher": launcher,
            "settings": {"restarts": 0, "retry_failed": 0, "fail_fast": False},
        }
    )
    made = Supervisor(
        directory, queue, SweepSettings(restarts=0, retry_failed=0), directory.add(wanted)
    )
    if submit:
        made.submit_due()
    return made


def state(made: Supervisor) -> list[str]:
    return [str(one.state) for one in statuses(made.sweep, made.queue)]


def end(made: Supervisor) -> list[JobStatus]:
    return made.wait(interval_s=0.1)


def begins(made: Supervisor, job: Job) -> None:
    wait_until(lambda: made.sweep.worker(job).get("pid") is not None)


# -- status ----------------------------------------------------------------------------------------


def test_status_shows_every_job_and_every_failure(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["quick", "fail"])
    end(made)
    assert sweep(["status", NAME]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["fusion=add", "seed=1", "finished"] for line in lines)
    assert "failed    fusion=add seed=2: ValueError: too small" in lines
    assert f"          log: runs/sweeps/{NAME}/jobs/{made.jobs[1].folder}/log.txt" in lines
    assert lines[-1] == "2 jobs: 1 finished, 1 failed"


def test_status_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["quick", "fail"])
    end(made)
    assert sweep(["status", f"runs/sweeps/{NAME}", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["counts"] == {"finished": 1, "failed": 1}
    assert data["command"] == ["seed=1,2"]
    assert data["launcher"]["name"] == "local"
    assert [one["id"] for one in data["jobs"]] == [job.id for job in made.jobs]
    assert data["jobs"][1]["cause"] == "ValueError: too small"
    assert Path(data["jobs"][1]["log"]) == made.sweep.log_path(made.jobs[1])


def test_status_of_chosen_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["quick"] * 3, submit=False)
    first, second, third = made.jobs

    def shown(*words: str) -> list[str]:
        assert sweep(["status", NAME, *words, "--json"]) == 0
        return [one["id"] for one in json.loads(capsys.readouterr().out)["jobs"]]

    assert shown(second.id[:6]) == [second.id]
    assert shown(third.folder, "fusion=add seed=1") == [first.id, third.id]
    assert shown("seed=2") == [second.id]
    assert shown("fusion=add") == [first.id, second.id, third.id]
    with pytest.raises(UserError, match="no job 'seed=7'"):
        sweep(["status", NAME, "seed=7"])


def test_status_without_a_sweep_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep(["status"]) == 0
    assert "no sweeps" in capsys.readouterr().out
    begun(["quick", "quick"], submit=False)
    other = SweepDirectory("runs/sweeps/another")
    other.add([planned("concat")])
    assert sweep(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "another  1 job: 1 waiting",
        "mine     2 jobs: 2 waiting",
    ]
    assert sweep(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mine"] == {"waiting": 2}


def test_watching_ends_with_the_jobs(capsys: pytest.CaptureFixture[str]) -> None:
    begun(["quick"])
    assert sweep(["status", NAME, "--watch"]) == 0
    assert f"report: segscape report runs/sweeps/{NAME}" in capsys.readouterr().out


def test_ctrl_c_does_not_end_the_jobs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun(["long"])
    begins(made, made.jobs[0])

    def pressed(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", pressed)
    assert sweep(["status", NAME, "--watch"]) == 0
    monkeypatch.undo()
    assert "the jobs go on" in capsys.readouterr().out
    assert state(made) == ["running"]
    os.kill(made.sweep.worker(made.jobs[0])["pid"], signal.SIGKILL)


# -- retry, resume, cancel -------------------------------------------------------------------------


def test_retry_submits_what_failed_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["quick", "fail", "fail"])
    end(made)
    assert sweep(["retry", NAME]) == 0
    out = capsys.readouterr().out
    assert "submitted  fusion=add seed=2" in out
    assert "2 submitted (local)" in out
    assert [one.attempts for one in end(made)] == [1, 2, 2]
    assert sweep(["retry", NAME, "seed=3"]) == 0
    assert [one.attempts for one in end(made)] == [1, 2, 3]


def test_retry_refuses_what_did_not_fail(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["quick"])
    end(made)
    with pytest.raises(UserError, match="fusion=add seed=1 has finished"):
        sweep(["retry", NAME, made.jobs[0].id])
    assert sweep(["retry", NAME]) == 0
    assert capsys.readouterr().out == "nothing has failed: 1 job: 1 finished\n"
    assert end(made)[0].attempts == 1


def test_waiting_keeps_to_the_limits_of_the_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["quick", "fail"])
    end(made)
    assert sweep(["retry", NAME, "--wait"]) == 1
    assert "2 jobs: 1 finished, 1 failed" in capsys.readouterr().out
    assert end(made)[1].attempts == 2


def test_resume_submits_what_is_missing_but_not_what_failed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = begun(["crash", "fail", "quick"])
    end(made)
    (late,) = made.sweep.add([planned("concat", what="quick")])
    assert state(made) == ["lost", "failed", "finished", "waiting"]
    assert sweep(["resume", NAME]) == 0
    out = capsys.readouterr().out
    assert f"left out: 1 failed (segscape sweep retry runs/sweeps/{NAME})" in out
    assert "submitted  fusion=add seed=1" in out and f"submitted  {late.name}" in out
    wait_until(lambda: not {"queued", "running"} & set(state(made)))
    assert state(made) == ["lost", "failed", "finished", "finished"]
    assert [len(made.sweep.attempts(job)) for job in made.sweep.jobs()] == [2, 1, 1, 1]


def test_resume_starts_a_runner_for_jobs_that_wait(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["long", "quick"], jobs=1)
    begins(made, made.jobs[0])
    runner = _runner(made.sweep.path)
    os.kill(runner, signal.SIGKILL)
    os.kill(made.sweep.worker(made.jobs[0])["pid"], signal.SIGKILL)
    os.waitpid(runner, 0)
    wait_until(lambda: "no runner" in (statuses(made.sweep)[1].cause or ""))
    assert sweep(["resume", NAME]) == 0
    wait_until(lambda: state(made)[1] == "finished")
    assert len(made.sweep.attempts(made.jobs[1])) == 1


def test_cancel_and_resume(capsys: pytest.CaptureFixture[str]) -> None:
    made = begun(["long", "long", "quick"], jobs=1)
    begins(made, made.jobs[0])
    assert sweep(["cancel", NAME, "seed=2", "seed=3"]) == 0
    out = capsys.readouterr().out
    assert "cancelled  fusion=add seed=2" in out and "seed=1" not in out
    wait_until(lambda: state(made) == ["running", "cancelled", "cancelled"])
    assert sweep(["cancel", NAME]) == 0
    wait_until(lambda: state(made) == ["cancelled"] * 3)
    assert sweep(["cancel", NAME]) == 0
    assert "nothing to cancel: 3 jobs: 3 cancelled" in capsys.readouterr().out
    assert sweep(["resume", NAME, "seed=3"]) == 0
    wait_until(lambda: state(made) == ["cancelled", "cancelled", "finished"])


def test_a_job_whose_directory_is_gone_is_named() -> None:
    made = begun(["quick"], submit=False)
    shutil.rmtree(made.sweep.place(made.jobs[0]))
    with pytest.raises(UserError, match="directory of fusion=add seed=1 is gone") as raised:
        sweep(["resume", NAME])
    assert "run the command of the sweep again" in str(raised.value)


def test_a_damaged_sweep_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    begun(["quick"], submit=False)
    broken = SweepDirectory("runs/sweeps/broken")
    broken.add([planned("add")])
    (broken.path / "manifest.json").write_text("{")
    assert sweep(["status"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("broken  error: ") and "manifest.json is damaged" in first
    assert second == f"{NAME}    1 job: 1 waiting"
    assert sweep(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found[NAME] == {"waiting": 1} and "damaged" in found["broken"]["error"]


def test_jobs_are_chosen_by_values_as_they_are_typed() -> None:
    made = begun([], submit=False)
    for size in ([64, 128], [32, 64]):
        job = replace(planned("add", size=size), varied={"data.size": size, "init": None})
        made.sweep.add([job])
    assert [job.varied["data.size"] for job in choose(made.sweep, ["data.size=[32,64]"])] == [
        [32, 64]
    ]
    assert len(choose(made.sweep, ["init=null data.size=[32, 64]"])) == 1
    assert len(choose(made.sweep, ["init=null"])) == 2
    other = replace(planned("add", aux={"a": 1.0}), varied={"aux": {"a": 1.0}})
    made.sweep.add([other])
    assert len(choose(made.sweep, ["aux={a: 1.0}"])) == 1


def test_a_sweep_of_a_third_party_launcher_has_no_queue() -> None:
    made = begun(["quick"], submit=False)
    (made.sweep.path / "sweep.json").unlink()
    assert sweep(["status", NAME]) == 0
    for command in ("retry", "resume", "cancel"):
        with pytest.raises(UserError, match="third-party launcher"):
            sweep([command, NAME])


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (["stat", NAME], "no command 'sweep stat'", "did you mean segscape sweep status"),
        (["cancel"], "needs a sweep", "there are: mine"),
        (["status", "--watch"], "needs a sweep", "there are: mine"),
        (["status", "mein"], "mein: there is no such sweep", "did you mean mine"),
        (["status", "runs"], "runs: holds no sweep", "in runs/sweeps: mine"),
        (["cancel", NAME, "--wait"], "has no option --wait", "it takes: none"),
        (["retry", NAME, "--wiat"], "has no option --wiat", "did you mean --wait"),
        (["status", NAME, "--json", "--watch"], "for programs", "one of them"),
    ],
)
def test_mistakes_are_errors_with_a_hint(words: list[str], what: str, hint: str) -> None:
    begun(["quick"], submit=False)
    with pytest.raises(UserError) as found:
        sweep(words)
    assert what in found.value.what
    assert found.value.hint is not None and hint in found.value.hint


def test_a_sweep_is_found_by_path_and_by_name(here: Path) -> None:
    made = begun(["quick"], submit=False)
    for text in (NAME, f"runs/sweeps/{NAME}", str(made.sweep.path), f"./runs/sweeps/{NAME}/"):
        assert find(text).path.resolve() == made.sweep.path.resolve()


def test_the_command_line_has_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["segscape", "sweep", "status", "nothing"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert "nothing: there is no such sweep" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["segscape", "sweep", "--help"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    assert "segscape sweep retry" in capsys.readouterr().out


def test_a_sweep_has_options_of_the_users_own(here: Path) -> None:
    root = Path(cli.__file__).resolve().parents[2]
    example = root / "examples" / "my_fusion"
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from segscape.cli import train; train()", "-m"),
            *("--config-dir", str(example / "conf"), "fusion=mine,add", "sweep.where=macs<1"),
        ],
        env={**os.environ, "PYTHONPATH": str(example)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "left out: 2 designs outside of sweep.where='macs<1'" in done.stdout
    assert not (here / "runs").exists()


def _runner(path: Path) -> int:
    """The process that runs the queue: found by its command line."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_text().split("\0")
        except OSError:
            continue
        if "segscape.sweep.run.runner" in words and str(path) in words:
            return int(place.name)
    raise AssertionError("no runner")
