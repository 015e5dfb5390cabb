"""Jobs that are forked where the imports are done: what the runner may rely on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_sweep import planned, wait_until

import segscape
from segscape.sweep.launchers.base import worker_arguments, worker_command
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory
from segscape.sweep.memory.status import worker_lives
from segscape.sweep.run.fork_server import ForkServer

SOURCE = str(Path(segscape.__file__).parents[2])
ATTEMPT = Attempt("t1", "local", "1", "2026-01-01T00:00:00+00:00", "code")
SHARE = {"OMP_NUM_THREADS": "1"}
# A module of the user that hangs in the job.
HANGS = "import time\ntime.sleep(600)\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    place = tmp_path_factory.mktemp("modules")
    (place / "hangs.py").write_text(HANGS)
    path = os.pathsep.join([SOURCE, str(place)])
    made = ForkServer({**os.environ, **SHARE, "PYTHONPATH": path})
    yield made
    made.close()


def job_in(path: Path, seed: int, target: str | None = None) -> tuple[SweepDirectory, Job]:
    """A job that ends at once, since its configuration lacks most keys, or one that hangs."""
    sweep, wanted = SweepDirectory(path), planned("add", seed)
    if target is not None:
        from omegaconf import OmegaConf

        from segscape.config.composing import compose_with_choices

        composed, _ = compose_with_choices(["logger=csv", f"seed={seed}"])
        config = OmegaConf.to_container(composed, resolve=True)
        assert isinstance(config, dict)
        wanted = replace(wanted, config={**config, "fusion": {"_target_": target}})
    job = sweep.add([wanted])[0]
    sweep.record(job, ATTEMPT)
    return sweep, job


def test_forked_jobs_are_processes_of_their_own(server: ForkServer, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    jobs = []
    for seed in (1, 2):
        sweep, job = job_in(tmp_path, seed)
        began = server.start([str(sweep.place(job)), "t1"], [core])
        assert began is not None
        jobs.append((job, began))
    assert jobs[0][1].pid != jobs[1][1].pid
    for job, began in jobs:
        wait_until(lambda began=began: began.poll() is not None)  # type: ignore[misc]
        assert began.poll() == 2
        worker = sweep.worker(job)
        assert (worker["pid"], worker["exit"]) == (began.pid, 2)
        assert "was taken out" in sweep.run(job).read_status()["error"]
        assert "was taken out" in sweep.log_path(job).read_text()


def test_signals_reach_a_forked_job(server: ForkServer, tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    sweep, job = job_in(tmp_path, 1, "hangs.Part")
    for number, code in ((signal.SIGKILL, -9), (signal.SIGUSR2, 3)):
        began = server.start([str(sweep.place(job)), "t1"], [core])
        assert began is not None
        wait_until(lambda began=began: sweep.worker(job).get("pid") == began.pid)  # type: ignore[misc]
        assert os.sched_getaffinity(began.pid) == {core}
        assert os.getsid(began.pid) == began.pid
        assert began.poll() is None
        os.kill(began.pid, number)
        wait_until(lambda began=began: began.poll() is not None)  # type: ignore[misc]
        assert began.poll() == code


def test_jobs_outlive_the_process_that_forked_them(tmp_path: Path, server: ForkServer) -> None:
    """Last here: the process ends."""
    sweep, job = job_in(tmp_path, 1, "hangs.Part")
    began = server.start([str(sweep.place(job)), "t1"], None)
    assert began is not None and server.process is not None
    wait_until(lambda: worker_lives(sweep.place(job)))
    os.kill(server.process.pid, signal.SIGKILL)
    wait_until(lambda: began.poll() is not None or began.lost)
    assert began.lost
    assert worker_lives(sweep.place(job))
    os.kill(began.pid, signal.SIGKILL)
    assert server.start([str(sweep.place(job)), "t1"], None) is None


def test_source_that_cannot_be_imported_forks_nothing(tmp_path: Path) -> None:
    (tmp_path / "segscape").mkdir()
    (tmp_path / "segscape" / "__init__.py").write_text("raise ImportError('half a copy')")
    server = ForkServer({**os.environ, "PYTHONPATH": str(tmp_path)})
    assert server.start(["nowhere", "t1"], None) is None
    assert server.start(["nowhere", "t1"], None) is None


def test_only_workers_are_forked(tmp_path: Path) -> None:
    sweep, job = job_in(tmp_path, 1)
    (sweep.path / "code" / "code").mkdir(parents=True)
    found = worker_arguments(worker_command(sweep, job, ATTEMPT))
    assert found is not None
    path, arguments = found
    assert path.split(os.pathsep)[0] == str(sweep.path / "code" / "code")
    assert arguments == [str(sweep.place(job)), "t1"]
    for other in (["env", "A=b", "python"], ["env"], ["sleep", "1"], ["env", "PYTHONPATH=a", "x"]):
        assert worker_arguments(other) is None
