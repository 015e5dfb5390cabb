"""A search that was killed, cancelled, moved, or is run by several processes at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import played_search
import pytest
from played_search import PlayedQueue, submitted, toy_search

from segscape.commands import sweep
from segscape.sweep.memory import status as sweep_states
from segscape.sweep.search.locks import FOLDER, end_all
from segscape.sweep.search.search import Search


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about power cuts, and thousands of small files are written."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    # A job whose submitter is killed in the act waits so long for an answer of the queue.
    monkeypatch.setattr(sweep_states, "_ON_ITS_WAY_S", 2.0)


def states(search: Search) -> Counter[str]:
    return Counter(each.state.name for each in search.study.counted())


def begin(path: Path, trials: int, hold: int = 0, others: int = 0) -> subprocess.Popen[bytes]:
    words = [str(path), str(trials), str(hold), str(others)]
    return subprocess.Popen([sys.executable, played_search.__file__, *words])


def wait_for(path: Path, jobs: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while len(submitted(path)) < jobs:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.002)


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
    assert any("taken over" in line for line in lines)
    assert states(search) == {"COMPLETE": trials}
    assert not search.study.running()
    assert max(Counter(submitted(tmp_path)).values()) == 1
    assert len(set(submitted(tmp_path))) == trials


def begun(path: Path, **settings: Any) -> Search:
    """A search with trials on their way, whose searcher has died."""
    search = toy_search(path, PlayedQueue(length=10**6), **settings)
    with search.owner.living():
        search._fill({})
    return search


def test_jobs_that_were_cancelled_in_between_are_wanted_again(tmp_path: Path) -> None:
    dead = begun(tmp_path)
    jobs = dead.sweep.jobs()
    dead._cancel(jobs, "cancelled")
    # A searcher that lives takes the trials over, and does not want what nobody wanted.
    search = toy_search(tmp_path, PlayedQueue(), trials=2)
    with search.owner.living():
        search._adopt()
        search._collect(search._look())
    assert states(search) == {"FAIL": 2}
    assert {each.user_attrs["cause"] for each in search.study.counted()} == {"cancelled"}

    dead = begun(tmp_path / "b")
    dead._cancel(dead.sweep.jobs(), "cancelled")
    search = toy_search(tmp_path / "b", PlayedQueue(), trials=2)
    search.run()
    assert states(search) == {"COMPLETE": 2}
    assert set(Counter(submitted(tmp_path / "b")).values()) == {2}


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
    assert not any("finished since" in line for line in lines), "the second time there is nothing"
    points = [tuple(each.user_attrs["point"].items()) for each in search.study.counted()]
    assert len(set(points)) == 4 and len(submitted(tmp_path)) == 4


def test_searchers_end_when_the_sweep_is_cancelled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            assert sweep.sweep(["cancel", str(tmp_path)]) == 0

    search = toy_search(tmp_path, PlayedQueue(length=10**6), say=say)
    search.sweep.write_description({"launcher": {"name": "local", "settings": {}}})
    search.run()
    assert "the search ends" in capsys.readouterr().out
    assert search.stopped and not search.sweep.attempts(search.sweep.jobs()[0])
    assert end_all(tmp_path / FOLDER) == 0
    search = toy_search(tmp_path, PlayedQueue(), trials=3)
    search.run()
    assert not search.stopped and states(search) == {"COMPLETE": 3}


def test_a_trial_whose_jobs_are_gone_is_given_up(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "manifest.json").unlink()
    lines: list[str] = []
    search = toy_search(tmp_path, PlayedQueue(), trials=2, say=lines.append)
    search.run()
    assert sum("are gone" in line for line in lines) == 2
    assert states(search) == {"COMPLETE": 2}


def test_a_sweep_that_was_moved_keeps_its_trials(tmp_path: Path) -> None:
    begun(tmp_path / "a" / "toy")
    (tmp_path / "a").rename(tmp_path / "b")
    lines: list[str] = []
    search = toy_search(tmp_path / "b" / "toy", PlayedQueue(), trials=2, say=lines.append)
    search._adopt()
    assert sum("taken over" in line for line in lines) == 2


def test_directories_that_share_a_database_share_the_trials(tmp_path: Path) -> None:
    storage, trials = f"sqlite:///{tmp_path}/study.db", 4
    begun(tmp_path / "a" / "toy", storage=storage)
    there = toy_search(tmp_path / "b" / "toy", PlayedQueue(), trials=trials, storage=storage)
    there.run()
    assert states(there) == {"RUNNING": 2, "COMPLETE": 2}
    assert there.study.elsewhere(there.owner) == 2
    # The two that it cannot see count; nobody runs more than were wanted.
    late = there.study.ask(there.owner)
    assert there.study.too_many(late.number, trials)
    there.study.interrupt(late.number, "too many")
    here = toy_search(tmp_path / "a" / "toy", PlayedQueue(), trials=trials, storage=storage)
    here.run()
    assert states(here) == {"COMPLETE": trials}


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
    assert len({each.user_attrs["owner"] for each in search.study.counted()}) == 2
    assert max(Counter(submitted(tmp_path)).values()) == 1


def test_a_living_searcher_keeps_its_trials(tmp_path: Path) -> None:
    one = toy_search(tmp_path, PlayedQueue(length=10**6))
    two = toy_search(tmp_path, PlayedQueue(), trials=8)
    with one.owner.living():
        one._fill({})
        assert two.study.adopt(two.owner) == []
    adopted = two.study.adopt(two.owner)
    assert {each.number for each in adopted} == {*one.trials}
