"""Signals that stop a training: recorded at once, acted on between two optimiser steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

from lightning import Trainer

# Clusters send SIGTERM on preemption, SIGUSR1 or SIGUSR2 before the time limit.
NAMES = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
# Ranks are synchronised only so often: it costs a collective operation.
AGREE_EVERY = 8


class Stopped(Exception):
    """The training was stopped by a signal and has saved what it needs to continue."""


class Signals:
    """Owns the handlers while a training runs and gives them back afterwards.

    A handler only sets `received`: saving inside one can meet a half-done step, a held lock or a
    collective operation (pytorch-lightning#21406). A second Ctrl-C raises KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self.interrupted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            signals = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
            self._before = {number: signal.getsignal(number) for number in signals}
        self.own()
        return self

    def own(self) -> None:
        """Take the handlers, also from Lightning, which sets its own for SIGTERM when it starts."""
        for number in self._before:
            signal.signal(number, self._handle)

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            # None: a handler that was not set from Python and cannot be set from there.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def stop_wanted(self, trainer: Trainer, batch: int) -> bool:
        """Whether to save and stop after this batch; the same answer in every process.

        Args:
            trainer: whose processes have to agree.
            batch: index of the batch, the same in every process.
        """
        if trainer.world_size == 1:
            return self.received is not None
        if batch % AGREE_EVERY:
            return False
        return trainer.strategy.reduce_boolean_decision(self.received is not None, all=False)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received is signal.SIGINT:
            self.interrupted = True
            raise KeyboardInterrupt
        self.received = signal.Signals(number)
