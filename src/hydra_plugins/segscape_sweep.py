"""Where Hydra looks for plugins: launchers and sweepers must be in this namespace.

Hydra imports this file whenever it starts, so nothing heavy may be imported here.
"""

from __future__ import annotations

from segscape.config.model_parts import ModelParts, ModelPartsSearchPath
from segscape.sweep.launchers import local, slurm
from segscape.sweep.search.sweeper import Optuna
from segscape.sweep.sweeper import Grid

__all__ = [
    "GridSweeper",
    "LocalLauncher",
    "ModelParts",
    "ModelPartsSearchPath",
    "OptunaSweeper",
    "SlurmLauncher",
]


class LocalLauncher(local.LocalLauncher):
    """`hydra/launcher=local`."""


class SlurmLauncher(slurm.SlurmLauncher):
    """`hydra/launcher=slurm`."""


class GridSweeper(Grid):
    """`hydra/sweeper=grid`."""


class OptunaSweeper(Optuna):
    """`hydra/sweeper=optuna`."""
