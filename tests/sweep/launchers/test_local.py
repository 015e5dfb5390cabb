"""The local queue with real processes that do what a job does, without a training."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_sweep import StandInQueue, planned, wait_until

from segscape.sweep.launchers.queues import statuses
from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import JobStatus, State
from segscape.sweep.run.supervisor import Supervisor, exit_code
from segscape.sweep.settings import SweepSettings


def supervisor(path: Path, what: Sequence[str], jobs: int = 2, **more: Any) -> Supervisor:
    sweep = SweepDirectory(path)
    wanted = [planned("add", seed, what=each) for seed, each in enumerate(what, 1)]
    queue = StandInQueue(jobs)
    sweep.write_description({"launcher": {"name": "local", "settings": queue.settings()}})
    return Supervisor(sweep, queue, SweepSettings(**more), sweep.add(wanted))


def state_of(made: Supervisor, job: Job) -> State:
    return statuses(made.sweep, made.queue, [job])[0].state


def states(found: Sequence[JobStatus]) -> list[str]:
    return [str(one.state) for one in found]


def runs(made: Supervisor, job: Job) -> int:
    return int(made.sweep.worker(job)["runs"])


def test_every_job_runs_once_and_a_second_command_runs_nothing(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["quick"] * 4)
    found = made.wait(interval_s=0.1)
    assert states(found) == ["finished"] * 4
    assert exit_code(found) == 0
    again = supervisor(tmp_path, ["quick"] * 5)
    assert len(again.submit_due()) == 1
    assert states(again.wait(interval_s=0.1)) == ["finished"] * 5
    assert [runs(again, job) for job in again.jobs] == [1] * 5


def test_a_failure_is_tried_again_so_often_and_no_more(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["fail", "quick"], retry_failed=2)
    found = made.wait(interval_s=0.1)
    assert states(found) == ["failed", "finished"]
    assert found[0].attempts == 3
    assert found[0].cause == "ValueError: too small"
    assert exit_code(found) == 1


def test_a_killed_job_is_lost_and_started_again(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["long"])
    made.submit_due()
    (job,) = made.jobs
    wait_until(lambda: made.sweep.worker(job).get("pid") is not None)
    assert state_of(made, job) is State.RUNNING
    os.kill(made.sweep.worker(job)["pid"], signal.SIGKILL)
    wait_until(lambda: state_of(made, job) is State.LOST)
    assert statuses(made.sweep, made.queue)[0].cause == "killed by signal 9"
    found = made.wait(interval_s=0.1)
    assert states(found) == ["finished"]
    assert (found[0].attempts, runs(made, job)) == (2, 2)


def test_a_job_that_always_dies_is_given_up(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["crash"], restarts=1)
    found = made.wait(interval_s=0.1)
    assert states(found) == ["lost"]
    assert found[0].attempts == 2


def test_a_preempted_job_goes_back_into_the_queue_by_itself(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["long"])
    made.submit_due()
    (job,) = made.jobs
    wait_until(lambda: made.sweep.worker(job).get("pid") is not None)
    os.kill(made.sweep.worker(job)["pid"], signal.SIGUSR2)
    wait_until(lambda: state_of(made, job) is State.FINISHED)
    assert (len(made.sweep.attempts(job)), runs(made, job)) == (1, 2)


def test_jobs_outlive_the_runner_and_are_not_run_twice(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["long", "quick", "quick"], jobs=1)
    made.submit_due()
    first = made.jobs[0]
    wait_until(lambda: made.sweep.worker(first).get("pid") is not None)
    runner = _runner_of(tmp_path)
    os.kill(runner, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{runner}").exists() or _is_zombie(runner))
    assert state_of(made, first) is State.RUNNING
    assert "no runner" in (statuses(made.sweep, made.queue)[1].cause or "")
    # A waiting process finds that the runner is gone, and starts another.
    os.kill(made.sweep.worker(first)["pid"], signal.SIGTERM)
    found = made.wait(interval_s=0.1)
    assert states(found) == ["finished"] * 3
    assert [runs(made, job) for job in made.jobs] == [2, 1, 1]


def test_a_job_that_dies_with_its_runner_is_lost_at_once(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["long"])
    made.submit_due()
    (job,) = made.jobs
    wait_until(lambda: made.sweep.worker(job).get("pid") is not None)
    runner, worker = _runner_of(tmp_path), made.sweep.worker(job)["pid"]
    os.kill(runner, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    for pid in (runner, worker):
        wait_until(lambda pid=pid: _is_zombie(pid))  # type: ignore[misc]
    assert state_of(made, job) is State.LOST
    found = made.wait(interval_s=0.1)
    assert states(found) == ["finished"]
    assert (found[0].attempts, runs(made, job)) == (2, 2)


def test_what_became_of_a_job_is_shown_before_it_runs_again(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["fail"], retry_failed=1)
    shown: list[tuple[str, int]] = []
    made.wait(lambda found: shown.append((str(found[0].state), found[0].attempts)), 0.1)
    assert shown.index(("failed", 1)) < shown.index(("failed", 2))


def test_after_fail_fast_nothing_is_submitted_again(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["fail", "long"], jobs=2, fail_fast=True, retry_failed=1)
    assert states(made.wait(interval_s=0.1)) == ["failed", "cancelled"]
    assert (made.settings.retry_failed, made.settings.restarts) == (0, 0)


def test_cancelling_stops_what_runs_and_drops_what_waits(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["long", "quick"], jobs=1)
    made.submit_due()
    wait_until(lambda: made.sweep.worker(made.jobs[0]).get("pid") is not None)
    assert len(made.cancel(made.jobs)) == 2
    found = made.wait(interval_s=0.1)
    assert states(found) == ["cancelled", "cancelled"]
    assert made.sweep.worker(made.jobs[1]) == {}
    # A new command submits them again, and they continue where they were.
    again = supervisor(tmp_path, ["long", "quick"], jobs=1)
    assert len(again.submit_due(revive=True)) == 2
    assert states(again.wait(interval_s=0.1)) == ["finished"] * 2


def test_fail_fast_cancels_the_rest(tmp_path: Path) -> None:
    what = ["fail", "long", "quick"]
    made = supervisor(tmp_path, what, jobs=1, fail_fast=True, retry_failed=0)
    assert states(made.wait(interval_s=0.1))[0] == "failed"
    assert "cancelled" in states(made.statuses())


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core cannot be shared")
def test_jobs_side_by_side_have_cores_of_their_own(tmp_path: Path) -> None:
    made = supervisor(tmp_path, ["quick", "quick"], jobs=2)
    made.wait(interval_s=0.1)
    cores = [set(made.sweep.worker(job)["cores"]) for job in made.jobs]
    assert cores[0] and not cores[0] & cores[1]


def test_gpus_are_dealt_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    made = supervisor(tmp_path, ["quick"] * 4, jobs=None)  # type: ignore[arg-type]
    assert made.queue.slots == 2
    made.wait(interval_s=0.1)
    assert {made.sweep.worker(job)["cuda"] for job in made.jobs} == {"3", "5"}


def _runner_of(sweep: Path) -> int:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"segscape.sweep.run.runner" in words and str(sweep).encode() in words:
            return int(place.name)
    raise AssertionError("no runner")


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True
