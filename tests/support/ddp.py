"""Two processes on the CPU; Lightning starts the second one with this same command line."""

from __future__ import annotations

import os
import signal
import sys

import lightning
import standin


class SignalOneRank(lightning.Callback):
    """Only one process gets the signal, as with `kill PID`."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: lightning.Trainer, *args: object) -> None:
        if trainer.global_step == self.step and trainer.global_rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def main(path: str, stop_at: str) -> int:
    callbacks = [SignalOneRank(int(stop_at))] if stop_at != "-" else []
    trainer = {"devices": 2, "strategy": "ddp", "max_epochs": 2}
    # 7 validation samples on two ranks: one is repeated and must not count.
    data = {"train": 88, "val": 7, "batch_size": 4, "eval_batch_size": 1}
    return standin.train(path, trainer=trainer, data=data, callbacks=callbacks).exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
