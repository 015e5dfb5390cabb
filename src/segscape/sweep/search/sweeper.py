"""Hydra's sweeper for searches: `hydra/sweeper=optuna`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError
from segscape.sweep.sweeper import SegscapeSweeper, is_of_sweep, open_sweep, refuse_places

if TYPE_CHECKING:
    from segscape.sweep.directory import SweepDirectory
    from segscape.sweep.launchers.base import Queue
    from segscape.sweep.search.objectives import Limit
    from segscape.sweep.search.search import Search
    from segscape.sweep.search.space import Parameter
    from segscape.sweep.search.study import Study
    from segscape.sweep.settings import SweepSettings

# More of these, or another pruner, still mean the same search.
_MORE_OF_THE_SAME = ("trials", "pruner")
_OF_GRIDS = {
    "zip": "sweep.where=\"(encoder == 'stdc1') == (fusion == 'add')\" ties two choices together",
    "jobs": "hydra/sweeper=grid runs explicit jobs",
    "exclude": "sweep.where=\"not (encoder == 'stdc2' and fusion == 'add')\"",
}


class Optuna(SegscapeSweeper):
    """Looks for the best designs instead of trying them all."""

    def sweep(self, arguments: list[str]) -> Any:
        """Search until the trials are done.

        Args:
            arguments: overrides as Hydra has them, axes included.

        Raises:
            UserError: something cannot be searched, or nothing can be run.
            SystemExit: 3 after Ctrl-C.
        """
        from segscape.config import as_typed, groups
        from segscape.sweep.search.space import read_parameters
        from segscape.sweep.search.study import require_optuna

        require_optuna()
        typed = as_typed(arguments)
        refuse_places(typed)
        check_settings(self.settings)
        limits = read_and_check(self.settings)
        of_jobs = [text for text in typed if not is_of_sweep(text)]
        parameters, common = read_parameters(of_jobs, groups(), self.settings.grid)
        if not parameters:
            raise UserError(
                "there is nothing to search",
                "give axes: encoder=stdc1,stdc2 'optim.lr=tag(log,interval(1e-4,1e-1))'",
            )
        queue = self.queue or _batches(self.launcher, self.settings)
        check_slots(queue, self.settings)
        assert self.config is not None, "setup() comes first"
        named = [text for text in typed if not _is_more_of_the_same(text)]
        sweep = open_sweep(self.settings, self.config, named)
        describe(sweep, queue, self.settings, typed, parameters)
        search = make_search(sweep, queue, self.settings, parameters, common, limits)
        run(search, self.settings, limits)


def check_settings(settings: SweepSettings) -> None:
    """Refuse what a search would not heed.

    Raises:
        UserError: with what to say instead.
    """
    for key, instead in _OF_GRIDS.items():
        if getattr(settings, key):
            raise UserError(f"sweep.{key} is for grids: a search chooses by itself", instead)
    if not settings.wait:
        raise UserError(
            "sweep.wait=false: a search has to see results before it goes on",
            "run it in tmux, or with nohup; it may be killed and started again at any time",
        )


def check_slots(queue: Queue, settings: SweepSettings) -> None:
    """Refuse more workers than the launcher runs at once.

    Raises:
        UserError: trials would be drawn long before they could run, without knowing the others.
    """
    if settings.workers and queue.slots and settings.workers > queue.slots:
        raise UserError(
            f"sweep.workers={settings.workers}, but the launcher runs {queue.slots} at once",
            f"hydra.launcher.jobs={settings.workers} makes room for them",
        )


def read_and_check(settings: SweepSettings) -> list[Limit]:
    """The measured constraints; objectives are checked on the way.

    Raises:
        UserError: a figure that no run has.
    """
    from segscape.sweep.search.objectives import check_objectives, read_limits

    check_objectives(settings.objectives)
    return read_limits(settings.constraints)


def describe(
    sweep: SweepDirectory,
    queue: Queue,
    settings: SweepSettings,
    typed: Sequence[str],
    parameters: Sequence[Parameter],
) -> None:
    """Write sweep.json, so that `segscape sweep` and `segscape report` know what this is."""
    from segscape.sweep.settings import LIMITS

    values: dict[str, Any] = {
        "command": list(typed),
        "own": [text for text in typed if is_of_sweep(text)],
        "axes": {each.key: list(each.choices) or [str(each)] for each in parameters},
        "settings": {
            **{key: getattr(settings, key) for key in LIMITS},
            "objectives": [f"{way}:{key}" for way, key in settings.objectives],
        },
    }
    if queue.name != "foreign":
        values["launcher"] = {"name": queue.name, "settings": queue.settings()}
    with sweep.lock():
        sweep.write_description({**sweep.read_description(), **values})


def make_search(
    sweep: SweepDirectory,
    queue: Queue,
    settings: SweepSettings,
    parameters: Sequence[Parameter],
    common: Sequence[str],
    limits: Sequence[Limit],
    **options: Any,
) -> Search:
    """Everything that a search consists of.

    Args:
        sweep: where its jobs are.
        queue: what runs them.
        settings: of the sweep.
        parameters: axes to search.
        common: overrides that all jobs share.
        limits: measured constraints.
        **options: of `Search`.
    """
    from segscape.sweep.plan.check import plan
    from segscape.sweep.search.conditions import Conditions, make_space
    from segscape.sweep.search.locks import Owner
    from segscape.sweep.search.objectives import watched
    from segscape.sweep.search.proposals import Proposer
    from segscape.sweep.search.search import Search

    space = make_space(parameters, Conditions(parameters, common, settings.when))
    study = open_study(sweep, settings)
    owner = Owner(sweep.path / "search")
    check = partial(_planned, plan, tuple(common), settings)
    proposer = Proposer(sweep, study, space, check, settings, owner)
    of_pruner = watched(settings.objectives)
    return Search(sweep, queue, settings, study, proposer, limits, of_pruner, owner, **options)


def _planned(
    plan: Any, common: Sequence[str], settings: SweepSettings, points: Sequence[Mapping[str, str]]
) -> Any:
    return plan(points, common, settings)


def open_study(sweep: SweepDirectory, settings: SweepSettings) -> Study:
    """The study of a sweep, made if there is none yet."""
    from segscape.sweep.search.objectives import watched
    from segscape.sweep.search.study import Study, open_storage

    return Study(
        open_storage(settings.storage, sweep.path),
        name=sweep.name,
        objectives=settings.objectives,
        watched=watched(settings.objectives),
        sampler=settings.sampler,
        pruner=settings.pruner,
        seed=settings.seed,
        trials=settings.trials,
        shared=settings.storage is not None,
    )


def run(search: Search, settings: SweepSettings, limits: Sequence[Limit]) -> None:
    """Search, and show what was found, also after Ctrl-C.

    Raises:
        SystemExit: 3 after Ctrl-C.
    """
    sweep, there = search.sweep, len(search.study.counted())
    print(f"search {_shown(sweep.path)}: {settings.trials} trials, {search.workers} at once")
    if there:
        print(f"  {there} are there already")
    interrupted = False
    try:
        search.run()
    except KeyboardInterrupt:
        interrupted = True
    if search.proposer.ended:
        print(search.proposer.ended)
    show(search, settings, limits)
    if interrupted:
        print("interrupted: the jobs go on; the same command goes on with the search")
        raise SystemExit(3)


def show(search: Search, settings: SweepSettings, limits: Sequence[Limit]) -> None:
    """Print the front and write front.json."""
    from rich.console import Console

    from segscape.sweep.search.results import table, winners, write_front

    trials = search.study.counted()
    counts = Counter(each.state.name.lower() for each in trials)
    found = winners(search.study.complete(), settings.objectives, limits)
    path = search.sweep.path / "front.json"
    write_front(path, found, settings.objectives, limits, counts)
    print(", ".join(f"{number} {state}" for state, number in counts.items()) or "no trials")
    if not found:
        beyond = f" within {', '.join(map(str, limits))}" if limits else ""
        print(f"no trial is complete{beyond}")
        return
    several = len(settings.objectives) > 1
    Console().print(
        table(found, settings.objectives, limits, "Pareto front" if several else "best design")
    )
    print(f"{_shown(path)}; segscape report {_shown(search.sweep.path)} shows every trial")


def _batches(launcher: Any, settings: SweepSettings) -> Queue:
    from segscape.sweep.search.foreign import BatchQueue

    if settings.pruner != "none":
        raise UserError(
            f"sweep.pruner={settings.pruner}: this launcher cannot stop a job that is running",
            "hydra/launcher=local and hydra/launcher=slurm can",
        )
    return BatchQueue(launcher, settings.workers)


def _is_more_of_the_same(override: str) -> bool:
    key = override.split("=", 1)[0].lstrip("+")
    return key in {f"sweep.{name}" for name in _MORE_OF_THE_SAME}


def _shown(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
