"""The data module: splits, loaders, and the position from which a training resumes."""

from __future__ import annotations

import functools
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
import torch

from segscape.data.base import IGNORE_INDEX, Palette, SegmentationDataset
from segscape.data.loader import BatchLoader, EvalItems, TrainItems, TrainLoader, default_workers
from segscape.data.options import spell_out
from segscape.data.sampler import EvalOrder, TrainOrder
from segscape.data.storage.cache import CACHES, cached
from segscape.data.storage.shards import ShardDataset
from segscape.data.transforms import Transform, check_size
from segscape.errors import UserError, choice, unknown

SPLITS = ("train", "val", "test")


class SegmentationDataModule(lightning.LightningDataModule, ABC):
    """Base of all data sets: loaders for training and for scoring.

    A batch is a dict: image uint8 (B, 3, H, W) in channels_last memory, label uint8
    (B, H, W) with 255 ignored, index int64 (B,), valid bool (B,). `valid` is False for
    repetitions that only even out the number of batches between processes.

    The order of training depends on (seed, epoch), the augmentation of a sample on
    (seed, epoch, index); neither on the number of workers. Scoring reads whole images at
    the size of their labels.

    Args:
        batch_size: training samples per step and process.
        eval_batch_size: samples per batch when scoring; above 1 only when all images of the
            split have one size.
        num_workers: loader processes; None: one less than the available CPUs, 1 to 8.
        augment: training transform; None trains on whole images.
        seed: of the order and the augmentation, 0 or above.
        crop: height and width of training images. The augment cuts them; here they only
            must agree with it.
        cache: of decoded samples, so that only the pixels of a crop are read: none, memory (shared
            by all processes of this user on the machine) or disk (shared by all jobs, kept). It
            changes no pixel.
        cache_dir: folder of the disk cache; None: segscape/ in the user's cache folder.
        source: folder or URL of shards written by `segscape data prepare --format webdataset`,
            which are read instead of the original files.

    Raises:
        UserError: an argument is out of range.
    """

    name: str
    classes: tuple[str, ...]
    palette: Palette
    ignore_index: int = IGNORE_INDEX
    # Whether samples are generated: there are no files that could be damaged.
    generated: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            spell_out(vars(cls)["__init__"], SegmentationDataModule.__init__)

    def __init__(
        self,
        *,
        batch_size: int = 8,
        eval_batch_size: int = 1,
        num_workers: int | None = None,
        augment: Transform | None = None,
        seed: int = 0,
        crop: Sequence[int] | None = None,
        cache: str = "none",
        cache_dir: str | Path | None = None,
        source: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.batch_size = require_count("batch_size", batch_size)
        self.eval_batch_size = require_count("eval_batch_size", eval_batch_size)
        self.num_workers = (
            None if num_workers is None else require_count("num_workers", num_workers, least=0)
        )
        self.augment = augment
        self.seed = require_count("seed", seed, least=0)
        self.crop = None if crop is None else check_size("data.crop", crop)
        cut = getattr(augment, "crop", None)
        if self.crop is not None and cut is not None and self.crop != tuple(cut):
            raise UserError(
                f"data.crop={list(self.crop)} and augment.crop={list(cut)} differ",
                "set data.crop only: the augments of conf/augment follow it",
            )
        choice("data.cache", cache, CACHES)
        self.cache = cache
        self.cache_dir = None if cache_dir is None else Path(cache_dir).expanduser()
        self.source = None if source is None else str(source)
        self._datasets: dict[str, SegmentationDataset] = {}
        self._train_loader: TrainLoader | None = None
        self._eval_loaders: dict[str, BatchLoader] = {}

    @property
    def num_classes(self) -> int:
        """Number of classes, without void."""
        return len(self.classes)

    @property
    def train_size_hw(self) -> tuple[int, int] | None:
        """Height and width of training images; None when they are not cut to one size."""
        cut = getattr(self.augment, "crop", None)
        return None if cut is None else (cut[0], cut[1])

    @abstractmethod
    def build_dataset(self, split: str) -> SegmentationDataset:
        """Open a split (train, val or test); UserError when it is missing."""

    def dataset(self, split: str) -> SegmentationDataset:
        """The samples of a split, without augmentation.

        Raises:
            UserError: no such split, or its files are missing.
        """
        if split not in SPLITS:
            raise unknown(f"there is no split {split!r}", split, SPLITS, label="splits")
        if split not in self._datasets:
            self._datasets[split] = cached(
                self.open(split), self.cache, f"{self.name}-{split}", self.cache_dir
            )
        return self._datasets[split]

    def open(self, split: str) -> SegmentationDataset:
        """A split, without a cache.

        Raises:
            UserError: its files, or shards, are missing.
        """
        if self.source is None:
            return self.build_dataset(split)
        return ShardDataset(self.source, split, self.classes, self.palette)

    def start_at(self, epoch: int, batch: int) -> None:
        """Make the next training iterator begin at this batch of this epoch.

        Nothing is read for the batches before. The loader still reports the number of
        batches of a whole epoch.

        Args:
            epoch: counted from 0.
            batch: counted from 0; the number of batches of an epoch is the next epoch's 0.
        """
        self.train_dataloader().start_at(epoch, batch)

    def train_dataloader(self) -> TrainLoader:
        """The training batches; every pass over it is the next epoch."""
        if self._train_loader is None:
            dataset = self.dataset("train")
            self._train_loader = TrainLoader(
                TrainItems(dataset, self.augment, self.seed),
                TrainOrder(len(dataset), self.batch_size, self.seed, *self.processes),
                self._workers(),
                self._pins_memory(),
                # Weak: a reference cycle would keep the loader alive longer than the module.
                functools.partial(_epoch_of, weakref.ref(self)),
            )
        return self._train_loader

    def val_dataloader(self) -> BatchLoader:
        """The validation split."""
        return self.eval_loader("val")

    def test_dataloader(self) -> BatchLoader:
        """The test split."""
        return self.eval_loader("test")

    def eval_loader(self, split: str) -> BatchLoader:
        """Whole images of a split, in order, each exactly once over all processes."""
        if split not in self._eval_loaders:
            dataset = self.dataset(split)
            self._eval_loaders[split] = BatchLoader(
                EvalItems(dataset),
                EvalOrder(len(dataset), self.eval_batch_size, *self.processes),
                self._workers(),
                self._pins_memory(),
            )
        return self._eval_loaders[split]

    def teardown(self, stage: str | None = None) -> None:
        """End the loader processes; called by Lightning when a stage is over."""
        if self._train_loader is not None:
            self._train_loader.close()
        for loader in self._eval_loaders.values():
            loader.close()

    @property
    def processes(self) -> tuple[int, int]:
        """Rank and number of processes."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        return 0, 1

    def _workers(self) -> int:
        if self.num_workers is not None:
            return self.num_workers
        return default_workers(1 if self.trainer is None else self.trainer.num_devices)

    def _pins_memory(self) -> bool:
        if self.trainer is not None:
            return self.trainer.strategy.root_device.type == "cuda"
        return torch.cuda.is_available()


def _epoch_of(module: weakref.ref[SegmentationDataModule]) -> int | None:
    """The epoch that a running fit is in, None when there is none."""
    found = module()
    if found is None or found.trainer is None or not found.trainer.training:
        return None
    return found.trainer.current_epoch


def require_count(name: str, value: int, least: int = 1, most: int = 2**63) -> int:
    """An int from `least` to `most`; UserError naming the option otherwise."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        limit = f"from {least} to {most}" if most < 2**63 else f"{least} or above"
        raise UserError(
            f"data.{name}={value!r} cannot be used", f"expected a whole number, {limit}"
        )
    return value
