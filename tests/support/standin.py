"""A small network and data module that obey the interfaces: seconds per training."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import nn

from segscape.config.training import CallbackSettings
from segscape.data.base import Sample
from segscape.data.module import SegmentationDataModule
from segscape.engine.fit import FitResult, fit
from segscape.engine.task import SegmentationTask
from segscape.losses.cross_entropy import CrossEntropy
from segscape.losses.heads import HeadLosses
from segscape.metrics.boundary import BoundaryIoU
from segscape.metrics.confusion import ConfusionMatrix
from segscape.metrics.metric_set import MetricSet
from segscape.models.contexts.none import NoContext
from segscape.models.contracts import FeatureSpec
from segscape.models.decoders.fld import FLD
from segscape.models.fusions.add import Add
from segscape.models.heads.seg import SegHead
from segscape.models.segmenter import Segmenter, assemble
from segscape.optim.optimizers import sgd
from segscape.optim.schedules import poly
from segscape.runs.run_directory import RunDirectory
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
        self.multiple = 32
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


class Blobs:
    """Images whose colour is that of the class."""

    classes, palette, ignore_index = CLASSES, PALETTE, 255

    def __init__(self, length: int, seed: int) -> None:
        self.length, self.seed = length, seed

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"blob_{index}"

    def read(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        label = np.repeat(np.repeat(rng.integers(0, 3, (4, 4)), 8, 0), 8, 1)
        image = np.array(PALETTE)[label] // 2 + rng.integers(0, 100, (32, 32, 3))
        label[rng.random(label.shape) < 0.05] = 255
        return Sample(image.astype(np.uint8), label.astype(np.uint8))


def add_noise(
    image: np.ndarray, label: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An augmentation that no two epochs share."""
    return image // 2 + rng.integers(0, 100, image.shape, np.uint8), label


class BlobData(SegmentationDataModule):
    name, classes, palette = "blobs", CLASSES, PALETTE

    def __init__(self, train: int = 20, val: int = 6, **options: Any) -> None:
        defaults: dict[str, Any] = {"batch_size": 4, "eval_batch_size": 4, "num_workers": 0}
        super().__init__(augment=add_noise, seed=5, **{**defaults, **options})
        self.lengths = {"train": train, "val": val, "test": val}

    def build_dataset(self, split: str) -> Blobs:
        return Blobs(self.lengths[split], len(split))


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
        MetricSet(
            {"confusion": ConfusionMatrix(len(CLASSES)), "boundary_iou": BoundaryIoU(len(CLASSES))},
            CLASSES,
        ),
        **settings,
    )


def train(
    path: Path | str,
    *,
    trainer: dict[str, Any] | None = None,
    kill: tuple[Any, ...] | None = None,
    data: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    callbacks: Sequence[lightning.Callback] = (),
    **options: Any,
) -> FitResult:
    """One training with the stand-ins; `kill` is (point, step[, signal])."""
    torch.set_num_threads(1)
    defaults: dict[str, Any] = {
        "resume": "auto",
        "seed": 3,
        "meta": {"config": {"seed": 3}, "classes": list(CLASSES)},
    }
    return fit(
        make_task(),
        BlobData(**(data or {})),
        RunDirectory(path),
        NullTracker(),
        trainer={**TRAINER, **(trainer or {})},
        settings=CallbackSettings(**{"gallery_images": 0, "progress": False, **(settings or {})}),
        callbacks=[*callbacks, *([] if kill is None else [KillAt(*kill)])],
        **{**defaults, **options},
    )
