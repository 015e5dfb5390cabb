"""Inspection of the samples of a split: every file is read, decoded and counted once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import TypeVar

import cv2
import numpy as np

from segscape.data.base import IGNORE_INDEX, FileDataset, SegmentationDataset, require_same_size
from segscape.data.checks.report import Finding, Problem
from segscape.data.codecs import decode_image, read_bytes
from segscape.errors import UserError

_T = TypeVar("_T")
# OpenCV counts in 32-bit floats, which are exact up to here.
_COUNTABLE = 1 << 24


def inspect_samples(
    dataset: SegmentationDataset,
    split: str,
    indices: Sequence[int],
    threads: int = 1,
    seconds: float | None = None,
) -> Iterator[Finding]:
    """Inspect samples, several at a time.

    In threads: nearly all of the time goes into reading, decoding, hashing and counting, which run
    outside of Python's lock, and a process would have to import torch first. A data set that is no
    `FileDataset` may not be thread-safe, and is read by one thread.

    Args:
        dataset: the split.
        split: its name.
        indices: of the samples, in this order.
        threads: number of threads.
        seconds: after which no further sample is started; None: no limit.

    Yields:
        One finding per sample, in the order of the indices.
    """
    end = None if seconds is None else monotonic() + seconds

    def one(index: int) -> Finding | None:
        if end is not None and monotonic() > end:
            return None
        return inspect_sample(dataset, split, index)

    pool = ThreadPoolExecutor(threads if isinstance(dataset, FileDataset) else 1)
    try:
        for finding in pool.map(one, indices):
            if finding is not None:
                yield finding
    finally:
        # also when the iteration ends early, e.g. by Ctrl-C
        pool.shutdown(wait=True, cancel_futures=True)


def inspect_sample(dataset: SegmentationDataset, split: str, index: int) -> Finding:
    """Read one sample and list all its problems; a damaged file does not raise."""
    if isinstance(dataset, FileDataset):
        files = dataset.files(index)
        label = files[1] if len(files) > 1 else None
        return _Inspection(split).files(dataset, dataset.name(index), files[0], label)
    return _Inspection(split).sample(dataset, index)


class _Inspection:
    """Collects the problems of one sample."""

    def __init__(self, split: str) -> None:
        self.split = split
        self.problems: list[Problem] = []

    def files(self, dataset: FileDataset, name: str, image: Path, label: Path | None) -> Finding:
        """A sample in files; the problems of both files are found, not only the first."""
        size, digest, pixels = None, None, None
        data = self._attempt("unreadable", image, lambda: read_bytes(image))
        if data is not None:
            digest = _digest(data)
            picture = self._attempt("unreadable", image, lambda: decode_image(data, image))
            size = None if picture is None else picture.shape[:2]
        if label is not None:
            pixels = self._label(dataset, size, image, label)
        return Finding(name, str(image), size, pixels, digest, tuple(self.problems))

    def sample(self, dataset: SegmentationDataset, index: int) -> Finding:
        """A sample of a data set that is not known to have files."""
        name = dataset.name(index)
        sample = self._attempt("unreadable", None, lambda: dataset.read(index), name)
        if sample is None:
            return Finding(name, name, problems=tuple(self.problems))
        image, label = sample.image, sample.label
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            found = f"{image.dtype} {image.shape}"
            self._add("unreadable", None, f"{name}: the image is {found}, not uint8 (H, W, 3)")
            return Finding(name, name, problems=tuple(self.problems))
        digest = _digest(np.ascontiguousarray(image))
        pixels = None
        if label.dtype != np.uint8 or label.ndim != 2:
            found = f"{label.dtype} {label.shape}"
            self._add("unreadable", None, f"{name}: the label is {found}, not uint8 (H, W)")
        elif image.shape[:2] != label.shape:
            self._attempt(
                "size",
                None,
                lambda: require_same_size(image.shape[:2], label.shape, name, f"label of {name}"),
            )
        else:
            pixels = self._count(label, len(dataset.classes), name, None)
        return Finding(name, name, image.shape[:2], pixels, digest, tuple(self.problems))

    def _label(
        self, dataset: FileDataset, size: tuple[int, ...] | None, image: Path, label: Path
    ) -> np.ndarray | None:
        """Pixels of each training id."""
        data = self._attempt("unreadable", label, lambda: read_bytes(label))
        if data is None:
            return None
        raw = self._attempt("unreadable", label, lambda: dataset.decode(data, label, None))
        if raw is None:
            return None
        if size is not None and size != raw.shape[:2]:
            self._attempt(
                "size", label, lambda: require_same_size(size, raw.shape[:2], image, label)
            )
        ids = self._attempt("ids", label, lambda: dataset.to_ids(raw, label))
        return None if ids is None else self._count(ids, len(dataset.classes), str(label), label)

    def _count(
        self, ids: np.ndarray, classes: int, name: str, file: Path | None
    ) -> np.ndarray | None:
        pixels = count_ids(ids)
        strange = [int(i) for i in np.flatnonzero(pixels[:IGNORE_INDEX]) if i >= classes]
        if not strange:
            return pixels
        listed = ", ".join(map(str, strange))
        what = f"{name}: id {listed} of no class ({int(pixels[strange].sum())} pixels)"
        self._add("ids", file, what, f"the training ids are 0..{classes - 1} and {IGNORE_INDEX}")
        return None

    def _attempt(
        self, kind: str, file: Path | None, action: Callable[[], _T], name: str = ""
    ) -> _T | None:
        try:
            return action()
        except UserError as error:
            self._add(kind, file, error.what, error.hint)
        except Exception as error:  # a damaged file can raise anything in a decoder
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self._add(kind, file, f"{file or name}: cannot be read ({reason})")
        return None

    def _add(self, kind: str, file: Path | None, what: str, hint: str | None = None) -> None:
        where = None if file is None else str(file)
        self.problems.append(Problem(kind, self.split, what, hint, where))


def count_ids(ids: np.ndarray) -> np.ndarray:
    """Pixels of each id: int64 (256,) of a uint8 map (H, W)."""
    # OpenCV: far faster than numpy.bincount, and outside of Python's lock.
    rows = max(1, _COUNTABLE // max(ids.shape[1], 1))
    total = np.zeros(256, np.int64)
    for first in range(0, len(ids), rows):
        part = np.ascontiguousarray(ids[first : first + rows])
        total += cv2.calcHist([part], [0], None, [256], [0, 256]).ravel().astype(np.int64)
    return total


def _digest(data: np.ndarray) -> bytes:
    # takes any buffer; the annotation is too narrow
    return hashlib.sha1(data, usedforsecurity=False).digest()  # type: ignore[arg-type]
