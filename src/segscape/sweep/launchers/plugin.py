"""Launchers that are not ours under our sweepers, and sweepers that are not ours over our queues.

A launcher of somebody else's takes a batch of overrides and returns when all of it has ended. The
sweep has its memory all the same: each job has its directory, and how it ended is read there.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

    from segscape.sweep.launchers.base import Queue
    from segscape.sweep.memory.directory import Job, Planned, SweepDirectory
    from segscape.sweep.memory.status import Standing
    from segscape.sweep.plan.check import Plan
    from segscape.sweep.settings import SweepSettings

_FAILED, _STOPPED = 1, 3
_POLL_S = 2.0
# What only a grid of ours heeds.
_OF_GRIDS = ("grid", "zip", "jobs", "seeds", "exclude", "where")


class JobsFailed(UserError):
    """The request was right, and jobs of it failed: the exit code says so."""

    exit_code = _FAILED


# -- launchers that are not ours ---------------------------------------------------------------


def run_foreign(
    sweep: SweepDirectory,
    launcher: Launcher,
    settings: SweepSettings,
    planned: Sequence[Planned],
    description: Mapping[str, Any],
) -> int:
    """Hand what is missing to a launcher of somebody else's, and wait.

    Args:
        sweep: gets the jobs.
        launcher: any Hydra launcher.
        settings: limits of retries.
        planned: the combinations.
        description: for `sweep.json`.

    Returns:
        The exit code.

    Raises:
        UserError: a setting that such a launcher cannot heed, or it could not start anything.
    """
    from segscape.sweep.memory.status import LIVE, State, standings
    from segscape.sweep.run.supervisor import exit_code, refuse_other_configurations

    _refuse_for_launchers(settings)
    with sweep.lock():
        refuse_other_configurations(sweep, planned)
        jobs = sweep.add(planned)
        sweep.write_description({**sweep.read_description(), **description})
    before = standings(sweep, None, jobs)
    done = sum(one.state is State.FINISHED for one in before)
    live = sum(one.state in LIVE for one in before)
    words = [f"sweep {_shown(sweep)}: {len(jobs)} jobs"]
    words += [f"{done} finished already"] if done else []
    words += [f"{live} on their way already"] if live else []
    print(", ".join(words), flush=True)
    try:
        _run_rounds(sweep, launcher, settings, planned, jobs)
        _await_others(sweep, jobs)
    except KeyboardInterrupt:
        print(
            "interrupted: the same command goes on from the last checkpoints; jobs that the "
            "launcher has given to a scheduler are in its hands"
        )
        return _STOPPED
    found = standings(sweep, None, jobs)
    _show_end(sweep, found)
    return exit_code(found)


def hand_over(launcher: Launcher, sweep: SweepDirectory, jobs: Sequence[Job], first: int) -> None:
    """Run jobs as one batch of a launcher, to its end.

    Args:
        launcher: any Hydra launcher.
        sweep: where the jobs are, each with its frozen overrides.
        jobs: of the batch.
        first: number of the first one.

    Raises:
        UserError: the launcher failed before any job began.
        KeyboardInterrupt: a signal asked for the end.
    """
    from segscape.config.command_line import admit

    batch = []
    for job in jobs:
        # A text in Hydra's notation, whatever signs the path has.
        place = str(sweep.place(job)).replace("\\", "\\\\").replace("'", "\\'")
        overrides = admit(sweep.frozen(job)["overrides"])
        batch.append([*overrides, f"run_dir='{place}'", "resume=auto"])
    before = _stamps(sweep, jobs)
    try:
        launcher.launch(batch, initial_job_idx=first)
    except SystemExit as stop:  # a job in this process was asked to stop
        raise KeyboardInterrupt from stop
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        words = f"{type(launcher).__name__} failed: {type(error).__name__}: {reason}"
        if _stamps(sweep, jobs) == before:
            raise UserError(words, "none of its jobs began; it is not part of segscape") from error
        print(words, file=sys.stderr)


def _run_rounds(
    sweep: SweepDirectory,
    launcher: Launcher,
    settings: SweepSettings,
    planned: Sequence[Planned],
    jobs: Sequence[Job],
) -> None:
    """Batch after batch, until nothing is due: what failed or was lost is in the next one."""
    from segscape.config.identity import identity
    from segscape.sweep.memory.status import standings

    by_id = {identity(each.config): each for each in planned}
    handed: Counter[str] = Counter()
    while True:
        found = standings(sweep, None, jobs)
        due = [one.job for one in found if _is_due(one, handed[one.job.id], settings)]
        if not due:
            return
        for job in due:
            # Where the data lie and how to track may differ from the command before.
            sweep.freeze(job, by_id[job.id])
        first = handed.total()
        handed.update(job.id for job in due)
        hand_over(launcher, sweep, due, first)


def _is_due(one: Standing, before: int, settings: SweepSettings) -> bool:
    """Whether a job that this command has handed over so often is to be handed over now."""
    from segscape.sweep.memory.status import LIVE, State

    if one.state is State.FINISHED or one.state in LIVE:
        return False
    if before == 0:
        return True
    if one.state is State.FAILED:
        return before <= settings.retry_failed
    return one.state in (State.STOPPED, State.LOST) and before <= settings.restarts


def _await_others(sweep: SweepDirectory, jobs: Sequence[Job]) -> None:
    """Jobs end too that another command, or a batch that broke off, has begun."""
    from segscape.sweep.memory.status import LIVE, standings

    told = False
    while live := [one for one in standings(sweep, None, jobs) if one.state in LIVE]:
        if not told:
            print(f"waiting for {len(live)} jobs that run already", flush=True)
            told = True
        time.sleep(_POLL_S)


def _refuse_for_launchers(settings: SweepSettings) -> None:
    if not settings.wait:
        raise UserError(
            "sweep.wait=false: this launcher returns when its jobs have ended",
            "hydra/launcher=local and hydra/launcher=slurm run them in the background",
        )
    if settings.fail_fast:
        raise UserError(
            "sweep.fail_fast=true: this launcher cannot stop jobs that it has begun",
            "hydra/launcher=local and hydra/launcher=slurm can",
        )


def _show_end(sweep: SweepDirectory, found: Sequence[Standing]) -> None:
    from segscape.sweep.run.display import screen, show_status
    from segscape.sweep.run.progress import Reader

    look = Reader(sweep).look(found)
    show_status(look, screen())
    print(f"report: segscape report {_shown(sweep)}")
    if look.broken:
        print("again:  the same command; what has finished is left out")


def _stamps(sweep: SweepDirectory, jobs: Sequence[Job]) -> list[int | None]:
    paths = [sweep.run(job).status_path for job in jobs]
    return [path.stat().st_mtime_ns if path.is_file() else None for path in paths]


# -- sweepers that are not ours ----------------------------------------------------------------


def run_batch(
    config: DictConfig, queue: Queue, job_overrides: Sequence[Sequence[str]]
) -> list[float | Exception]:
    """Run a batch for a sweeper of somebody else's on one of our queues.

    Args:
        config: composed, with `sweep` and `hydra`.
        queue: where the jobs go.
        job_overrides: of each job.

    Returns:
        Best val/miou of each job, or why there is none.

    Raises:
        UserError: a setting of the sweep that only our own sweepers heed.
    """
    from omegaconf import OmegaConf

    from segscape.config.command_line import as_typed
    from segscape.sweep.plan.check import plan
    from segscape.sweep.run.display import Watch
    from segscape.sweep.run.supervisor import Campaign, refuse_other_configurations
    from segscape.sweep.settings import LIMITS, read_settings
    from segscape.sweep.sweeper import is_of_sweep, open_sweep, refuse_places

    node: Any = OmegaConf.to_container(config.sweep, resolve=True)
    settings, sweeper = read_settings(node), str(config.hydra.sweeper._target_)
    _refuse_for_sweepers(settings, sweeper)
    command = as_typed(list(config.hydra.overrides.task))
    refuse_places(command)
    typed = [[t for t in as_typed(each) if not is_of_sweep(t)] for each in job_overrides]
    common, own = _apart([text for text in command if not is_of_sweep(text)], typed)
    points = [dict(text.split("=", 1) for text in each) for each in own]
    found = plan(points, common, settings)
    # Every batch of one command goes to the same sweep.
    sweep = open_sweep(settings, config, [*command, f"hydra.sweeper={sweeper}"])
    description = {
        "command": command,
        "own": [text for text in command if is_of_sweep(text)],
        "launcher": {"name": queue.name, "settings": queue.settings()},
        "settings": {key: getattr(settings, key) for key in LIMITS},
    }
    with sweep.lock():
        refuse_other_configurations(sweep, found.planned)
        jobs = sweep.add(found.planned)
        sweep.write_description({**sweep.read_description(), **description})
    campaign = Campaign(sweep, queue, settings, jobs, found.planned)
    submitted = campaign.submit_due(revive=True)
    print(f"sweep {_shown(sweep)}: {len(jobs)} jobs, {len(submitted)} submitted ({queue.name})")
    with Watch(sweep, queue.slots) as show:
        ended = campaign.wait(show)
    return [_outcome((*each,), (*common, *each), ended, found) for each in own]


def _apart(
    command: Sequence[str], jobs: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """What all jobs share by the command line, and what distinguishes each: it names the job."""
    from segscape.sweep.plan.grid import split
    from segscape.sweep.sweeper import key_of_typed

    keys = {key_of_typed(text) for text in split(command)[1]}
    common = [
        text for text in jobs[0] if key_of_typed(text) in keys and all(text in j for j in jobs)
    ]
    return common, [[text for text in each if text not in common] for each in jobs]


def _outcome(
    own: tuple[str, ...], whole: tuple[str, ...], ended: Sequence[Standing], found: Plan
) -> float | UserError:
    """The score of the job with these overrides, or why there is none."""
    from segscape.config.identity import identity
    from segscape.sweep.memory.status import State

    for rejection in found.rejected:
        if rejection.overrides == own:
            return UserError(f"{' '.join(own)}: {rejection.reason}", rejection.hint or None)
    planned = next(each for each in found.planned if each.overrides == whole)
    one = next(each for each in ended if each.job.id == identity(planned.config))
    if one.state is not State.FINISHED:
        return JobsFailed(f"{one.job.name}: {one.state}: {one.cause}", f"log: {one.log}")
    score = one.summary.get("val/miou")
    if score is None:
        return JobsFailed(f"{one.job.name}: its summary has no val/miou", f"log: {one.log}")
    return float(score)


def _refuse_for_sweepers(settings: SweepSettings, sweeper: str) -> None:
    for key in _OF_GRIDS:
        if getattr(settings, key):
            raise UserError(
                f"sweep.{key} is for hydra/sweeper=grid: {sweeper.rsplit('.', 1)[-1]} chooses "
                "its jobs by itself",
                "leave hydra/sweeper= out, or say it in the way of that sweeper",
            )
    if not settings.wait:
        raise UserError(
            "sweep.wait=false: a sweeper that is not ours needs the scores of its jobs",
            "leave hydra/sweeper= out, or run the command in the background",
        )


def _shown(sweep: SweepDirectory) -> str:
    from segscape.sweep.run.display import short

    return short(sweep.path)
