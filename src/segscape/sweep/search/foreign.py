"""A launcher of somebody else's as a queue: it runs a batch, and only then returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from segscape.sweep.launchers.base import Live
from segscape.sweep.memory.directory import Attempt, Job, SweepDirectory

if TYPE_CHECKING:
    from hydra.plugins.launcher import Launcher


class BatchQueue:
    """Runs what is submitted together as one batch of a Hydra launcher, and waits for all of it.

    The launcher leaves no attempts: how a job ended is read from its run directory.

    Args:
        launcher: any Hydra launcher.
        jobs: in a batch.
    """

    name = "foreign"
    poll_s = 1.0

    def __init__(self, launcher: Launcher, jobs: int | None = None) -> None:
        self._launcher, self._count = launcher, 0
        self.slots: int | None = jobs

    def settings(self) -> dict[str, Any]:
        """Nothing that would make it again: it needs Hydra around it."""
        return {}

    def submit(self, sweep: SweepDirectory, jobs: Sequence[Job], code: str) -> None:
        """Run a batch to its end. The lock of the sweep is held meanwhile: nobody else is wanted.

        Args:
            sweep: where the jobs are.
            jobs: of the batch.
            code: not used; such launchers run what the source is at the time.

        Raises:
            UserError: the launcher failed before any job began.
            KeyboardInterrupt: a signal asked for the end.
        """
        from segscape.sweep.launchers.plugin import hand_over

        if not jobs:  # nobody waits who could be woken
            return
        first, self._count = self._count, self._count + len(jobs)
        hand_over(self._launcher, sweep, jobs, first)

    def live(self, sweep: SweepDirectory, attempts: Mapping[str, Attempt]) -> dict[str, Live]:
        """None: a batch has ended when `submit` returns."""
        return {}

    def cancel(self, sweep: SweepDirectory, attempts: Sequence[Attempt]) -> None:
        """Nothing is left to cancel."""

    def cause(self, sweep: SweepDirectory, attempt: Attempt) -> str | None:
        """Nothing is known beyond the run directory."""
        return None
