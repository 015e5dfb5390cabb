"""Where the time of training goes: steps, and waiting for data."""

from __future__ import annotations

from time import perf_counter


class Clock:
    """Adds up the time of training steps between two validations.

    Validation, checkpoints and pictures do not count. What passes between the end of a batch and
    the start of the next is the wait for the loader (and the few hooks of Lightning).
    """

    def __init__(self) -> None:
        self._mark: float | None = None
        self.clear()

    def clear(self) -> None:
        """Reset the sums and the running interval."""
        self.images = 0
        self.seconds = 0.0
        self.waited = 0.0
        self._mark = None

    def resume(self) -> None:
        """Count from now on: training goes on after something that does not count."""
        self._mark = perf_counter()

    def batch_starts(self) -> None:
        """Note that the loader has returned a batch."""
        now = perf_counter()
        if self._mark is not None:
            self.waited += now - self._mark
            self.seconds += now - self._mark
        self._mark = now

    def batch_ends(self, images: int) -> None:
        """Note that a batch has been trained."""
        now = perf_counter()
        assert self._mark is not None, "a batch ended that never started"
        self.seconds += now - self._mark
        self.images += images
        self._mark = now

    @property
    def images_per_second(self) -> float:
        """Images of this process, per second of training; 0 before the first batch."""
        return self.images / self.seconds if self.seconds else 0.0

    @property
    def data_wait(self) -> float:
        """Share of the time spent waiting for data, 0..1."""
        return self.waited / self.seconds if self.seconds else 0.0
