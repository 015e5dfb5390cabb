"""Run a training: from its parts to its records, in one call."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins.environments import SLURMEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException

from segscape.engine.callbacks.checkpoint import Checkpoint
from segscape.engine.callbacks.clock import Clock
from segscape.engine.callbacks.gallery import Gallery
from segscape.engine.callbacks.progress import Progress
from segscape.engine.callbacks.record import Record
from segscape.engine.callbacks.signals import Signals, Stopped
from segscape.engine.callbacks.step_seeding import Steps
from segscape.engine.checkpoint_io import AtomicCheckpointIO
from segscape.engine.loop_state import Budget, stand_at
from segscape.engine.resume import Resume, prepare
from segscape.engine.task import SegmentationTask
from segscape.errors import UserError, nearest
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import Tracker

STOPPED_EXIT_CODE = 3
# Ours to decide: Lightning's own logging and checkpoints would write a second record beside ours.
FIXED: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


@dataclass(frozen=True)
class FitResult:
    """How a training ended.

    Args:
        state: `finished`, or `stopped` by a signal after saving.
        exit_code: 0, or 3 when stopped.
        best: row of the best validation, None without any.
        last: row of the last one.
        run_dir: where everything is.
        resumed_step: optimiser step that this start continued from, None for a fresh start.
        signal: name of the one that asked to stop, e.g. SIGUSR2.
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
    save_every_steps: int | None = None,
    save_every_minutes: float | None = 5.0,
    resume: str | Path = "auto",
    gallery_images: int = 8,
    gallery_every: int = 1,
    meta: Mapping[str, Any] | None = None,
    constants: Mapping[str, Any] | None = None,
    progress: bool = True,
    seed: int | None = None,
) -> FitResult:
    """Train until the budget is spent or a signal asks to stop.

    A run that was killed at any moment and is started again with `resume="auto"` ends with the
    weights and the metrics.csv (columns of time aside) of a run that was never killed.

    Args:
        task: network, losses, optimiser, schedule.
        datamodule: with `start_at(epoch, batch)`.
        run: the directory; the caller holds its lock.
        tracker: started by the caller, after `segscape.engine.resume.prepare`.
        trainer: arguments of lightning.Trainer. `max_steps`, when given, replaces `max_epochs`.
        save_every_steps: see `Checkpoint`.
        save_every_minutes: see `Checkpoint`.
        resume: `auto`, `never`, or the path of a checkpoint.
        gallery_images: number of validation images that are drawn, 0 for none.
        gallery_every: draw them after every so many validations.
        meta: plain data for the checkpoints' key `segscape`: config, classes, palette, ...
        constants: keys that every row of metrics.csv repeats, such as the cost of the model.
        progress: show a bar on a terminal, lines elsewhere.
        seed: of the random numbers of the steps; by default that of torch.

    Returns:
        The result; a run that had already finished returns its records and does nothing.

    Raises:
        UserError: see `prepare`; a wrong argument of the trainer; a loss that is not finite; out
            of memory.
    """
    task.meta.update(meta or {})
    found = prepare(run, resume)
    budget, arguments = split_budget(trainer)
    if found is not None and budget.spent(found.position):
        return FitResult("finished", 0, found.best, found.row, run.path, found.position.step)
    seed = found.seed if found is not None else torch.initial_seed() if seed is None else seed
    task.budget = budget
    task.notes = {
        "seed": seed,
        "row": None if found is None else found.row,
        "best": None if found is None else found.best,
    }
    clock = Clock()
    with Signals() as signals:
        callbacks: list[lightning.Callback] = [
            Steps(seed),
            Record(run, tracker, clock, constants),
            Gallery(run, tracker, gallery_images, gallery_every),
            *([Progress()] if progress else []),
            Checkpoint(
                run,
                signals,
                clock,
                every_steps=save_every_steps,
                every_minutes=save_every_minutes,
                position=None if found is None else found.position,
            ),
        ]
        lightning_trainer = make_trainer(arguments, run, callbacks)
        if found is not None:
            stand_at(lightning_trainer, found.position)
        state = _run(lightning_trainer, task, datamodule, run, found, signals)
    code = STOPPED_EXIT_CODE if state == "stopped" else 0
    step = None if found is None else found.position.step
    received = None if signals.received is None else signals.received.name
    asked = received if state == "stopped" else None
    return FitResult(state, code, task.notes["best"], task.notes["row"], run.path, step, asked)


def split_budget(trainer: Mapping[str, Any]) -> tuple[Budget, dict[str, Any]]:
    """Take the budget out of the trainer's arguments.

    The end is found by `Steps`, not by Lightning: its loop would refuse to run the validation that
    a run stopped right after its last step still owes.
    """
    arguments = dict(trainer)
    steps, epochs = arguments.pop("max_steps", None), arguments.pop("max_epochs", None)
    steps = -1 if steps is None else steps
    epochs = -1 if epochs is None else epochs
    if steps != -1:
        epochs = -1
    if steps == epochs == -1:
        raise UserError(
            "the training has no end", "give trainer.max_epochs=N or trainer.max_steps=N"
        )
    for name, value in (("max_steps", steps), ("max_epochs", epochs)):
        if not isinstance(value, int) or (value < 1 and value != -1):
            raise UserError(f"trainer.{name}={value}: not a positive number")
    arguments["max_epochs"] = -1
    return Budget(None if epochs == -1 else epochs, None if steps == -1 else steps), arguments


def make_trainer(
    arguments: Mapping[str, Any], run: RunDirectory, callbacks: list[lightning.Callback]
) -> lightning.Trainer:
    """Build Lightning's trainer with our records in place of its own.

    Raises:
        UserError: an argument that it does not have, or a value that it refuses.
    """
    known = list(inspect.signature(lightning.Trainer.__init__).parameters)
    for key in arguments:
        if key not in known or key in FIXED:
            close = nearest(key, [name for name in known if name not in FIXED])
            hint = None if close is None or close == key else f"did you mean trainer.{close}?"
            raise UserError(f"trainer.{key} cannot be set", hint)
    settings = dict(arguments)
    strategy = str(settings.get("strategy", "auto"))
    if any(word in strategy for word in ("spawn", "fork", "notebook")):
        raise UserError(
            f"trainer.strategy={strategy}: the training would run where its result is lost",
            "use trainer.strategy=ddp, which starts one process per device by itself",
        )
    plugins = [AtomicCheckpointIO(), *settings.pop("plugins", [])]
    if SLURMEnvironment.detect():
        # Whoever submitted the job requeues it; two owners of one signal fight.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    more = list(settings.pop("callbacks", []))
    _quieten()
    try:
        return lightning.Trainer(
            **{"default_root_dir": run.path, **settings, **FIXED},
            callbacks=[*callbacks[:-1], *more, *callbacks[-1:]],
            plugins=plugins,
        )
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise UserError(f"lightning.Trainer refuses its arguments: {error}") from error


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
        # Lightning turns a KeyboardInterrupt into an exit; ours to decide further up.
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
    """Keep Lightning from announcing devices, tips and what our own messages say better."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        r"You're resuming from a checkpoint that ended before the epoch ended",
        r"The '\w+' does not have many workers",
        r"Found \d+ module\(s\) in eval mode at the start of training",
        r".*isinstance\(treespec, LeafSpec\)",
        r".*srun.* command is available on your system but is not used",
    ):
        warnings.filterwarnings("ignore", message=message)
