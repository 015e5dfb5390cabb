"""A search on a real cluster; the jobs are processes that only play a training."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import played_job
import pytest
import slurm_cluster
from played_search import always, toy_search
from slurm_cluster import until

from segscape.sweep.launchers import slurm, slurm_commands
from segscape.sweep.launchers.queues import statuses
from segscape.sweep.launchers.slurm import SlurmQueue
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory
from segscape.sweep.memory.status import State
from segscape.sweep.search.search import Search
from segscape.sweep.search.space import Parameter, Space

slurm_cluster.require()

# 3 validations, or some minutes of them: a run with so many is pruned, or the test fails.
ROWS = Parameter("rows", ("3", "1500"))
X = Parameter("x", ("0.3", "0.8", "0.9"))


def stand_in(sweep: SweepDirectory, job: Job, attempt: Attempt) -> list[str]:
    program = [sys.executable, played_job.__file__, str(sweep.place(job)), attempt.token]
    return ["env", f"PYTHONPATH={os.pathsep.join(filter(None, sys.path))}", *program]


def search_on_slurm(path: Path, trials: int, lines: list[str]) -> Search:
    queue = SlurmQueue(partition="main", cpus=1, memory="200M")
    space = Space([ROWS, X], always)
    return toy_search(
        path,
        queue,
        space=space,
        trials=trials,
        workers=2,
        pruner="halving",
        say=lines.append,
        interval_s=0.3,
    )


def test_a_pruned_trial_leaves_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "worker_command", stand_in)
    lines: list[str] = []
    first = search_on_slurm(tmp_path, 1, lines)
    first.study.enqueue({"rows": "3", "x": "0.3"})
    first.run()
    # The same command with more trials: two that are worse, and would never end by themselves.
    search = search_on_slurm(tmp_path, 3, lines)
    for x in ("0.8", "0.9"):
        search.study.enqueue({"rows": "1500", "x": x})
    search.run()

    assert Counter(each.state.name for each in search.study.counted()) == {
        "COMPLETE": 1,
        "PRUNED": 2,
    }, lines
    attempts = [search.sweep.attempts(job) for job in search.sweep.jobs()]
    assert [len(each) for each in attempts] == [1, 1, 1]
    ids = sorted({str(each[0].queue_id).partition("_")[0] for each in attempts})
    until(lambda: not slurm_commands.queue(ids=ids))
    found = [one.state for one in statuses(search.sweep, search.queue)]
    assert found == [State.FINISHED, State.PRUNED, State.PRUNED]
    # They saved and ended: they did not have to be killed.
    workers = [search.sweep.worker(job) for job in search.sweep.jobs()]
    assert [each["exit"] for each in workers] == [0, played_job.STOPPED, played_job.STOPPED]
