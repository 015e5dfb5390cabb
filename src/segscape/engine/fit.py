"""Run a training: from its parts to its records, in one call."""

from __future__ import annotations

import io
import logging
import pickle
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from segscape import preflight
from segscape.config.training import FIXED_TRAINER, Budget, CallbackSettings
from segscape.engine.callbacks.checkpoint import Checkpoint
from segscape.engine.callbacks.clock import Clock
from segscape.engine.callbacks.gallery import Gallery
from segscape.engine.callbacks.progress import Progress
from segscape.engine.callbacks.record import Record
from segscape.engine.callbacks.signals import Signals, Stopped
from segscape.engine.callbacks.step_seeding import Steps
from segscape.engine.checkpoint_io import AtomicCheckpointIO
from segscape.engine.loop_state import skip_epoch_start, stand_at
from segscape.engine.resume import Resume, prepare
from segscape.engine.row_logger import RowLogger
from segscape.engine.task import SegmentationTask
from segscape.errors import UserError
from segscape.exit_codes import DONE, STOPPED
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import Tracker


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Attributes:
        state: `finished`, or `stopped` by a signal after saving.
        exit_code: 0, or 3 when stopped.
        best: row of the best validation, None without any.
        last: row of the last one.
        run_dir: where everything is.
        resumed_step: optimiser step that this start continued from, None for a fresh start.
        signal: name of the one that stopped it, e.g. SIGUSR2.
    """

    state: Literal["finished", "stopped"]
    exit_code: int
    best: dict[str, Any] | None
    last: dict[str, Any] | None
    run_dir: Path
    resumed_step: int | None
    signal: str | None = None


def fit(
    task: SegmentationTask,
    datamodule: lightning.LightningDataModule,
    run: RunDirectory,
    tracker: Tracker,
    *,
    trainer: Mapping[str, Any],
    settings: CallbackSettings | None = None,
    callbacks: Sequence[lightning.Callback] = (),
    resume: str | Path = "auto",
    meta: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    seed: int | None = None,
) -> FitResult:
    """Train until the budget is spent or a signal stops the training.

    A run that was killed at any moment and is started again with `resume="auto"` ends with the
    weights and the metrics.csv (columns of time aside) of a run that was never killed.

    Args:
        task: network, losses, optimiser, schedule.
        datamodule: with `start_at(epoch, batch)`.
        run: the directory; the caller holds its lock.
        tracker: started by the caller, after `segscape.engine.resume.prepare`.
        trainer: arguments of lightning.Trainer. `max_steps`, when given, replaces `max_epochs`.
        settings: of segscape's callbacks.
        callbacks: further ones. They run after those of segscape and before the checkpoint is
            written, which holds their state; what they log is in the next row of metrics.csv, and
            `trainer.callback_metrics` has the keys of the last one.
        resume: `auto`, `never`, or the path of a checkpoint.
        meta: plain data for the checkpoints' key `segscape`: config, classes, palette, ...
        constants: keys that every row of metrics.csv repeats, such as the cost of the model.
        seed: of the random numbers of the steps; by default that of torch.

    Returns:
        The result; a run that had already finished returns its records and does nothing.

    Raises:
        UserError: see `prepare`; a wrong argument of the trainer; a loss that is not finite; out
            of memory.
    """
    task.meta.update(meta or {})
    settings = settings or CallbackSettings()
    found = prepare(run, resume)
    budget = Budget.of(trainer)
    if found is not None and _is_over(found, budget):
        return FitResult("finished", DONE, found.best, found.row, run.path, found.position.step)
    seed = found.seed if found is not None else torch.initial_seed() if seed is None else seed
    task.budget = budget
    row, best = (None, None) if found is None else (found.row, found.best)
    task.notes = {"seed": seed, "row": row, "best": best, "ended": False}
    _check_states(callbacks)
    clock, logger = Clock(), RowLogger()
    with Signals() as signals:
        checkpoint = Checkpoint(
            run,
            signals,
            clock,
            every_steps=settings.save_every_steps,
            every_minutes=settings.save_every_minutes,
            position=None if found is None else found.position,
        )
        ordered: list[lightning.Callback] = [
            Steps(seed),
            Record(run, tracker, clock, constants, logger.values),
            Gallery(run, tracker, settings.gallery_images, settings.gallery_every),
            *([Progress()] if settings.progress else []),
            *callbacks,
            checkpoint,
        ]
        lightning_trainer = make_trainer(trainer, run, ordered, logger if callbacks else False)
        if found is not None:
            _continue_at(lightning_trainer, found, callbacks)
        state = _run(lightning_trainer, task, datamodule, run, found, signals)
    code = STOPPED if state == "stopped" else DONE
    step = None if found is None else found.position.step
    received = None if signals.received is None else signals.received.name
    asked = received if state == "stopped" else None
    return FitResult(state, code, task.notes["best"], task.notes["row"], run.path, step, asked)


def make_trainer(
    arguments: Mapping[str, Any],
    run: RunDirectory,
    callbacks: Sequence[lightning.Callback],
    logger: RowLogger | Literal[False] = False,
) -> lightning.Trainer:
    """Build Lightning's trainer with segscape's records in place of its own.

    Its budget has no end: the end is found by `Steps`, since Lightning's loop would refuse to run
    the validation that a run stopped right after its last step has yet to do.

    Raises:
        UserError: an argument that it does not have, or a value that it refuses.
    """
    _quieten()  # detecting SLURM warns already
    preflight.check_trainer_keys(arguments)
    settings = {**arguments, "max_epochs": -1, "max_steps": -1}
    strategy = str(settings.get("strategy", "auto"))
    if any(word in strategy for word in ("spawn", "fork", "notebook")):
        raise UserError(
            f"trainer.strategy={strategy}: the training would run where its result is lost",
            "use trainer.strategy=ddp, which starts one process per device by itself",
        )
    plugins = [AtomicCheckpointIO(), *settings.pop("plugins", [])]
    if SLURMEnvironment.detect():
        # The process that submitted the job requeues it; Lightning must not do so a second time.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return lightning.Trainer(
            **{"default_root_dir": run.path, **settings, **FIXED_TRAINER, "logger": logger},
            callbacks=list(callbacks),
            plugins=plugins,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"lightning.Trainer refuses its arguments: {error}") from error


def _check_states(callbacks: Sequence[lightning.Callback]) -> None:
    """Refuse a state that a checkpoint could not be read with: reading runs no code of a file."""
    for callback in callbacks:
        file = io.BytesIO()
        torch.save(callback.state_dict(), file)
        file.seek(0)
        try:
            torch.load(file, weights_only=True)
        except pickle.UnpicklingError as error:
            raise UserError(
                f"state_dict of the callback {type(callback).__name__} cannot be kept",
                "it may hold numbers, texts, lists, dictionaries and tensors",
            ) from error


def _is_over(found: Resume, budget: Budget) -> bool:
    position = found.position
    return position.validated and (found.ended or budget.spent(position.epoch, position.step))


def _continue_at(
    trainer: lightning.Trainer, found: Resume, callbacks: Sequence[lightning.Callback]
) -> None:
    stand_at(trainer, found.position)
    if found.position.next_batch[1] > 0:
        for callback in callbacks:
            skip_epoch_start(callback)


def _run(
    trainer: lightning.Trainer,
    task: SegmentationTask,
    datamodule: lightning.LightningDataModule,
    run: RunDirectory,
    found: Resume | None,
    signals: Signals,
) -> Literal["finished", "stopped"]:
    path = None if found is None else found.path
    try:
        trainer.fit(task, datamodule=datamodule, ckpt_path=path)
    except Stopped:
        return "stopped"
    except MisconfigurationException as error:
        raise UserError(str(error)) from error
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise UserError(
            f"out of memory on {trainer.strategy.root_device} at step {trainer.global_step}",
            "make data.batch_size or augment.crop smaller, or use trainer.precision=bf16-mixed; "
            "trainer.accumulate_grad_batches=N keeps the effective batch",
        ) from error
    except SystemExit:
        # Lightning turns a KeyboardInterrupt into an exit; the command line decides about it.
        if signals.interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        # Lightning leaves the loader's processes behind when a training breaks off.
        datamodule.teardown("fit")
    return "finished"


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def _quieten() -> None:
    """Silence log lines and warnings of Lightning and PyTorch that do not concern users."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    for message in (
        r"You're resuming from a checkpoint that ended before the epoch ended",
        r"The '\w+' does not have many workers",
        r"Found \d+ module\(s\) in eval mode at the start of training",
        r"The number of training batches .* is smaller than the logging interval",
        r".*isinstance\(treespec, LeafSpec\)",
        r".*srun.* command is available on your system but is not used",
    ):
        warnings.filterwarnings("ignore", message=message)
