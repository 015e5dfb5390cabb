"""What a tracker is, and the one that tracks nothing.

The run directory (`segscape.runs.run_directory`) is the record of a run. A tracker mirrors it to a
tool that draws curves; when that is slow, fails or hangs, the training goes on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True)
class GalleryItem:
    """One image of the gallery.

    A tracker reads the arrays later, in another thread: do not write to them afterwards.

    Attributes:
        name: unique within the gallery, e.g. the file's stem; the same one in every validation.
        image: (H, W, 3) uint8, RGB.
        label: (H, W) class ids; ids without a name (255) are void.
        prediction: (H, W) class ids.
        classes: names of the ids 0, 1, ...
        palette: RGB colours of the ids 0, 1, ..., each 0..255.
    """

    name: str
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    classes: Sequence[str] = ()
    palette: Sequence[tuple[int, int, int]] = ()


class Tracker(Protocol):
    """Mirrors the rows, images and summary of one run. No method raises or blocks for long."""

    @property
    def url(self) -> str | None:
        """Where the run can be viewed; None until it has started there."""

    @property
    def sync_hint(self) -> str | None:
        """The command that shows or uploads the run; None until it has started there."""

    @property
    def hung(self) -> bool:
        """True when `finish` timed out: end the process with `os._exit`."""

    def start(
        self,
        run_dir: str | os.PathLike[str],
        config: Mapping[str, Any],
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Begin. On resume `metrics.csv` must already be truncated to the step resumed from."""

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Mirror one row of `metrics.csv`; step counts optimiser steps."""

    def images(self, items: Sequence[GalleryItem], step: int) -> None:
        """Show a gallery; step counts optimiser steps."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Mirror `summary.json`: overrides the values of the rows."""

    def finish(self, exit_code: int = 0) -> None:
        """End the run. Waits for what is under way, but only so long."""


class NullTracker:
    """Tracks nothing: the run directory has it all."""

    url: str | None = None
    sync_hint: str | None = None
    hung: bool = False

    def start(
        self,
        run_dir: str | os.PathLike[str],
        config: Mapping[str, Any],
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Nothing to begin."""

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Nothing to mirror: `metrics.csv` has the row."""

    def images(self, items: Sequence[GalleryItem], step: int) -> None:
        """Nothing to show: `gallery/` has the panels."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Nothing to mirror: `summary.json` has the values."""

    def finish(self, exit_code: int = 0) -> None:
        """Nothing to end."""
