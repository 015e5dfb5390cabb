"""Loaders: workers, batches, errors that cross processes, and the position of the training."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from segscape.data.base import LazySample, SegmentationDataset, open_sample
from segscape.data.resource_limits import available_cpus
from segscape.data.sampler import EvalOrder, TrainOrder
from segscape.data.transforms import LazyTransform, Transform, for_classes
from segscape.errors import UserError

Batch = dict[str, torch.Tensor]

# How long a worker continues after SIGTERM: the main process saves a checkpoint meanwhile.
_GRACE_SECONDS = 60
# Separates the random numbers of a sample's augmentation from those of the order.
_AUGMENT_STREAM = 1


@dataclass(frozen=True)
class Failure:
    """A UserError on its way from a worker to the main process.

    An exception raised in a worker arrives wrapped into a traceback; a value does not.
    """

    what: str
    hint: str | None


@dataclass(frozen=True)
class Item:
    """One sample of a batch, before collation."""

    image: np.ndarray
    label: np.ndarray
    index: int
    valid: bool


class TrainItems(Dataset):
    """Augmented samples by (epoch, index).

    The augmentation of a sample depends only on (seed, epoch, index): not on the worker, nor on
    the samples before.

    Args:
        dataset: the split.
        augment: transform; None leaves whole images.
        seed: of the augmentation.

    Raises:
        UserError: the transform names a class that the data set does not have.
    """

    def __init__(self, dataset: SegmentationDataset, augment: Transform | None, seed: int) -> None:
        self.dataset = dataset
        self.augment = for_classes(augment, dataset.classes)
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> Item | Failure:
        epoch, index = key
        try:
            image, label = self._augmented(index, epoch)
        except UserError as error:
            return Failure(error.what, error.hint)
        return Item(image, label, index, True)

    def _augmented(self, index: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        if self.augment is None:
            sample = self.dataset.read(index)
            return sample.image, sample.label
        rng = np.random.default_rng([self.seed, epoch, index, _AUGMENT_STREAM])
        if not isinstance(self.augment, LazyTransform):
            sample = self.dataset.read(index)
            return self.augment(sample.image, sample.label, rng)
        others = functools.partial(self._other, index)
        sample = self.augment.apply(open_sample(self.dataset, index), rng, others)
        return sample.image, sample.label

    def _other(self, index: int, rng: np.random.Generator) -> LazySample:
        """Another sample of the split, for transforms that mix samples."""
        count = len(self.dataset)
        step = int(rng.integers(1, count)) if count > 1 else 0
        return open_sample(self.dataset, (index + step) % count)


class EvalItems(Dataset):
    """Whole samples by (valid, index)."""

    def __init__(self, dataset: SegmentationDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: tuple[bool, int]) -> Item | Failure:
        valid, index = key
        try:
            sample = self.dataset.read(index)
        except UserError as error:
            return Failure(error.what, error.hint)
        return Item(sample.image, sample.label, index, valid)


def collate(items: Sequence[Item | Failure]) -> Batch | Failure:
    """Put samples of one size into a batch; a failure among them is returned instead.

    Returns:
        image uint8 (B, 3, H, W) in channels_last memory (the samples are copied once, as
        they are: no transposition), label uint8 (B, H, W), index int64 (B,), valid bool (B,).
    """
    good: list[Item] = []
    for item in items:
        if isinstance(item, Failure):
            return item
        good.append(item)
    sizes = {item.label.shape for item in good}
    if len(sizes) > 1:
        listed = ", ".join(f"{w}x{h}" for h, w in sorted(sizes))
        return Failure(
            f"the images of a batch differ in size ({listed})",
            "use data.eval_batch_size=1 for evaluation, and an augment that crops for training",
        )
    height, width = good[0].label.shape
    images = torch.empty((len(good), height, width, 3), dtype=torch.uint8)
    labels = torch.empty((len(good), height, width), dtype=torch.uint8)
    image_slots, label_slots = images.numpy(), labels.numpy()
    for slot, item in enumerate(good):
        image_slots[slot] = item.image
        label_slots[slot] = item.label
    return {
        "image": images.permute(0, 3, 1, 2),
        "label": labels,
        "index": torch.tensor([item.index for item in good], dtype=torch.int64),
        "valid": torch.tensor([item.valid for item in good], dtype=torch.bool),
    }


@dataclass
class _Position:
    epoch: int
    batch: int


# Functions, not methods: a generator with a reference to its loader would keep it, and its worker
# processes, until the next garbage collection.
def _checked(batches: Iterator[Batch | Failure]) -> Generator[Batch, None, None]:
    for batch in batches:
        if isinstance(batch, Failure):
            raise UserError(batch.what, batch.hint)
        yield batch


def _counted(batches: Iterator[Batch], position: _Position) -> Iterator[Batch]:
    for batch in batches:
        position.batch += 1
        yield batch


# Loaders, and iterators, which may outlive their loader.
_open: weakref.WeakSet[BatchLoader | Generator[Batch, None, None]] = weakref.WeakSet()


class BatchLoader:
    """Iterates over the batches of a split; a UserError of a worker is raised here.

    The processes start with the first iteration and stay until `close`.

    Args:
        items: samples by the keys that `order` yields.
        order: yields lists of keys.
        num_workers: processes; 0 reads in this one.
        pin_memory: page-locked batches, for a CUDA device.
    """

    def __init__(
        self,
        items: Dataset,
        order: TrainOrder | EvalOrder,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        self.items = items
        self.order = order
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self._loader: DataLoader | None = None
        self._batches: Generator[Batch, None, None] | None = None

    def __len__(self) -> int:
        """Batches of a whole pass."""
        return len(self.order)

    def __iter__(self) -> Iterator[Batch]:
        if self._loader is None:
            self._loader = self._start()
        # Called here, not in the generator: the workers begin before the first next().
        self._batches = _checked(iter(self._loader))
        _open.update((self, self._batches))
        return self._batches

    def close(self) -> None:
        """End the worker processes and the running iteration; the next one starts new ones."""
        # Explicitly, even if the iterator is still referenced: a garbage collection may remove the
        # queues first, and would then wait 5 s for each worker.
        if self._batches is not None:
            self._batches.close()
        self._batches = self._loader = None

    def _start(self) -> DataLoader:
        workers: dict[str, Any] = {}
        if self.num_workers > 0:
            workers = {
                "persistent_workers": True,
                "worker_init_fn": prepare_worker,
                # A few batches ahead in total, so that one slow image does not stall a step.
                "prefetch_factor": 4 if self.num_workers <= 2 else 2,
            }
        return DataLoader(
            self.items,
            batch_sampler=self.order,  # type: ignore[arg-type]
            collate_fn=collate,
            num_workers=self.num_workers,
            pin_memory=self.pin_memory,
            # Its own generator: the loader draws a number per pass; from the global generator it
            # would make a resumed run differ from one that was never interrupted.
            generator=torch.Generator(),
            **workers,
        )


class TrainLoader(BatchLoader):
    """The training batches; each pass serves the next epoch.

    Args:
        items: augmented samples by (epoch, index).
        order: the shuffled order.
        num_workers: see `BatchLoader`.
        pin_memory: see `BatchLoader`.
        current_epoch: the epoch of the trainer, None when no trainer runs. A pass serves this
            epoch, so that a second iterator of the same epoch, which Lightning may request, gives
            the same batches.
    """

    order: TrainOrder

    def __init__(
        self,
        items: Dataset,
        order: TrainOrder,
        num_workers: int = 0,
        pin_memory: bool = False,
        current_epoch: Callable[[], int | None] = lambda: None,
    ) -> None:
        super().__init__(items, order, num_workers, pin_memory)
        self._current_epoch = current_epoch
        self._next_epoch = 0
        self._resumed: tuple[int, int] | None = None
        self._must_resume = False
        self._position = _Position(0, 0)

    def start_at(self, epoch: int, batch: int) -> None:
        """Make the next iterator begin at this batch of this epoch.

        `len` stays the number of batches of a whole epoch. A position past the last batch is
        the start of the next epoch.
        """
        if epoch < 0 or not 0 <= batch <= len(self):
            raise ValueError(
                f"there is no batch {batch} of epoch {epoch}: an epoch has {len(self)} batches"
            )
        self._resumed = (epoch + 1, 0) if batch == len(self) else (epoch, batch)
        self._must_resume = True

    def __iter__(self) -> Iterator[Batch]:
        current = self._current_epoch()
        if self._must_resume:
            assert self._resumed is not None
            epoch = self._resumed[0]
        else:
            epoch = self._next_epoch if current is None else current
        resumed = self._resumed if self._resumed is not None else (-1, 0)
        # Without a trainer a second iterator means the next epoch; with one, see `start_at`.
        start = resumed[1] if epoch == resumed[0] else 0
        self._must_resume = False
        self._next_epoch = epoch + 1
        self._position = _Position(epoch, start)
        self.order.epoch, self.order.start_batch = epoch, start
        return _counted(super().__iter__(), self._position)

    def state_dict(self) -> dict[str, int]:
        """Position for Lightning's own checkpoints: batches handed out of the epoch."""
        return {"epoch": self._position.epoch, "batch": self._position.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue a position that Lightning restored, unless `start_at` was called."""
        if not self._must_resume and state["epoch"] == self._current_epoch():
            self.start_at(state["epoch"], state["batch"])


def prepare_worker(worker: int) -> None:
    """Set up a loader process: one thread, and signals are handled by the main process only.

    Schedulers and terminals send signals to the whole process group. A worker that a signal ends
    would end the main process before it has saved its checkpoint. So a worker ignores these
    signals, and ends when its loader is closed.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for name in ("SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, _end_later)


def _end_later(number: int, frame: object) -> None:
    # With a limit: multiprocessing sends SIGTERM to a worker that hangs, and waits for it.
    signal.alarm(_GRACE_SECONDS)


@atexit.register
def _close_all() -> None:
    # Before multiprocessing's own exit handler, which would send SIGTERM to each worker.
    for open_one in list(_open):
        open_one.close()


def default_workers(processes: int = 1) -> int:
    """Default number of loader processes: one less than the CPUs of this job, 1 to 8.

    Args:
        processes: training processes of this job on this machine, which share its CPUs.
    """
    cpus = available_cpus()
    per_task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    on_node = os.environ.get("SLURM_CPUS_ON_NODE", "")
    # Slurm sets the CPUs of each process, or of the whole job on this node. The limit that the
    # kernel enforces takes precedence.
    if per_task.isdigit():
        share = min(cpus, int(per_task))
    elif on_node.isdigit():
        share = min(cpus, int(on_node)) // max(processes, 1)
    else:
        share = cpus // max(processes, 1)
    return min(8, max(1, share - 1))
