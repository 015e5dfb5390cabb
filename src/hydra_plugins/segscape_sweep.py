"""Launchers and sweepers: Hydra finds plugins in this namespace only.

Hydra imports this file whenever it starts, so nothing heavy may be imported here at the top.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from segscape.config.hydra_source import ModelParts, ModelPartsSearchPath
from segscape.sweep.launchers.base import Queue
from segscape.sweep.launchers.local import LocalQueue
from segscape.sweep.launchers.slurm import SlurmQueue

__all__ = [
    "GridSweeper",
    "LocalLauncher",
    "ModelParts",
    "ModelPartsSearchPath",
    "OptunaSweeper",
    "SlurmLauncher",
]


class _QueueLauncher(Launcher):
    """Hands jobs to a queue: the sweepers of segscape use the queue, others call `launch`."""

    def __init__(self, queue: Queue) -> None:
        self.segscape_queue = queue
        self._batches: Any = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives every launcher."""
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run a batch of jobs for a third-party sweeper and wait for their scores."""
        from segscape.sweep.batches import Batches

        self._batches = self._batches or Batches(self.config, self.segscape_queue)
        found: list[JobReturn] = self._batches.run(job_overrides)
        return found


class LocalLauncher(_QueueLauncher):
    """`hydra/launcher=local`; conf/hydra/launcher/local.yaml explains the arguments."""

    def __init__(self, jobs: int | None = None, pin: bool = True, warm: bool = True) -> None:
        super().__init__(LocalQueue(jobs, pin, warm))


class SlurmLauncher(_QueueLauncher):
    """`hydra/launcher=slurm`; conf/hydra/launcher/slurm.yaml explains the arguments."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(SlurmQueue(**settings))


class GridSweeper(Sweeper):
    """`hydra/sweeper=grid`."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Make the sweeper; its modules are imported here, not with this file."""
        self._sweeper = self._make()
        self._sweeper.setup(hydra_context=hydra_context, task_function=task_function, config=config)

    def _make(self) -> Any:
        from segscape.sweep.sweeper import Grid

        return Grid()

    def sweep(self, arguments: list[str]) -> Any:
        """Run the jobs of the command line."""
        return self._sweeper.sweep(arguments)


class OptunaSweeper(GridSweeper):
    """`hydra/sweeper=optuna`."""

    def _make(self) -> Any:
        from segscape.sweep.search.sweeper import Optuna

        return Optuna()
