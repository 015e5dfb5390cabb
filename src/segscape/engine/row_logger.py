"""What callbacks log through Lightning, kept for the next row of metrics.csv."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.loggers import Logger


class RowLogger(Logger):
    """The logger of a training with Lightning callbacks: the last value of each key.

    `Record` writes the values into the next row, so that the run directory stays the only record
    and trackers show them too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, float] = {}

    @property
    def name(self) -> None:
        """None: it writes no files."""

    @property
    def version(self) -> None:
        """None: it writes no files."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep the values; rows have the epoch and the step already."""
        own = {key: float(value) for key, value in metrics.items() if key not in ("epoch", "step")}
        self.values.update(own)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""
