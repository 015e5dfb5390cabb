"""A search that was killed, cancelled, moved, or is run by several processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import played_search
import pytest
from optuna.trial import TrialState
from played_search import PlayedQueue, beat_fast, submitted, toy_search

from segscape.commands.sweep import sweep
from segscape.sweep.memory import status as sweep_states
from segscape.sweep.run.supervisor import Supervisor
from segscape.sweep.search import storage
from segscape.sweep.search.search import Search


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts, and thousands of small files are written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    # A job whose submitter is killed while it submits counts as submitted for so long.
    monkeypatch.setattr(sweep_states, "_ON_ITS_WAY_S", 2.0)
    monkeypatch.setattr(storage, "HEARTBEAT_S", 20)  # put back what `beat_fast` changes
    monkeypatch.setattr(storage, "GRACE_S", 60)
    beat_fast()


def states(search: Search) -> Counter[str]:
    return Counter(each.state.name for each in search.study.counted())


def begin(path: Path, trials: int, hold: int = 0, others: int = 0) -> subprocess.Popen[bytes]:
    words = [str(path), str(trials), str(hold), str(others)]
    return subprocess.Popen([sys.executable, played_search.__file__, *words])


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def wait_for(path: Path, jobs: int, process: subprocess.Popen[bytes]) -> None:
    until(lambda: len(submitted(path)) >= jobs or process.poll() is not None)
    assert process.poll() is None


def test_killed_again_and_again_and_resumed(tmp_path: Path) -> None:
    trials = 24
    for jobs in (3, 9, 15):
        process = begin(tmp_path, trials, hold=15)
        wait_for(tmp_path, jobs, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines: list[str] = []
    search = toy_search(tmp_path, PlayedQueue(slots=2), trials=trials, say=lines.append)
    search.run()
    assert any("takes over" in line for line in lines)
    assert states(search) == {"COMPLETE": trials}
    assert not search.study.unfinished()
    assert max(Counter(submitted(tmp_path)).values()) == 1
    assert len(set(submitted(tmp_path))) == trials


def begun(path: Path, **settings: Any) -> Search:
    """A search with running trials, whose searcher was killed."""
    search = toy_search(path, PlayedQueue(length=10**6), **settings)
    assert search.step() and len(search.trials) == 2
    return search


def cancel_jobs(search: Search) -> None:
    Supervisor(search.sweep, search.queue, search.settings, search.sweep.jobs()).cancel(
        search.sweep.jobs()
    )


def test_jobs_that_were_cancelled_in_between_are_wanted_again(tmp_path: Path) -> None:
    cancel_jobs(begun(tmp_path))
    search = toy_search(tmp_path, PlayedQueue(), trials=2)
    search.run()
    assert states(search) == {"COMPLETE": 2}
    assert set(Counter(submitted(tmp_path)).values()) == {2}


def test_jobs_that_were_cancelled_while_another_searched_are_not(tmp_path: Path) -> None:
    dead = list[Search]()

    def say(line: str) -> None:
        """A searcher that began trials after this one began is killed; its jobs are cancelled."""
        if not dead:
            dead.append(begun(tmp_path))
            cancel_jobs(dead[0])

    search = toy_search(tmp_path, PlayedQueue(slots=1), trials=3, say=say)
    search.run()
    assert states(search) == {"COMPLETE": 1, "FAIL": 2}
    causes = {each.user_attrs.get("cause") for each in search.study.counted()}
    assert causes == {None, "cancelled"}


def test_a_failed_trial_whose_job_was_mended_counts_as_what_it_is(tmp_path: Path) -> None:
    broken = toy_search(tmp_path, PlayedQueue(fate=lambda c, a: "fail"), trials=3)
    broken.run()
    assert states(broken) == {"FAIL": 3}
    # `segscape sweep retry` runs two of them again.
    for job in broken.sweep.jobs()[:2]:
        run = broken.sweep.run(job)
        run.append_metrics({"epoch": 1, "step": 1, "val/miou": 0.5, "latency/p50_ms": 10.0})
        run.write_status("finished")
    for _ in range(2):
        lines: list[str] = []
        search = toy_search(tmp_path, PlayedQueue(), trials=4, say=lines.append)
        search.run()
        assert states(search) == {"COMPLETE": 3, "FAIL": 1}, lines
    assert not any("takes over" in line for line in lines), "the second time there is nothing"
    points = [tuple(each.user_attrs["point"].items()) for each in search.study.counted()]
    assert len(set(points)) == 4 and len(submitted(tmp_path)) == 4


def test_searchers_end_when_the_sweep_is_cancelled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            assert sweep(["cancel", str(tmp_path)]) == 0

    search = toy_search(tmp_path, PlayedQueue(length=10**6), say=say)
    kept = {"launcher": {"name": "local", "settings": {}}, "settings": {"objectives": []}}
    search.sweep.write_description(kept)
    search.run()
    assert "the search ends" in capsys.readouterr().out
    assert search.stopped and not search.sweep.attempts(search.sweep.jobs()[0])
    search = toy_search(tmp_path, PlayedQueue(), trials=3)
    search.run()
    assert not search.stopped and states(search) == {"COMPLETE": 3}


def test_a_trial_whose_jobs_are_gone_begins_anew(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "manifest.json").unlink()
    lines: list[str] = []
    search = toy_search(tmp_path, PlayedQueue(), trials=2, say=lines.append)
    search.run()
    assert sum("takes over" in line for line in lines) == 2
    assert states(search) == {"COMPLETE": 2}


def test_a_sweep_that_was_moved_keeps_its_trials(tmp_path: Path) -> None:
    begun(tmp_path / "a" / "toy")
    (tmp_path / "a").rename(tmp_path / "b")
    lines: list[str] = []
    search = toy_search(tmp_path / "b" / "toy", PlayedQueue(), trials=2, say=lines.append)
    search.run()
    assert sum("takes over" in line for line in lines) == 2
    assert set(Counter(submitted(tmp_path / "b" / "toy")).values()) == {1}


def test_directories_that_share_a_database_share_the_trials(tmp_path: Path) -> None:
    address, trials = f"sqlite:///{tmp_path}/study.db", 4
    begun(tmp_path / "a" / "toy", storage=address)
    # The two that were begun elsewhere are begun here once more: their jobs cannot be seen.
    there = toy_search(tmp_path / "b" / "toy", PlayedQueue(), trials=trials, storage=address)
    there.run()
    assert states(there) == {"COMPLETE": trials}
    assert len(submitted(tmp_path / "b" / "toy")) == trials
    # Of two directories whose locks are independent none runs more than the requested number.
    late = there.study.ask()
    assert there.study.too_many(late.number, trials)


def test_half_a_line_in_the_journal_is_cut_off(tmp_path: Path) -> None:
    toy_search(tmp_path, PlayedQueue(), trials=2).run()
    journal = tmp_path / "study.journal"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "worker_')
    search = toy_search(tmp_path, PlayedQueue(), trials=4)
    search.run()
    assert states(search) == {"COMPLETE": 4}
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_two_searchers_share_the_trials_of_one_study(tmp_path: Path) -> None:
    trials = 16
    processes = [begin(tmp_path, trials, others=1) for _ in range(2)]
    assert [process.wait(180) for process in processes] == [0, 0]
    search = toy_search(tmp_path, PlayedQueue(), trials=trials)
    assert states(search) == {"COMPLETE": trials}
    assert len([*tmp_path.glob("*.here")]) == 2, "both had a trial"
    assert max(Counter(submitted(tmp_path)).values()) == 1


def test_a_living_searcher_keeps_its_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(storage, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(storage, "GRACE_S", 60)
    monkeypatch.setattr(storage, "time", SimpleNamespace(time=lambda: clock[0]))
    one, lines = begun(tmp_path), list[str]()
    two = toy_search(tmp_path, PlayedQueue(), trials=8, say=lines.append)

    def heartbeats() -> set[float]:
        return {two.study.trial(number).system_attrs["heartbeat"] for number in (0, 1)}

    with one.study.beating():
        clock[0] += 50
        until(lambda: heartbeats() == {1050})
        clock[0] += 50
        two.study.put_stale_in_line()
        assert not two.study.unfinished(TrialState.WAITING)
    # It gave back what it had not ended: the next one need not wait for missing heartbeats.
    assert len(two.study.unfinished(TrialState.WAITING)) == 2
    assert two.step() and two.step()
    assert sum("takes over" in line for line in lines) == 2


def test_a_searcher_that_counted_as_killed_gives_its_trials_to_the_other(tmp_path: Path) -> None:
    silent = begun(tmp_path, trials=2)
    toy_search(tmp_path, PlayedQueue(), trials=2).run()
    assert silent.step() and not silent.trials
    assert states(silent) == {"COMPLETE": 2}
    assert set(Counter(submitted(tmp_path)).values()) == {1}
