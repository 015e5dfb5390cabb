"""The command of a search: reads what was typed, makes the search, runs it, shows what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from hydra.plugins.launcher import Launcher
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

from segscape.config.command_line import as_typed
from segscape.config.files import groups
from segscape.errors import UserError
from segscape.paths import short
from segscape.sweep.launchers.base import Queue
from segscape.sweep.launchers.plugin import PluginQueue
from segscape.sweep.memory.directory import SweepDirectory
from segscape.sweep.plan.check import Plan, plan
from segscape.sweep.run.display import screen
from segscape.sweep.search.conditions import Conditions
from segscape.sweep.search.objectives import (
    check_measured,
    check_objectives,
    read_constraints,
)
from segscape.sweep.search.proposals import Proposer
from segscape.sweep.search.results import table, winners, write_front
from segscape.sweep.search.search import Search
from segscape.sweep.search.snapshot import ConfigSnapshot
from segscape.sweep.search.space import Parameter, read_parameters
from segscape.sweep.search.storage import open_storage
from segscape.sweep.search.study import Study
from segscape.sweep.search.terms import in_known_order, refuse_other_terms, terms_of
from segscape.sweep.settings import SweepSettings
from segscape.sweep.sweeper import (
    SegscapeSweeper,
    description,
    is_of_sweep,
    open_sweep,
    refuse_places,
)

# More of these, or another pruner, still mean the same search.
_MORE_OF_THE_SAME = ("sweep.trials", "sweep.pruner")
_OF_GRIDS = {
    "zip": "sweep.where=\"(encoder == 'stdc1') == (fusion == 'add')\" ties two choices together",
    "jobs": "hydra/sweeper=grid runs explicit jobs",
    "exclude": "sweep.where=\"not (encoder == 'stdc2' and fusion == 'add')\"",
}


def run(sweeper: SegscapeSweeper, arguments: Sequence[str]) -> int:
    """Search until the trials are done.

    Args:
        sweeper: after its setup.
        arguments: overrides as Hydra has them, axes included.

    Returns:
        The exit code.

    Raises:
        UserError: something cannot be searched, or nothing can be run.
    """
    settings, typed = sweeper.settings, as_typed(list(arguments))
    refuse_places(typed)
    check_settings(settings)
    check_objectives(settings.objectives)
    read_constraints(settings.constraints)
    of_jobs = [text for text in typed if not is_of_sweep(text)]
    parameters, common = read_parameters(of_jobs, groups(), settings.grid)
    if not parameters:
        raise UserError(
            "there is nothing to search",
            "give axes: encoder=stdc1,stdc2 'optim.lr=tag(log,interval(1e-4,1e-1))'",
        )
    named = [text for text in typed if text.split("=")[0].lstrip("+") not in _MORE_OF_THE_SAME]
    sweep = open_sweep(settings, sweeper.config, named)
    queue = sweeper.queue or _third_party(sweeper.launcher_for(sweep), settings)
    check_slots(queue, settings)
    search = make_search(sweep, queue, settings, parameters, common)
    describe(sweep, queue, settings, typed, parameters)
    return run_search(search)


def check_settings(settings: SweepSettings) -> None:
    """Refuse settings that have no effect on a search.

    Raises:
        UserError: with what to give instead.
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
    """Refuse more workers than the launcher runs at once, and what limits them in another way.

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
            "sweep.workers=N sets how many run at once",
        )


def describe(
    sweep: SweepDirectory,
    queue: Queue,
    settings: SweepSettings,
    typed: Sequence[str],
    parameters: Sequence[Parameter],
) -> None:
    """Write sweep.json, from which `segscape sweep` and `segscape report` read what this is."""
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
    **options: Any,
) -> Search:
    """Everything that a search consists of.

    Args:
        sweep: where its jobs are.
        queue: what runs them.
        settings: of the sweep.
        parameters: axes to search.
        common: overrides that all jobs share.
        **options: of `Search`.

    Raises:
        UserError: the search was begun with something else, or cannot work.
    """
    constraints = read_constraints(settings.constraints)
    conditions = Conditions(parameters, common, settings.when)
    conditions.space(parameters)  # what cannot be one is refused before a study is begun
    files = ConfigSnapshot(parameters, common)
    if not any(each.key.startswith("profile") for each in parameters):
        wanted = [key for _, key in settings.objectives] + [each.key for each in constraints]
        check_measured(wanted, files.base.get("profile") or {})
    study = Study(open_storage(settings.storage, sweep.path), sweep.name, settings)
    begun = agreed(sweep, study, terms_of(parameters, settings, files.base, files.options))
    space = conditions.space(in_known_order(parameters, begun))

    def check(points: Sequence[Mapping[str, str]]) -> Plan:
        return plan(points, tuple(common), settings, files.composer)

    options = {"say": partial(print, flush=True), "configs": files.configs, **options}
    proposer = Proposer(sweep, study, space, check, settings)
    return Search(sweep, queue, settings, study, proposer, constraints, **options)


def agreed(sweep: SweepDirectory, study: Study, now: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the study was begun with; if it is new, the terms of this command.

    Raises:
        UserError: it was begun with something else.
    """
    with sweep.lock():
        before = study.terms()
        if not before:
            study.keep_terms(now)
            return now
    refuse_other_terms(sweep.name, before, now)
    return before


def run_search(search: Search) -> int:
    """Search, and show what was found, also after Ctrl-C.

    Returns:
        The exit code: 3 when it was interrupted, 1 when no trial is complete.

    Raises:
        UserError: nothing can be run, or the storage fails.
    """
    say, settings = partial(print, flush=True), search.settings
    sweep, there = search.sweep, len(search.study.counted())
    say(f"search {short(sweep.path)}: {settings.trials} trials, {search.workers} at once")
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
    show(search)
    if interrupted:
        jobs = "the jobs go on; " if search.queue.background else ""
        say(f"interrupted: {jobs}the same command goes on with the search")
    if search.stopped:
        say("ended by segscape sweep cancel: the same command goes on with the search")
    if interrupted or search.stopped:
        return 3
    return 0 if search.study.complete() else 1


def show(search: Search) -> None:
    """Print the front and write front.json."""
    objectives, constraints = search.settings.objectives, search.constraints
    counts = Counter(each.state.name.lower() for each in search.study.counted())
    if waiting := len(search.study.unfinished(TrialState.WAITING)):
        counts["waiting"] = waiting
    found = winners(search.study.complete(), objectives, constraints)
    path = search.sweep.path / "front.json"
    write_front(path, found, objectives, constraints, counts)
    print(", ".join(f"{number} {state}" for state, number in counts.items()) or "no trials")
    if not found:
        beyond = f" within {', '.join(map(str, constraints))}" if constraints else ""
        print(f"no trial is complete{beyond}")
        return
    title = "Pareto front" if len(objectives) > 1 else "best design"
    screen().print(table(found, objectives, constraints, title))
    print(f"{short(path)}; segscape report {short(search.sweep.path)} shows every trial")


def _third_party(launcher: Launcher, settings: SweepSettings) -> Queue:
    if settings.pruner != "none":
        raise UserError(
            f"sweep.pruner={settings.pruner}: this launcher cannot stop a job that is running",
            "hydra/launcher=local and hydra/launcher=slurm can",
        )
    return PluginQueue(launcher, settings.workers)
