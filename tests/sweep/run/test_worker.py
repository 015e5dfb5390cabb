"""The process of a job where it has little to do: no test here trains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_sweep import planned, wait_until

from segscape.runs.locks import try_lock
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory

ATTEMPT = Attempt("t1", "local", "1", "2026-01-01T00:00:00+00:00", "code")


def job_in(path: Path, **more: Any) -> tuple[SweepDirectory, Job]:
    sweep = SweepDirectory(path)
    (job,) = sweep.add([planned("add", **more)])
    sweep.record(job, ATTEMPT)
    return sweep, job


def start(sweep: SweepDirectory, job: Job, token: str = "t1") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "segscape.sweep.run.worker", str(sweep.place(job)), token],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_is_finished_is_left(tmp_path: Path) -> None:
    sweep, job = job_in(tmp_path)
    sweep.run(job).write_status("finished")
    process = start(sweep, job)
    assert process.wait(60) == 0
    assert "finished already" in sweep.log_path(job).read_text()
    assert sweep.worker(job) == {}


def test_what_was_cancelled_is_left(tmp_path: Path) -> None:
    sweep, job = job_in(tmp_path)
    sweep.record(job, replace(ATTEMPT, cancelled=True))
    assert start(sweep, job).wait(60) == 0
    assert "cancelled" in sweep.log_path(job).read_text()
    assert sweep.worker(job) == {}


def test_what_a_live_process_holds_is_left(tmp_path: Path) -> None:
    sweep, job = job_in(tmp_path)
    descriptor = os.open(sweep.place(job) / ".worker", os.O_RDWR | os.O_CREAT)
    assert try_lock(descriptor)
    try:
        process = start(sweep, job)
        assert process.wait(60) == 0
        assert process.stderr is not None and "running already" in process.stderr.read()
        assert not sweep.log_path(job).exists()
    finally:
        os.close(descriptor)


def test_a_wrong_configuration_fails_with_its_cause(tmp_path: Path) -> None:
    sweep, job = job_in(tmp_path)  # lacks most keys
    assert start(sweep, job).wait(60) == 2
    status = sweep.run(job).read_status()
    assert status["state"] == "failed"
    assert "was taken out" in status["error"]
    worker = sweep.worker(job)
    assert (worker["exit"], worker["requeue"], worker["token"]) == (2, False, "t1")
    assert "was taken out" in sweep.log_path(job).read_text()


# A module of the user that hangs while it is imported: a signal then finds no training yet.
_SLOW = "import time\ntime.sleep(60)\n"


# At once, in the middle of importing torch, and later.
@pytest.mark.parametrize(
    ("name", "requeue", "delay"),
    [
        ("SIGUSR2", True, 0.0),
        ("SIGUSR2", True, 1.0),
        ("SIGTERM", False, 0.4),
        ("SIGTERM", False, 8),
    ],
)
def test_a_signal_before_the_training_stops_it(
    name: str, requeue: bool, delay: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_part.py").write_text(_SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from segscape.config.composing import compose_with_choices

    composed, _ = compose_with_choices(["logger=csv"])
    from omegaconf import OmegaConf

    config: Any = OmegaConf.to_container(composed, resolve=True)
    config["fusion"] = {"_target_": "slow_part.Slow"}
    sweep = SweepDirectory(tmp_path / "s")
    (job,) = sweep.add([replace(planned("add"), config=config)])
    sweep.record(job, ATTEMPT)
    process = start(sweep, job)
    log = sweep.log_path(job)
    wait_until(lambda: log.exists() and "==" in log.read_text())
    time.sleep(delay)
    process.send_signal(getattr(signal, name))
    assert process.wait(60) == 3
    worker = sweep.worker(job)
    assert (worker["exit"], worker["signal"], worker["requeue"]) == (3, name, requeue)
    assert sweep.run(job).read_status()["state"] == "stopped"
    # The next process of the same attempt counts as a restart.
    assert worker["restarts"] == 0


def test_a_job_that_never_gets_anywhere_is_not_requeued_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segscape.sweep.run import worker

    sweep, job = job_in(tmp_path)
    place = sweep.place(job)
    monkeypatch.setattr(worker, "_run", lambda place, saved: (worker.STOPPED, "SIGUSR2"))
    codes = [worker._attempt(place, ATTEMPT, {}) for _ in range(4)]
    assert codes == [3, 3, 3, 1]
    status = RunDirectory(place).read_status()
    assert status["state"] == "failed" and "without reaching a checkpoint" in status["error"]
    assert sweep.worker(job)["requeue"] is False
