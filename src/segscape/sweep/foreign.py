"""Launchers that are not ours under our sweeper, and sweepers that are not ours over our queues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher
    from omegaconf import DictConfig

    from segscape.sweep.directory import Planned, SweepDirectory
    from segscape.sweep.launchers.base import Queue


def run_foreign(sweep: SweepDirectory, launcher: Launcher, planned: Sequence[Planned]) -> int:
    """Hand what is missing to a launcher of somebody else's, and wait.

    The sweep has its memory all the same: each job has its directory and continues from its last
    checkpoint. What only our queues do is to freeze configuration and source.

    Args:
        sweep: gets the jobs.
        launcher: any Hydra launcher.
        planned: the combinations.

    Returns:
        The exit code.
    """
    from segscape.config import admit
    from segscape.sweep.states import State, standings

    jobs = sweep.add(planned)
    missing = [one.job for one in standings(sweep, None, jobs) if one.state is not State.FINISHED]
    print(f"sweep {sweep.path}: {len(jobs)} jobs, {len(jobs) - len(missing)} finished already")
    if missing:
        overrides = [
            [*admit(job.overrides), f"run_dir='{sweep.place(job)}'", "resume=auto"]
            for job in missing
        ]
        launcher.launch(overrides, initial_job_idx=0)
    left = [one for one in standings(sweep, None, missing) if one.state is not State.FINISHED]
    for one in left:
        print(f"{one.state}: {one.job.name}: {one.cause or 'no cause is known'}")
    return 1 if left else 0


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
    """
    from omegaconf import OmegaConf

    from segscape.config import as_typed
    from segscape.sweep.campaign import Campaign
    from segscape.sweep.plan.check import plan
    from segscape.sweep.settings import read_settings
    from segscape.sweep.states import State
    from segscape.sweep.sweeper import is_of_sweep, open_sweep
    from segscape.sweep.watch import Watch

    node: Any = OmegaConf.to_container(config.sweep, resolve=True)
    settings = read_settings(node)
    typed = [[t for t in as_typed(each) if not is_of_sweep(t)] for each in job_overrides]
    points = [dict(text.split("=", 1) for text in each) for each in typed]
    found = plan(points, [], settings)
    sweep = open_sweep(settings, config, [str(config.hydra.sweeper._target_)])
    launcher = {"name": queue.name, "settings": queue.settings()}
    with sweep.lock():
        jobs = sweep.add(found.planned)
        sweep.write_description({**sweep.read_description(), "launcher": launcher})
    campaign = Campaign(sweep, queue, settings, jobs, found.planned)
    campaign.submit_due(revive=True)
    with Watch(sweep) as show:
        ended = campaign.wait(show)
    by_overrides = {tuple(sorted(one.job.overrides)): one for one in ended}
    results: list[float | Exception] = []
    for overrides in typed:
        one = by_overrides.get(tuple(sorted(overrides)))
        if one is not None and one.state is State.FINISHED:
            results.append(float(one.summary["val/miou"]))
        else:
            cause = "the combination cannot work" if one is None else f"{one.state}: {one.cause}"
            results.append(UserError(f"{' '.join(overrides)}: {cause}"))
    return results
