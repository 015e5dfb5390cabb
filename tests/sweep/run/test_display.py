"""What is printed while a sweep runs."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_sweep import planned

from segscape.sweep.memory.directory import Job, SweepDirectory
from segscape.sweep.memory.status import JobStatus, State
from segscape.sweep.run.display import Display, clock, live_view
from segscape.sweep.run.progress import ProgressReader


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def make(path: Path, number: int, **trainer: Any) -> tuple[SweepDirectory, list[Job]]:
    sweep = SweepDirectory(path / "runs" / "sweeps" / "mine")
    config = {"trainer": {"max_epochs": 50, "max_steps": None, **trainer}}
    return sweep, sweep.add(planned("add", seed, **config) for seed in range(1, number + 1))


def status_of(sweep: SweepDirectory, job: Job, state: State, **more: Any) -> JobStatus:
    known: dict[str, Any] = {"cause": None, "attempts": 1, "row": {}, "summary": {}}
    return JobStatus(job=job, state=state, log=sweep.log_path(job), **{**known, **more})


def running(
    sweep: SweepDirectory,
    job: Job,
    rows: Sequence[Mapping[str, Any]],
    begun: float,
    written: float,
    first: float | None = None,
) -> JobStatus:
    """A job that began so many seconds ago, and wrote its last row so many seconds ago."""
    run = sweep.run(job)
    for row in rows:
        run.append_metrics(row)
    stamp = time.time() - written
    os.utime(run.metrics_path, (stamp, stamp))
    started = ago(begun)
    record = {"state": "running", "started": started if first is None else ago(first)}
    return status_of(sweep, job, State.RUNNING, row=rows[-1], started=started, record=record)


def show(
    sweep: SweepDirectory,
    looks: Sequence[Sequence[JobStatus]],
    terminal: bool = False,
    stop: bool = False,
    **more: Any,
) -> str:
    console = Console(
        file=io.StringIO(), force_terminal=terminal, width=100, height=30, color_system=None
    )
    with suppress(KeyboardInterrupt), Display(sweep, console=console, **more) as display:
        for look in looks:
            display(look)
        if stop:
            raise KeyboardInterrupt
    return console.file.getvalue()  # type: ignore[attr-defined]


def without_end(text: str) -> list[str]:
    """The lines before the closing table."""
    lines = text.splitlines()
    end = next((i for i, line in enumerate(lines) if line.startswith("job ")), len(lines))
    return lines[:end]


def test_a_failure_is_said_at_once_with_cause_and_log(tmp_path: Path) -> None:
    sweep, (one, two) = make(tmp_path, 2)
    cause = f"ValueError: {'very ' * 40}long [red]and marked[/red]\nsecond line"
    queued = [status_of(sweep, job, State.QUEUED) for job in (one, two)]
    failed = [status_of(sweep, one, State.FAILED, cause=cause), queued[1]]
    lines = without_end(show(sweep, [queued, failed, failed]))
    said = [line for line in lines if "failed    " in line]
    assert said == [f"failed    fusion=add seed=1: {cause.splitlines()[0]}"]
    assert lines[lines.index(said[0]) + 1] == f"          log: {sweep.log_path(one)}"


def test_why_nothing_runs_is_said(tmp_path: Path) -> None:
    sweep, (one, two) = make(tmp_path, 2)
    cause = "no node has what it asks for"
    waiting = [
        status_of(sweep, job, State.QUEUED, cause=f"{cause} (SLURM 7_{index})")
        for index, job in enumerate((one, two))
    ]
    assert without_end(show(sweep, [waiting])) == [f"2 jobs: 2 queued  ({cause})"]
    begun = [status_of(sweep, one, State.RUNNING), waiting[1]]
    assert without_end(show(sweep, [begun])) == ["2 jobs: 1 queued, 1 running"]


def test_the_log_is_named_as_seen_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep, (one,) = make(tmp_path, 1)
    text = show(sweep, [[status_of(sweep, one, State.LOST, cause="killed by signal 9")]])
    assert f"log: runs/sweeps/mine/jobs/{one.folder}/log.txt" in text
    assert "segscape sweep retry runs/sweeps/mine" in text


def test_the_first_look_repeats_failures_only(tmp_path: Path) -> None:
    sweep, (one, two) = make(tmp_path, 2)
    found = [
        status_of(sweep, one, State.FINISHED, summary={"val/miou": 0.5}),
        status_of(sweep, two, State.LOST, cause="node failed"),
    ]
    lines = without_end(show(sweep, [found]))
    assert [line.split()[0] for line in lines] == ["lost", "log:", "2"]


def test_a_finished_job_is_said_with_its_figures(tmp_path: Path) -> None:
    sweep, (one,) = make(tmp_path, 1)
    summary = {"val/miou": 0.43215, "latency/p50_ms": 11.678}
    record = {"started": ago(600), "updated": ago(530)}
    looks = [
        [status_of(sweep, one, State.RUNNING)],
        [status_of(sweep, one, State.FINISHED, summary=summary, record=record)],
    ]
    assert "finished  fusion=add seed=1  mIoU 0.4321  p50 11.68 ms  in 1:10" in show(sweep, looks)


def test_a_new_attempt_is_said_with_what_ended_the_last(tmp_path: Path) -> None:
    sweep, (one,) = make(tmp_path, 1)
    record = {"state": "failed", "error": "RuntimeError: no space left"}
    looks = [
        [status_of(sweep, one, State.RUNNING)],
        [status_of(sweep, one, State.QUEUED, attempts=2, record=record)],
    ]
    lines = without_end(show(sweep, looks))
    assert lines[-1] == ("again     fusion=add seed=1: attempt 2 after RuntimeError: no space left")


@pytest.mark.parametrize(("seconds", "wanted"), [(1000.0, 1), (0.0, 2)])
def test_the_whole_is_said_now_and_then_and_only_when_it_is_new(
    tmp_path: Path, seconds: float, wanted: int
) -> None:
    sweep, (one,) = make(tmp_path, 1)
    queued, works = (status_of(sweep, one, s) for s in (State.QUEUED, State.RUNNING))
    text = show(sweep, [[queued], [queued], [works], [works]], line_seconds=seconds)
    assert sum(line.startswith("1 job: ") for line in without_end(text)) == wanted


def test_the_live_table_has_epoch_best_latency_and_time_left(tmp_path: Path) -> None:
    sweep, (one, two) = make(tmp_path, 2)
    rows = [
        {"epoch": 5, "step": 50, "val/miou": 0.31, "latency/p50_ms": 11.5},
        {"epoch": 10, "step": 100, "val/miou": 0.25, "latency/p50_ms": 11.5},
    ]
    works = running(sweep, one, rows, begun=100, written=0)
    text = show(sweep, [[works, status_of(sweep, two, State.QUEUED)]], terminal=True, stop=True)
    row = next(line for line in text.splitlines() if line.startswith("fusion=add seed=1"))
    assert row.split()[2:6] == ["running", "10/50", "0.3100", "11.50"]
    minutes, seconds = map(int, row.split()[6].split(":"))
    assert 340 <= 60 * minutes + seconds <= 400
    assert "2 jobs: 1 queued, 1 running" in text
    assert "Ctrl-C ends this display; the jobs go on" in text


def test_many_jobs_fit_a_small_terminal(tmp_path: Path) -> None:
    sweep, jobs = make(tmp_path, 200)
    found = [status_of(sweep, job, State.RUNNING) for job in jobs[:100]]
    found += [status_of(sweep, job, State.FAILED, cause="it broke") for job in jobs[100:]]
    console = Console(file=io.StringIO(), width=100, color_system=None)
    drawn = console.render_lines(live_view("mine", ProgressReader(sweep).read(found), height=30))
    assert len(drawn) < 30
    text = "\n".join("".join(segment.text for segment in line).rstrip() for line in drawn)
    assert "and 84 more that run" in text
    assert text.count("log: ") == 3


def test_ctrl_c_prints_that_the_jobs_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sweep, (one,) = make(tmp_path, 1)
    progress = [status_of(sweep, one, State.RUNNING)]
    for terminal in (False, True):
        text = show(sweep, [progress], terminal, stop=True)
        assert text.count("the jobs go on; the same command again waits for them") == 1
        assert "segscape sweep status runs/sweeps/mine --watch" in text
        assert "report" not in text


def test_the_end_shows_all_and_where_to_go(tmp_path: Path) -> None:
    sweep, (one, two) = make(tmp_path, 2)
    found = [
        status_of(sweep, one, State.FINISHED, summary={"val/miou": 0.5, "latency/p50_ms": 3.0}),
        status_of(sweep, two, State.PRUNED, cause="pruned", attempts=2),
    ]
    lines = show(sweep, [found], terminal=True).splitlines()
    row = next(line for line in lines if line.startswith("fusion=add seed=1"))
    assert row.split()[2:] == ["finished", "0.5000", "3.00"]
    assert any("pruned attempt 2" in line for line in lines)
    assert lines[-1] == f"report: segscape report {sweep.path}"


# -- time left -------------------------------------------------------------------------------------


def left(sweep: SweepDirectory, one: JobStatus) -> float | None:
    return ProgressReader(sweep).read([one]).jobs[0].seconds_left


def test_time_left_follows_the_pace_of_the_job(tmp_path: Path) -> None:
    sweep, (one,) = make(tmp_path, 1)
    row = {"epoch": 10, "step": 100}
    # 10 of 50 epochs in 100 s, 20 s ago
    assert left(sweep, running(sweep, one, [row], begun=120, written=20)) == pytest.approx(380, 0.1)


def test_time_left_of_a_budget_in_steps(tmp_path: Path) -> None:
    sweep, (one,) = make(tmp_path, 1, max_steps=400)
    found = running(sweep, one, [{"epoch": 10, "step": 100}], begun=100, written=0)
    assert left(sweep, found) == pytest.approx(300, 0.1)
    assert ProgressReader(sweep).read([found]).jobs[0].where == "step 100/400"


def test_a_continued_job_is_not_credited_with_what_was_done_before(tmp_path: Path) -> None:
    sweep, (one,) = make(tmp_path, 1)
    rows = [{"epoch": 10, "step": 100, "train/images_per_second": 4.0}]
    found = running(sweep, one, rows, begun=10, written=0, first=5000)
    assert left(sweep, found) is None  # the batch size is not known
    more = {"trainer": {"max_epochs": 50}, "data": {"batch_size": 8}}
    (two,) = sweep.add([planned("concat", **more)])
    found = running(sweep, two, rows, begun=10, written=0, first=5000)
    # 40 epochs of 10 steps of 8 images at 4 images a second
    assert left(sweep, found) == pytest.approx(800, 0.1)


def test_nothing_is_guessed_before_the_first_row(tmp_path: Path) -> None:
    sweep, jobs = make(tmp_path, 2)
    progress = ProgressReader(sweep).read([status_of(sweep, job, State.RUNNING) for job in jobs])
    assert [one.seconds_left for one in progress.jobs] == [None, None]
    assert progress.seconds_left is None


def test_time_left_of_the_sweep_shares_the_work(tmp_path: Path) -> None:
    sweep, jobs = make(tmp_path, 6)
    took = {"started": ago(500), "updated": ago(300)}
    found = [
        status_of(sweep, jobs[0], State.FINISHED, record=took),  # 200 s
        running(sweep, jobs[1], [{"epoch": 25, "step": 1}], begun=100, written=0),  # 100 s left
        status_of(sweep, jobs[2], State.RUNNING),  # unknown: as long as the mean
        *(status_of(sweep, job, State.QUEUED) for job in jobs[3:]),
    ]
    progress = ProgressReader(sweep).read(found, slots=2)
    assert progress.seconds_left == pytest.approx((100 + 200 + 3 * 200) / 2, 0.05)
    assert ProgressReader(sweep).read(found, slots=100).seconds_left == pytest.approx(900 / 5, 0.05)
    ended = [status_of(sweep, job, State.FINISHED, record=took) for job in jobs]
    assert ProgressReader(sweep).read(ended).seconds_left is None


def test_the_best_score_follows_the_file(tmp_path: Path) -> None:
    sweep, (one,) = make(tmp_path, 1)
    reader = ProgressReader(sweep)
    found = running(sweep, one, [{"epoch": 1, "step": 1, "val/miou": 0.2}], begun=9, written=5)
    assert reader.read([found]).jobs[0].best == 0.2
    found = running(sweep, one, [{"epoch": 2, "step": 2, "val/miou": 0.6}], begun=9, written=1)
    assert reader.read([found]).jobs[0].best == 0.6


def test_durations_as_people_say_them() -> None:
    assert [clock(s) for s in (0.4, 59.6, 3723, 200000)] == ["0:00", "1:00", "1:02:03", "2 d 7 h"]
