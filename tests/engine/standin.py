"""A small network and data module that obey the interfaces: seconds per training."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler

from segscape.engine.fit import FitResult, fit
from segscape.engine.task import SegmentationTask
from segscape.losses.cross_entropy import CrossEntropy
from segscape.losses.heads import HeadLosses
from segscape.models.contexts.none import NoContext
from segscape.models.contracts import FeatureSpec
from segscape.models.decoders.fld import FLD
from segscape.models.fusions.add import Add
from segscape.models.heads.seg import SegHead
from segscape.models.segmenter import Segmenter, assemble
from segscape.optim.optimizers import sgd
from segscape.optim.schedules import poly
from segscape.tracking.run_directory import RunDirectory
from segscape.tracking.trackers import NullTracker

CLASSES = ("sky", "road", "tree")
PALETTE = ((0, 0, 255), (128, 64, 128), (0, 128, 0))
TIME_COLUMNS = ("train/images_per_second", "train/data_wait")
TRAINER = {"accelerator": "cpu", "devices": 1, "max_epochs": 3}


class TinyEncoder(nn.Module):
    """Strides 8, 16, 32 with dropout: a run that loses its random numbers shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = FeatureSpec({8: 8, 16: 8, 32: 8})
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 9, stride=8, padding=4), nn.BatchNorm2d(8))
        self.down = nn.ModuleList([nn.Conv2d(8, 8, 3, stride=2, padding=1) for _ in range(2)])
        self.drop = nn.Dropout(0.2)

    def forward(self, x: torch.Tensor) -> dict[int | str, torch.Tensor]:
        x = self.drop(self.stem(x).relu())
        features: dict[int | str, torch.Tensor] = {8: x}
        for stride, layer in zip((16, 32), self.down, strict=True):
            features[stride] = x = layer(x).relu()
        return features


def network(seed: int = 1) -> Segmenter:
    torch.manual_seed(seed)
    return assemble(
        TinyEncoder(),
        partial(NoContext, out_channels=8),
        partial(FLD, widths=(8, 8, 8)),
        Add,
        SegHead,
        num_classes=len(CLASSES),
        auxiliary=("decoder_16",),
        classes=CLASSES,
        palette=PALETTE,
        name="tiny",
    )


class EpochSampler(Sampler):
    def __init__(self, length: int, batch_size: int) -> None:
        self.length, self.batch_size = length, batch_size
        self.epoch, self.start = 0, (0, 0)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self):
        epoch, skip = self.start if self.start[0] >= self.epoch else (self.epoch, 0)
        order = np.random.default_rng((5, epoch)).permutation(self.length)
        return iter([(epoch, int(i)) for i in order[skip * self.batch_size :]])


class Blobs:
    """Images whose colour tells the class, with noise that depends on (epoch, index)."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        epoch, index = key
        rng = np.random.default_rng((9, epoch, index))
        label = np.repeat(np.repeat(rng.integers(0, 3, (4, 4)), 8, 0), 8, 1)
        image = np.array(PALETTE)[label].transpose(2, 0, 1) // 2 + rng.integers(0, 100, (3, 32, 32))
        label = np.where(rng.random(label.shape) < 0.05, 255, label)
        return {
            "image": torch.from_numpy(image.astype(np.uint8)),
            "label": torch.from_numpy(label.astype(np.uint8)),
            "index": torch.tensor(index),
            "valid": torch.tensor(True),
        }


def quiet_worker(worker: int) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class BlobData(lightning.LightningDataModule):
    classes, palette, num_classes, ignore_index = CLASSES, PALETTE, len(CLASSES), 255
    name = "blobs"

    def __init__(self, train: int = 20, val: int = 6, batch_size: int = 4, workers: int = 0):
        super().__init__()
        self.train, self.val, self.batch_size, self.workers = train, val, batch_size, workers
        self.sampler = EpochSampler(train, batch_size)
        self.started: list[tuple[int, int]] = []

    def start_at(self, epoch: int, batch: int) -> None:
        self.started.append((epoch, batch))
        self.sampler.start = (epoch, batch)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(
            Blobs(self.train),
            self.batch_size,
            sampler=self.sampler,
            drop_last=True,
            num_workers=self.workers,
            worker_init_fn=quiet_worker,
            persistent_workers=self.workers > 0,
        )

    def val_dataloader(self) -> DataLoader:
        keys = [(1000, i) for i in range(self.val)]
        return DataLoader(
            Blobs(self.val), 4, sampler=keys, num_workers=self.workers, worker_init_fn=quiet_worker
        )


class KillAt(lightning.Callback):
    """Sends this process a signal at a chosen point of the training."""

    def __init__(self, point: str, step: int, number: int = signal.SIGKILL) -> None:
        self.point, self.step, self.number = point, step, number

    def _fire(self, trainer: lightning.Trainer, point: str) -> None:
        if point == self.point and trainer.global_step == self.step:
            os.kill(os.getpid(), self.number)

    def on_train_batch_start(self, trainer, *args: Any) -> None:
        self._fire(trainer, "batch")

    def on_validation_batch_start(self, trainer, *args: Any) -> None:
        self._fire(trainer, "validation")

    def on_validation_end(self, trainer, *args: Any) -> None:
        # The row is written, the checkpoints are not: Checkpoint is the last callback.
        self._fire(trainer, "row")


def make_task(seed: int = 1, **settings: Any) -> SegmentationTask:
    return SegmentationTask(
        network(seed),
        HeadLosses(CrossEntropy(), {"main": 1.0, "decoder_16": 0.4}),
        partial(sgd, lr=0.05),
        partial(poly, warmup_steps=3),
        metrics={"void": "ignore"},
        **settings,
    )


def train(
    path: Path | str,
    *,
    trainer: dict[str, Any] | None = None,
    kill: tuple[Any, ...] | None = None,
    data: dict[str, Any] | None = None,
    **options: Any,
) -> FitResult:
    """One training with the stand-ins; `kill` is (point, step[, signal])."""
    torch.set_num_threads(1)
    settings = {**TRAINER, **(trainer or {})}
    if kill is not None:
        settings["callbacks"] = [*settings.get("callbacks", []), KillAt(*kill)]
    defaults: dict[str, Any] = {
        "resume": "auto",
        "progress": False,
        "seed": 3,
        "gallery_images": 0,
        "meta": {"config": {"seed": 3}, "classes": list(CLASSES)},
    }
    return fit(
        make_task(),
        BlobData(**(data or {})),
        RunDirectory(path),
        NullTracker(),
        trainer=settings,
        **{**defaults, **options},
    )
