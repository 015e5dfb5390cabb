"""TensorBoard: the same keys as everywhere, in the run directory's `tensorboard`."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import GalleryItem
from segscape.tracking.worker import Worker, say


class TensorBoardTracker:
    """Mirrors a run to TensorBoard's event files, from a thread of its own.

    Args:
        timeout_s: how long the end of a run may wait for the files, in seconds.
    """

    def __init__(self, timeout_s: float = 30.0) -> None:
        self.timeout_s = timeout_s
        self.url: str | None = None
        self.sync_hint: str | None = None
        self.hung = False
        self._worker: Worker | None = None
        self._writer: Any = None
        self._last_step = 0

    def start(
        self,
        run_dir: str | os.PathLike[str],
        config: Mapping[str, Any],
        name: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Begin in the background.

        Args:
            run_dir: the run directory. On resume its `metrics.csv` must already be truncated:
                points after its last row, of the start that was broken off, are hidden.
            config: plain, resolved configuration; shown as text.
            name: unused: TensorBoard names runs by directory.
            group: unused.
            tags: unused.
        """
        run = RunDirectory(run_dir)
        rows = run.read_metrics()
        purge = int(rows[-1]["step"]) + 1 if rows else None
        directory = run.path / "tensorboard"
        self.sync_hint = f"tensorboard --logdir {shlex.quote(str(directory))}"
        text = json.dumps(dict(config), indent=2, default=str)
        # torch is long imported when a run starts; its SummaryWriter brings in tensorboard, and a
        # DataLoader worker must not be forked in the middle of that import in another thread.
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            say(f"TensorBoard: {error} (pip install tensorboard); the training goes on without")
            return
        self._worker = Worker("TensorBoard")

        def begin() -> None:
            self._writer = SummaryWriter(str(directory), purge_step=purge)
            self._writer.add_text("config", f"```json\n{text}\n```", 0)

        self._worker.submit(begin)

    def log(self, row: Mapping[str, Any], step: int) -> None:
        """Queue one row."""
        values = dict(row)
        self._last_step = max(step, self._last_step)
        self._submit(lambda: self._write(values, step))

    def images(self, items: Sequence[GalleryItem], step: int) -> None:
        """Queue a gallery: image, ground truth and prediction side by side."""
        kept = list(items)

        def write() -> None:
            from segscape.data.overlay import gallery_panel

            for item in kept:
                panel = gallery_panel(
                    item.image, item.label, item.prediction, item.palette, item.classes
                )
                self._writer.add_image(f"gallery/{item.name}", panel, step, dataformats="HWC")

        self._submit(write, droppable=True)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Queue the final figures, at the last step that was logged."""
        kept, step = dict(values), self._last_step
        self._submit(lambda: self._write(kept, step))

    def finish(self, exit_code: int = 0) -> None:
        """Write what is waiting and close the files, waiting at most `timeout_s`."""
        worker, self._worker = self._worker, None
        if worker is None:
            return

        def end() -> None:
            if self._writer is not None:
                self._writer.close()

        if not worker.close(self.timeout_s, last=end):
            self.hung = True
            say(f"TensorBoard: not done after {self.timeout_s:g} s, left behind")

    def _submit(self, job: Any, droppable: bool = False) -> None:
        if self._worker is not None:
            self._worker.submit(job, droppable)

    def _write(self, values: Mapping[str, Any], step: int) -> None:
        for key, value in values.items():
            if isinstance(value, (bool, int, float)):
                self._writer.add_scalar(key, value, step)
            elif value is not None:
                self._writer.add_text(key, str(value), step)
        self._writer.flush()
