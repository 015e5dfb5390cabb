"""Hydra's sweeper for grids: plans every combination, submits what is missing, watches."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from segscape.config.command_line import as_typed
from segscape.config.files import extra_config_dir
from segscape.config.override_text import parsed
from segscape.errors import UserError
from segscape.paths import short
from segscape.sweep.launchers.base import Queue
from segscape.sweep.launchers.plugin import PluginQueue
from segscape.sweep.memory.directory import Planned, SweepDirectory
from segscape.sweep.memory.status import LIVE, JobStatus, State
from segscape.sweep.plan.check import Plan, plan
from segscape.sweep.plan.explain import explain_rejections, listed
from segscape.sweep.plan.grid import axes_of, expand
from segscape.sweep.run.supervisor import Supervisor, refuse_other_configurations, watched
from segscape.sweep.settings import SweepSettings, read_settings

# What may differ between two commands that mean the same sweep.
_MANNERS = ("wait", "retry_failed", "restarts", "fail_fast", "workers", "dir", "name")
# Combinations for one reason that are named when they are left out.
_LISTED = 12


class SegscapeSweeper(ABC):
    """What the sweepers of segscape share: the settings, the launcher and its queue."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives every sweeper, and make the launcher."""
        self.config = config
        node: Any = OmegaConf.to_container(config.sweep, resolve=True)
        self.settings = read_settings(node)
        self._make_launcher = partial(
            Plugins.instance().instantiate_launcher,
            hydra_context=hydra_context,
            task_function=task_function,
        )
        # Messages of the launcher while it is made must be printed already.
        self.launcher: Launcher = self._make_launcher(config=config)
        if self.queue is not None:
            refuse_without_effect(config.hydra.overrides.hydra)

    def sweep(self, arguments: list[str]) -> None:
        """Run the jobs of the command line.

        Args:
            arguments: overrides as Hydra has them, axes included.

        Raises:
            UserError: nothing to run, or something that cannot work.
            SystemExit: with the exit code, when it is not 0.
        """
        with self.own_options():
            code = self._sweep(arguments)
        if code:
            raise SystemExit(code)

    @abstractmethod
    def _sweep(self, arguments: list[str]) -> int:
        """The exit code of the whole command."""

    def own_options(self) -> AbstractContextManager[None]:
        """While this is open, the options of --config-dir count wherever options are looked up."""
        sources = self.config.hydra.runtime.config_sources
        given = [each.path for each in sources if each.provider == "command-line"]
        return extra_config_dir(given[0] if given else None)

    def launcher_for(self, sweep: SweepDirectory) -> Launcher:
        """The launcher again, a third-party one, with its own files within the sweep."""
        typed = self.config.hydra.overrides.hydra
        if not any(key_of_typed(text) == "hydra.sweep.dir" for text in typed):
            with read_write(self.config):
                self.config.hydra.sweep.dir = str(sweep.path)
            self.launcher = self._make_launcher(config=self.config)
        return self.launcher

    @property
    def queue(self) -> Queue | None:
        """Where jobs go; None for a third-party launcher."""
        return getattr(self.launcher, "segscape_queue", None)


class Grid(SegscapeSweeper):
    """Every combination of the axes, less what is excluded, does not fit or is done."""

    def _sweep(self, arguments: list[str]) -> int:
        typed = as_typed(arguments)
        axes, common = axes_of([text for text in typed if not is_of_sweep(text)])
        refuse_places(typed)
        found = plan(expand(axes, self.settings, common), common, self.settings)
        planned = checked(found, self.settings)
        sweep = open_sweep(self.settings, self.config, typed)
        queue = self.queue or plugin_queue(self.launcher_for(sweep), self.settings)
        described = description(typed, queue, self.settings)
        described["axes"] = {key: list(values) for key, values in axes.items()}
        return run_grid(sweep, queue, self.settings, planned, described)


def description(typed: Sequence[str], queue: Queue, settings: SweepSettings) -> dict[str, Any]:
    """What `sweep.json` keeps of a command; a queue that cannot be made again is not kept."""
    launcher = {"name": queue.name, "settings": queue.settings()}
    return {
        "command": list(typed),
        "own": [text for text in typed if is_of_sweep(text)],
        "settings": settings.limits(),
        **({"launcher": launcher} if queue.background else {}),
    }


def plugin_queue(launcher: Launcher, settings: SweepSettings, jobs: int | None = None) -> Queue:
    """A third-party launcher as a queue.

    Raises:
        UserError: a setting that such a launcher cannot follow.
    """
    ours = "hydra/launcher=local and hydra/launcher=slurm"
    if not settings.wait:
        raise UserError(
            "sweep.wait=false: this launcher returns when its jobs have ended",
            f"{ours} run them in the background",
        )
    if settings.fail_fast:
        raise UserError(
            "sweep.fail_fast=true: this launcher cannot stop jobs that it has begun", f"{ours} can"
        )
    return PluginQueue(launcher, jobs)


def is_of_sweep(override: str) -> bool:
    """Whether an override concerns the sweep and not its jobs."""
    key = key_of_typed(override)
    return key == "sweep" or key.startswith("sweep.")


def refuse_places(typed: Sequence[str]) -> None:
    """A sweep gives every job its directory, and is itself one thing.

    Raises:
        UserError: `run_dir` or `resume` was given, or several values for a key of the sweep.
    """
    for text in typed:
        if key_of_typed(text) in ("run_dir", "resume"):
            raise UserError(
                f"{text}: the jobs of a sweep have directories of their own, and always continue",
                "sweep.name=NAME names the sweep, sweep.dir=DIR is where sweeps are kept",
            )
        # Hydra leaves out whatever lists values when it composes for the sweeper.
        if is_of_sweep(text) and parsed(text).is_sweep_override():
            key, _, values = text.partition("=")
            bracketed = f"a list stands in brackets: '{key}=[{values}]'"
            raise UserError(
                f"{text}: these are several values, and a sweep has one {key}",
                "give one: segscape list sweep" if key == "sweep" else bracketed,
            )


def refuse_without_effect(overrides: Sequence[str]) -> None:
    """What Hydra would do to its own jobs does nothing to those of a queue.

    Args:
        overrides: those of the node `hydra`.

    Raises:
        UserError: one of them is without effect.
    """
    for text in overrides:
        if re.match(r"[+~]*hydra\.(sweep|run|job|callbacks|output_subdir)\b", text):
            raise UserError(
                f"{text} has no effect on the jobs of hydra/launcher=local and slurm",
                "sweep.dir=DIR is where sweeps are kept, and jobs inherit the environment",
            )


def checked(found: Plan, settings: SweepSettings) -> list[Planned]:
    """What of a plan is to be run; prints what is left out.

    Raises:
        UserError: combinations that cannot work, or nothing left.
    """
    for note in found.notes:
        print(note)
    if found.rejected and settings.invalid == "error":
        raise explain_rejections(found)
    if found.rejected:
        print(f"left out: {len(found.rejected)} combinations that cannot work")
        print("\n".join(listed(found.rejected, _LISTED)))
    if found.unfit:
        print(f"left out: {len(found.unfit)} designs outside of sweep.where={settings.where!r}")
    if not found.planned:
        raise UserError("no combination is left to run", "see what was left out above")
    return list(found.planned)


def open_sweep(settings: SweepSettings, config: DictConfig, typed: Sequence[str]) -> SweepDirectory:
    """The directory of this sweep: that of `sweep.name`, else one named by what was typed."""
    name = settings.name
    if name is None:
        kept = [text for text in typed if not _is_manner(text)]
        digest = hashlib.sha256("\n".join(sorted(kept)).encode()).hexdigest()[:8]
        several = any(key_of_typed(text) == "model" and "," in text for text in kept)
        name = f"{'models' if several else config.model.name}-{digest}"
    return SweepDirectory(Path(settings.dir) / name)


def key_of_typed(override: str) -> str:
    """Group or key that an override is about."""
    return override.split("=", 1)[0].lstrip("+~")


def _is_manner(override: str) -> bool:
    key = key_of_typed(override)
    return key.removeprefix("sweep.") in _MANNERS and key.startswith("sweep.")


def run_grid(
    sweep: SweepDirectory,
    queue: Queue,
    settings: SweepSettings,
    planned: Sequence[Planned],
    described: Mapping[str, Any],
) -> int:
    """Submit what is missing and, with `sweep.wait`, wait; the exit code."""
    with sweep.lock():
        refuse_other_configurations(sweep, planned)
        # Before the manifest: a sweep that exists has its queue, whenever this process is killed.
        sweep.describe(described)
        jobs = sweep.add(planned)
    supervisor = Supervisor(sweep, queue, settings, jobs, planned)
    before = supervisor.statuses()
    submitted = supervisor.submit_due(revive=True)
    if not submitted:
        _update_queue(sweep, queue, before)
    print(_opening(sweep, before, len(submitted), queue.name), flush=True)
    if settings.wait:
        return watched(supervisor)
    print(f"  segscape sweep status {short(sweep.path)}")
    if settings.fail_fast:
        print("  sweep.fail_fast=true counts only while a command waits for the jobs")
    return 0


def _update_queue(sweep: SweepDirectory, queue: Queue, before: Sequence[JobStatus]) -> None:
    """Apply a new number of jobs at once to those that are on their way already."""
    if queue.settings().get("jobs") is None:  # not given now: what was given before holds
        return
    live = [sweep.attempts(one.job)[-1] for one in before if one.state in LIVE]
    mine = [attempt for attempt in live if attempt.launcher == queue.name]
    if mine:
        with sweep.lock():
            queue.submit(sweep, [], mine[-1].code)


def _opening(sweep: SweepDirectory, before: Sequence[JobStatus], submitted: int, queue: str) -> str:
    done = sum(one.state is State.FINISHED for one in before)
    live = sum(one.state in LIVE for one in before)
    words = [f"sweep {short(sweep.path)}: {len(before)} job{'s' if len(before) != 1 else ''}"]
    words += [f"{done} finished already"] if done else []
    words += [f"{live} on their way already"] if live else []
    words += [f"{submitted} submitted ({queue})"]
    return ", ".join(words)
