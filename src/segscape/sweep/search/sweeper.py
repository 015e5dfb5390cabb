"""Hydra's sweeper for searches: `hydra/sweeper=optuna`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError
from segscape.sweep.sweeper import (
    SegscapeSweeper,
    description,
    is_of_sweep,
    open_sweep,
    refuse_places,
)

if TYPE_CHECKING:
    from segscape.sweep.launchers.base import Queue
    from segscape.sweep.memory.directory import SweepDirectory
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

    def _sweep(self, arguments: list[str]) -> int:
        from segscape.config.command_line import as_typed
        from segscape.config.files import groups
        from segscape.sweep.search.space import read_parameters
        from segscape.sweep.search.storage import require_optuna

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
        named = [text for text in typed if not _is_more_of_the_same(text)]
        sweep = open_sweep(self.settings, self.config, named)
        queue = self.queue or _batches(self.launcher_for(sweep), self.settings)
        check_slots(queue, self.settings)
        search = make_search(sweep, queue, self.settings, parameters, common, limits)
        describe(sweep, queue, self.settings, typed, parameters)
        return run(search, self.settings, limits)


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
    """Refuse more workers than the launcher runs at once, and what says it in another way.

    Raises:
        UserError: trials would be drawn long before they could run, without knowing the others.
    """
    if settings.workers and queue.slots and settings.workers > queue.slots:
        raise UserError(
            f"sweep.workers={settings.workers}, but the launcher runs {queue.slots} at once",
            f"hydra.launcher.jobs={settings.workers} makes room for them",
        )
    if queue.settings().get("array_parallelism"):
        raise UserError(
            "hydra.launcher.array_parallelism has no effect: a search submits job by job",
            "sweep.workers=N says how many run at once",
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
    values = description(typed, queue, settings)
    values["axes"] = {each.key: list(each.choices) or [str(each)] for each in parameters}
    values["settings"]["objectives"] = [f"{way}:{key}" for way, key in settings.objectives]
    sweep.describe(values)


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
    from segscape.sweep.search.ground import Ground
    from segscape.sweep.search.locks import FOLDER, Owner
    from segscape.sweep.search.objectives import check_measured, watched
    from segscape.sweep.search.proposals import Proposer
    from segscape.sweep.search.search import Search
    from segscape.sweep.search.terms import in_known_order, terms_of

    conditions = Conditions(parameters, common, settings.when)
    make_space(parameters, conditions)  # what cannot be one is refused before a study is begun
    ground = Ground(parameters, common)
    if not any(each.key.startswith("profile") for each in parameters):
        wanted = [key for _, key in settings.objectives] + [limit.key for limit in limits]
        check_measured(wanted, ground.base.get("profile") or {})
    study = open_study(sweep, settings)
    begun = agreed(sweep, study, terms_of(parameters, settings, ground.base, ground.options))
    space = make_space(in_known_order(parameters, begun), conditions)
    owner = Owner(sweep.path / FOLDER)
    check = partial(_planned, plan, tuple(common), settings, ground.composer)
    proposer = Proposer(sweep, study, space, check, settings, owner)
    options.setdefault("say", partial(print, flush=True))
    return Search(
        sweep,
        queue,
        settings,
        study,
        proposer,
        limits,
        watched(settings.objectives),
        owner,
        configs=ground.configs,
        **options,
    )


def _planned(
    plan: Any,
    common: Sequence[str],
    settings: SweepSettings,
    composer: Any,
    points: Sequence[Mapping[str, str]],
) -> Any:
    return plan(points, common, settings, composer)


def agreed(sweep: SweepDirectory, study: Study, now: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the study was begun with; if it is new, the terms of this command.

    Raises:
        UserError: it was begun with something else.
    """
    from segscape.sweep.search.terms import refuse_other_terms

    with sweep.lock():
        before = study.terms()
        if not before:
            study.keep_terms(now)
            return now
    refuse_other_terms(sweep.name, before, now)
    return before


def open_study(sweep: SweepDirectory, settings: SweepSettings) -> Study:
    """The study of a sweep, made if there is none yet."""
    from segscape.sweep.search.objectives import watched
    from segscape.sweep.search.storage import open_storage
    from segscape.sweep.search.study import Study

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


def run(search: Search, settings: SweepSettings, limits: Sequence[Limit]) -> int:
    """Search, and show what was found, also after Ctrl-C.

    Returns:
        The exit code: 3 when it was interrupted, 1 when no trial is complete.

    Raises:
        UserError: nothing can be run, or the storage fails.
    """
    from optuna.exceptions import StorageInternalError

    say = partial(print, flush=True)
    sweep, there = search.sweep, len(search.study.counted())
    say(f"search {_shown(sweep.path)}: {settings.trials} trials, {search.workers} at once")
    if there:
        say(f"  {there} are there already")
    for other in search.study.others():
        say(f"  {sweep.name} was searched for {other} too: a study of its own")
    interrupted = False
    try:
        search.run()
    except KeyboardInterrupt:
        interrupted = True
    except StorageInternalError as error:
        reason = (str(error.__cause__ or error).splitlines() or ["no reason given"])[0]
        raise UserError(
            f"sweep.storage={settings.storage} fails: {reason}",
            "the jobs go on; the same command goes on with the search",
        ) from error
    if search.proposer.ended:
        say(search.proposer.ended)
    show(search, settings, limits)
    if interrupted:
        jobs = "the jobs go on; " if search.queue.background else ""
        say(f"interrupted: {jobs}the same command goes on with the search")
    if search.stopped:
        say("ended by segscape sweep cancel: the same command goes on with the search")
    if interrupted or search.stopped:
        return 3
    return 0 if search.study.complete() else 1


def show(search: Search, settings: SweepSettings, limits: Sequence[Limit]) -> None:
    """Print the front and write front.json."""
    from segscape.sweep.run.display import screen
    from segscape.sweep.search.results import table, winners, write_front

    trials = search.study.counted()
    counts = Counter(each.state.name.lower() for each in trials)
    found = winners(search.study.complete(), settings.objectives, limits)
    path = search.sweep.path / "front.json"
    write_front(path, found, settings.objectives, limits, counts)
    print(", ".join(f"{number} {state}" for state, number in counts.items()) or "no trials")
    if elsewhere := search.study.elsewhere(search.owner):
        print(
            f"{elsewhere} of those that run belong to another sweep.dir: "
            "the same command there goes on with them"
        )
    if not found:
        beyond = f" within {', '.join(map(str, limits))}" if limits else ""
        print(f"no trial is complete{beyond}")
        return
    several = len(settings.objectives) > 1
    screen().print(
        table(found, settings.objectives, limits, "Pareto front" if several else "best design")
    )
    print(f"{_shown(path)}; segscape report {_shown(search.sweep.path)} shows every trial")


def _batches(launcher: Any, settings: SweepSettings) -> Queue:
    from segscape.sweep.launchers.plugin import PluginQueue

    if settings.pruner != "none":
        raise UserError(
            f"sweep.pruner={settings.pruner}: this launcher cannot stop a job that is running",
            "hydra/launcher=local and hydra/launcher=slurm can",
        )
    return PluginQueue(launcher, settings.workers)


def _is_more_of_the_same(override: str) -> bool:
    key = override.split("=", 1)[0].lstrip("+")
    return key in {f"sweep.{name}" for name in _MORE_OF_THE_SAME}


def _shown(path: Path) -> Path:
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
