"""Hydra's sweeper for grids: plans every combination, submits what is missing, watches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from segscape.errors import UserError

if TYPE_CHECKING:
    from segscape.sweep.launchers.base import Queue
    from segscape.sweep.memory.directory import Planned, SweepDirectory
    from segscape.sweep.memory.status import Standing
    from segscape.sweep.plan.check import Plan
    from segscape.sweep.settings import SweepSettings

# What may differ between two commands that mean the same sweep.
_MANNERS = ("wait", "retry_failed", "restarts", "fail_fast", "workers", "dir", "name")


# Combinations for one reason that are named when they are left out.
_LISTED = 12


class SegscapeSweeper(Sweeper):
    """What our sweepers share: the settings, the launcher, and the task for foreign launchers."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives every sweeper, and make the launcher."""
        from hydra.core.plugins import Plugins

        from segscape.sweep.settings import read_settings

        self.config = config
        node: Any = OmegaConf.to_container(config.sweep, resolve=True)
        self.settings = read_settings(node)
        self._make_launcher = partial(
            Plugins.instance().instantiate_launcher,
            hydra_context=hydra_context,
            task_function=task_function,
        )
        # What the launcher says while it is made is for people already.
        self.launcher: Launcher = self._make_launcher(config=config)
        if self.queue is not None:
            refuse_without_effect(config.hydra.overrides.hydra)

    def own_options(self) -> AbstractContextManager[None]:
        """While this is open, the options of --config-dir count wherever options are looked up."""
        from segscape.config.files import extra_config_dir

        assert self.config is not None, "setup() comes first"
        sources = self.config.hydra.runtime.config_sources
        given = [each.path for each in sources if each.provider == "command-line"]
        return extra_config_dir(given[0] if given else None)

    def launcher_for(self, sweep: SweepDirectory) -> Launcher:
        """The launcher again, that of somebody else, with its own files within the sweep."""
        assert self.config is not None, "setup() comes first"
        typed = self.config.hydra.overrides.hydra
        if not any(key_of_typed(text) == "hydra.sweep.dir" for text in typed):
            with read_write(self.config):
                self.config.hydra.sweep.dir = str(sweep.path)
            self.launcher = self._make_launcher(config=self.config)
        return self.launcher

    @property
    def queue(self) -> Queue | None:
        """Where jobs go; None for a launcher that is not ours."""
        from segscape.sweep.launchers.base import QueueLauncher

        return self.launcher.queue if isinstance(self.launcher, QueueLauncher) else None


class Grid(SegscapeSweeper):
    """Every combination of the axes, less what is excluded, does not fit or is done."""

    def sweep(self, arguments: list[str]) -> Any:
        """Plan, submit, wait.

        Args:
            arguments: overrides as Hydra has them, axes included.

        Raises:
            UserError: nothing to run, or combinations that cannot work.
            SystemExit: with the exit code, when a job failed or the watch was interrupted.
        """
        with self.own_options():
            code = self._sweep(arguments)
        if code:
            raise SystemExit(code)

    def _sweep(self, arguments: list[str]) -> int:
        from segscape.config.command_line import as_typed
        from segscape.sweep.plan.check import plan
        from segscape.sweep.plan.grid import axes_of, expand
        from segscape.sweep.settings import LIMITS

        assert self.config is not None, "setup() comes first"
        typed = as_typed(arguments)
        own = [text for text in typed if is_of_sweep(text)]
        axes, common = axes_of([text for text in typed if not is_of_sweep(text)])
        refuse_places(typed)
        found = plan(expand(axes, self.settings, common), common, self.settings)
        planned = checked(found, self.settings)
        sweep = open_sweep(self.settings, self.config, typed)
        description: dict[str, Any] = {
            "command": typed,
            "own": own,
            "axes": {key: list(values) for key, values in axes.items()},
            "settings": {key: getattr(self.settings, key) for key in LIMITS},
        }
        if self.queue is None:
            from segscape.sweep.launchers.plugin import run_foreign

            launcher = self.launcher_for(sweep)
            return run_foreign(sweep, launcher, self.settings, planned, description)
        description["launcher"] = {"name": self.queue.name, "settings": self.queue.settings()}
        return run_grid(sweep, self.queue, self.settings, planned, description)


def is_of_sweep(override: str) -> bool:
    """Whether an override concerns the sweep and not its jobs."""
    key = key_of_typed(override)
    return key == "sweep" or key.startswith("sweep.")


def refuse_places(typed: Sequence[str]) -> None:
    """A sweep gives every job its directory, and is itself one thing.

    Raises:
        UserError: `run_dir` or `resume` was given, or several values for a key of the sweep.
    """
    from segscape.config.override_text import parsed

    for text in typed:
        if key_of_typed(text) in ("run_dir", "resume"):
            raise UserError(
                f"{text}: the jobs of a sweep have directories of their own, and always continue",
                "sweep.name=NAME names the sweep, sweep.dir=DIR says where sweeps are kept",
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
                "sweep.dir=DIR says where sweeps are kept, and jobs inherit the environment",
            )


def checked(found: Plan, settings: SweepSettings) -> list[Planned]:
    """What of a plan is to be run; says what is left out.

    Raises:
        UserError: combinations that cannot work, or nothing left.
    """
    from segscape.sweep.plan.explain import explain_rejections, listed

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
    from segscape.sweep.memory.directory import SweepDirectory

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
    description: Mapping[str, Any],
) -> int:
    """Submit what is missing and, if wanted, wait; the exit code."""
    from segscape.sweep.run.supervisor import Campaign, refuse_other_configurations

    with sweep.lock():
        refuse_other_configurations(sweep, planned)
        # Before the manifest: a sweep that exists knows its queue, whenever this process is killed.
        sweep.write_description({**sweep.read_description(), **description})
        jobs = sweep.add(planned)
    campaign = Campaign(sweep, queue, settings, jobs, planned)
    before = campaign.standings()
    submitted = campaign.submit_due(revive=True)
    if not submitted:
        _tell_queue(sweep, queue, before)
    print(_opening(sweep, before, len(submitted), queue.name))
    if not settings.wait:
        print(f"  segscape sweep status {_shown(sweep)}")
        if settings.fail_fast:
            print("  sweep.fail_fast=true counts only while a command waits for the jobs")
        return 0
    return watched(campaign)


def _tell_queue(sweep: SweepDirectory, queue: Queue, before: Sequence[Standing]) -> None:
    """Jobs that are on their way already learn how many of them are to run at once."""
    from segscape.sweep.memory.status import LIVE

    if queue.settings().get("jobs") is None:  # not said now: what was said before holds
        return
    live = [sweep.attempts(one.job)[-1] for one in before if one.state in LIVE]
    mine = [attempt for attempt in live if attempt.launcher == queue.name]
    if mine:
        with sweep.lock():
            queue.submit(sweep, [], mine[-1].code)


def watched(campaign: Any) -> int:
    """Show a campaign until it ends, or until Ctrl-C; the exit code."""
    from segscape.sweep.run.display import Watch
    from segscape.sweep.run.supervisor import exit_code

    with Watch(campaign.sweep) as show:
        try:
            found = campaign.wait(show)
        except KeyboardInterrupt:
            show.interrupted()
            return 3
    return exit_code(found)


def _opening(sweep: SweepDirectory, before: Sequence[Any], submitted: int, queue: str) -> str:
    from segscape.sweep.memory.status import LIVE, State

    done = sum(one.state is State.FINISHED for one in before)
    live = sum(one.state in LIVE for one in before)
    words = [f"sweep {_shown(sweep)}: {len(before)} job{'s' if len(before) != 1 else ''}"]
    words += [f"{done} finished already"] if done else []
    words += [f"{live} on their way already"] if live else []
    words += [f"{submitted} submitted ({queue})"]
    return ", ".join(words)


def _shown(sweep: SweepDirectory) -> Path:
    try:
        return sweep.path.relative_to(Path.cwd())
    except ValueError:
        return sweep.path
