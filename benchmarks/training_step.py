"""Images per second of a training in the framework, against a bare PyTorch loop.

    python benchmarks/training_step.py                                   # streets
    python benchmarks/training_step.py --data camvid --root DIR
    python benchmarks/training_step.py --precision bf16-mixed fusion=add

The bare loop has the same network, batch and crop, the same loss, optimiser and schedule, and its
batches already in memory: no reading, no augmentation, no records, no checkpoints. The framework
reads and augments with one worker. Both take turns, so that a machine that slows down or speeds up
meets both; the ratio is that of the medians.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import lightning
import torch
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from segscape import build
from segscape.config.composing import compose
from segscape.engine import from_config
from segscape.engine.fit import fit
from segscape.runs.device import resolve_precision
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import NullTracker

TARGET = 0.95
AUTOCAST = {"bf16-mixed": torch.bfloat16, "32-true": None}


class Stopwatch(lightning.Callback):
    """Times the steps after the first few: workers have started, kernels are chosen."""

    def __init__(self, warmup: int, steps: int) -> None:
        self.first, self.last = warmup, warmup + steps
        self.started = self.seconds = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, module: Any, *_: Any) -> None:
        """Note the time at the two ends."""
        if trainer.global_step == self.first:
            self.started = now(module.device)
        if trainer.global_step == self.last:
            self.seconds = now(module.device) - self.started


def now(device: torch.device) -> float:
    """Seconds, when the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def framework(config: dict[str, Any], warmup: int, steps: int) -> float:
    """Images per second of `fit` as `train.py` calls it, without validation."""
    data = build.data(config)
    network = build.model(config, num_classes=data.num_classes, classes=data.classes)
    watch = Stopwatch(warmup, steps)
    trainer = config["trainer"] | {
        "max_steps": warmup + steps,
        "limit_val_batches": 0,
        "precision": resolve_precision(config["trainer"]),
    }
    with tempfile.TemporaryDirectory() as folder:
        fit(
            from_config.task(config, network, data),
            data,
            RunDirectory(folder),
            NullTracker(),
            trainer=trainer,
            callbacks=[watch],
            resume="never",
        )
    return steps * data.batch_size / watch.seconds


class Bare:
    """The loop that one would write for this one network."""

    def __init__(self, config: dict[str, Any], device: torch.device, total: int) -> None:
        self.data = build.data({**config, "data": {**config["data"], "num_workers": 0}})
        network = build.model(config, num_classes=self.data.num_classes)
        self.task = from_config.task(config, network, self.data).to(device)
        self.device = device
        self.dtype = AUTOCAST[resolve_precision(config["trainer"])]
        self.optimizer = self.task.make_optimizer(self.task.model)
        self.schedule = self.task.make_schedule(self.optimizer, total)
        batches = iter(self.data.train_dataloader())
        wanted = min(8, len(self.data.train_dataloader()))
        self.batches = [{k: v.to(device) for k, v in next(batches).items()} for _ in range(wanted)]

    def run(self, warmup: int, steps: int) -> float:
        """Images per second."""
        started = 0.0
        for step in range(warmup + steps):
            if step == warmup:
                started = now(self.device)
            batch = self.batches[step % len(self.batches)]
            self.optimizer.zero_grad()
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                outputs = self.task.model(self.task.model.normalize(batch["image"]))
                loss, _ = self.task.losses(outputs, batch["label"].long())
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
        return steps * self.data.batch_size / (now(self.device) - started)


def measure(options: argparse.Namespace) -> tuple[list[float], list[float], str]:
    """Rates of both, round by round, and what was measured."""
    overrides = [f"data={options.data}", f"data.num_workers={options.workers}", *options.overrides]
    overrides += [f"trainer.precision={options.precision}"] if options.precision else []
    overrides += [f"data.root={options.root}"] if options.root else []
    plain = OmegaConf.to_container(compose(overrides), resolve=True)
    assert isinstance(plain, dict)
    config: dict[str, Any] = {str(key): value for key, value in plain.items()}
    lightning.seed_everything(int(config["seed"]), verbose=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    bare = Bare(config, device, (options.warmup + options.steps) * options.rounds)
    ours: list[float] = []
    plain_loop: list[float] = []
    for _ in range(options.rounds):
        plain_loop.append(bare.run(options.warmup, options.steps))
        ours.append(framework(config, options.warmup, options.steps))
        gc.collect()
    size = "x".join(str(side) for side in bare.batches[0]["label"].shape[1:])
    what = (
        f"{config['model']['name']} on {options.data}, batch {bare.data.batch_size} of {size}, "
        f"{resolve_precision(config['trainer'])}, {options.workers} worker, "
        f"{torch.get_num_threads()} threads, {device}"
    )
    return ours, plain_loop, what


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when `--check` is given and the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="streets")
    parser.add_argument("--root", help="folder of the data set")
    parser.add_argument("--precision", choices=list(AUTOCAST), help="default: as in training")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--steps", type=int, default=15, help="timed steps of a round")
    parser.add_argument("--warmup", type=int, default=4, help="untimed steps before them")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--check", action="store_true", help=f"fail below {TARGET}")
    parser.add_argument("overrides", nargs="*", help="of the configuration, like fusion=add")
    options = parser.parse_args(arguments)
    ours, bare, what = measure(options)
    ratio = statistics.median(ours) / statistics.median(bare)
    table = Table("round", "bare loop, images/s", "framework, images/s", "ratio", title=what)
    for number, (a, b) in enumerate(zip(bare, ours, strict=True), 1):
        table.add_row(str(number), f"{a:.2f}", f"{b:.2f}", f"{b / a:.3f}")
    medians = (statistics.median(bare), statistics.median(ours))
    table.add_row("median", f"{medians[0]:.2f}", f"{medians[1]:.2f}", f"{ratio:.3f}")
    Console().print(table)
    print(f"target: at least {TARGET}: {'met' if ratio >= TARGET else 'missed'}")
    return int(options.check and ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
