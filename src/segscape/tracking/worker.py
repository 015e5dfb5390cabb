"""One thread that does a tracker's work, so that the training never waits for it."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable

_MOST_ROWS = 10_000


def say(line: str) -> None:
    """Print one line to the terminal, above a live progress bar."""
    # In one piece: print() writes the end of a line separately, after other threads perhaps.
    print(f"{line}\n", end="", file=sys.stderr, flush=True)


class Worker:
    """Runs jobs one after the other in a daemon thread.

    The first job that raises ends the worker: one line is printed, and later jobs are dropped. Jobs
    wait in a queue that never blocks the caller: the oldest droppable job (images) makes room for a
    new one, others (rows) are kept; when more than 10 000 are waiting, the work hangs and the
    worker is given up.

    Args:
        name: what the lines begin with, e.g. "W&B".
        most_droppable: how many droppable jobs may wait.
        advice: the end of the line when the work fails.
    """

    def __init__(
        self,
        name: str,
        most_droppable: int = 4,
        advice: str = "the training goes on; its record is in the run directory",
    ) -> None:
        self._name = name
        self._most_droppable = most_droppable
        self._advice = advice
        self._jobs: deque[tuple[Callable[[], None], bool]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._last: Callable[[], None] | None = None
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def ended(self) -> bool:
        """Whether the work was given up."""
        return self._ended

    def submit(self, job: Callable[[], None], droppable: bool = False) -> None:
        """Queue a job; returns at once."""
        with self._changed:
            if self._ended or self._closing:
                return
            if droppable:
                self._make_room()
            self._jobs.append((job, droppable))
            too_many = len(self._jobs) > _MOST_ROWS
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name=f"segscape {self._name}", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()
        if too_many:
            self._give_up("it hangs")

    def close(self, timeout_s: float, last: Callable[[], None] | None = None) -> bool:
        """Let the waiting jobs run, then end the thread.

        Args:
            timeout_s: how long to wait for it, in seconds.
            last: runs at the very end, after a failure too.

        Returns:
            False when the thread is still busy: it hangs.
        """
        with self._changed:
            self._closing = True
            self._last = last
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        if not self._thread.is_alive():
            return True
        with self._changed:
            self._ended = True
            self._jobs.clear()
        return False

    def _make_room(self) -> None:
        waiting = [entry for entry in self._jobs if entry[1]]
        if len(waiting) >= self._most_droppable:
            self._jobs.remove(waiting[0])

    def _work(self) -> None:
        while (job := self._next()) is not None:
            self._do(job)
        if self._last is not None:
            self._do(self._last)

    def _next(self) -> Callable[[], None] | None:
        """Wait for a job; None when there will be no more."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closing)
            return self._jobs.popleft()[0] if self._jobs else None

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except (Exception, SystemExit) as error:  # a library may call sys.exit
            lines = str(error).strip().splitlines()
            self._give_up(lines[0] if lines else type(error).__name__)

    def _give_up(self, reason: str) -> None:
        with self._changed:
            if self._ended:
                return
            self._ended = True
            self._jobs.clear()
        say(f"{self._name}: {reason}; {self._advice}")
