"""Third-party sweepers (basic, hydra-optuna-sweeper, ax) over the launchers of segscape.

Such a sweeper hands over batches of overrides and waits for their scores. It runs as under any
launcher of Hydra: every command begins a new sweep directory, and finds nothing of an earlier one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.core.utils import JobStatus as HydraStatus
from omegaconf import DictConfig, OmegaConf

from segscape.config.command_line import as_typed
from segscape.config.composer import Composer
from segscape.config.identity import identity
from segscape.config.override_text import key_of, parsed, plain
from segscape.config.training import SCORE
from segscape.errors import JobsFailed, UserError
from segscape.paths import short
from segscape.sweep.launchers.base import Queue
from segscape.sweep.memory.directory import Planned, SweepDirectory
from segscape.sweep.memory.status import JobStatus, State
from segscape.sweep.plan.grid import split
from segscape.sweep.run.display import Display
from segscape.sweep.run.supervisor import Supervisor
from segscape.sweep.settings import SweepSettings, read_settings
from segscape.sweep.sweeper import description, is_of_sweep, key_of_typed, refuse_places

# What a third-party sweeper does not decide by itself.
_IN_EFFECT = ("name", "dir", "wait", "retry_failed", "restarts", "fail_fast")


class Batches:
    """The jobs of one command of a third-party sweeper.

    Args:
        config: composed, with `sweep` and `hydra`.
        queue: where the jobs go.

    Raises:
        UserError: a setting of the sweep that has no effect here, or the sweep is there already.
    """

    def __init__(self, config: DictConfig, queue: Queue) -> None:
        node: Any = OmegaConf.to_container(config.sweep, resolve=True)
        self.queue, self.settings = queue, read_settings(node)
        command = as_typed(list(config.hydra.overrides.task))
        sweeper = str(config.hydra.sweeper._target_).rsplit(".", 1)[-1]
        refuse_places(command)
        refuse_unused(self.settings, command, sweeper)
        name = self.settings.name or f"{sweeper}-{datetime.now():%Y-%m-%d_%H-%M-%S-%f}"
        self.sweep = SweepDirectory(Path(self.settings.dir) / name)
        if self.sweep.exists():
            raise UserError(
                f"sweep.name={name} is there already, and {sweeper} begins anew",
                "give another sweep.name, or leave it out",
            )
        self._common = {key_of_typed(text) for text in split(command)[1]}
        self._composer = Composer()
        self.sweep.describe(description(command, queue, self.settings))

    def run(self, job_overrides: Sequence[Sequence[str]]) -> list[JobReturn]:
        """Run one batch to its end.

        Args:
            job_overrides: of each job.

        Returns:
            For each job its best val/miou, or why there is none.
        """
        planned = [self._planned(as_typed(list(each))) for each in job_overrides]
        composed = [each for each in planned if isinstance(each, Planned)]
        jobs = self.sweep.add(composed)
        supervisor = Supervisor(self.sweep, self.queue, self.settings, jobs, composed)
        submitted = supervisor.submit_due()
        print(
            f"sweep {short(self.sweep.path)}: {len(jobs)} jobs, "
            f"{len(submitted)} submitted ({self.queue.name})",
            flush=True,
        )
        with Display(self.sweep, self.queue.slots) as show:
            ended = {one.job.id: one for one in supervisor.wait(show)}
        outcomes = [
            _score(ended[identity(each.config)]) if isinstance(each, Planned) else each
            for each in planned
        ]
        return [_returned(*each) for each in zip(job_overrides, outcomes, strict=True)]

    def _planned(self, overrides: list[str]) -> Planned | UserError:
        own = [text for text in overrides if not is_of_sweep(text)]
        try:
            config, choices = self._composer.compose(own)
            varied = {
                plain(key_of(parsed(text))): parsed(text).value()
                for text in own
                if key_of_typed(text) not in self._common
            }
        except UserError as error:
            return UserError(f"{' '.join(own)}: {error.what}", error.hint)
        return Planned(config, tuple(own), choices, varied)


def refuse_unused(settings: SweepSettings, command: Sequence[str], sweeper: str) -> None:
    """Refuse the settings that a third-party sweeper does not follow.

    Raises:
        UserError: one is given.
    """
    default = SweepSettings()
    given = {key_of_typed(text).removeprefix("sweep.") for text in command if is_of_sweep(text)}
    for key in (field.name for field in dataclasses.fields(settings)):
        now, before = getattr(settings, key), getattr(default, key)
        changed = now != before and bool(now or before)  # an empty list is an empty tuple
        if key not in _IN_EFFECT and (changed or key in given):
            raise UserError(
                f"sweep.{key} has no effect: {sweeper} chooses its jobs by itself",
                "leave hydra/sweeper= out, or use the settings of that sweeper: "
                "hydra.sweeper.KEY=VALUE",
            )
    if not settings.wait:
        raise UserError(
            f"sweep.wait=false: {sweeper} needs the scores of its jobs",
            "leave hydra/sweeper= out, or run the command in the background",
        )


def _score(one: JobStatus) -> float | UserError:
    """Best val/miou of a job, or why there is none."""
    if one.state is not State.FINISHED:
        return JobsFailed(f"{one.job.name}: {one.state}: {one.cause}", f"log: {one.log}")
    score = one.summary.get(SCORE)
    if score is None:
        return JobsFailed(f"{one.job.name}: its summary has no {SCORE}", f"log: {one.log}")
    return float(score)


def _returned(overrides: Sequence[str], outcome: float | UserError) -> JobReturn:
    failed = isinstance(outcome, UserError)
    returned = JobReturn(overrides=list(overrides))
    returned.status = HydraStatus.FAILED if failed else HydraStatus.COMPLETED
    returned.return_value = outcome
    return returned
