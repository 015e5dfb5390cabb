"""Decoded samples, kept in memory or on a disk: `data.cache`.

Both use a `SampleStore`, which the first process that needs a sample fills: the first epoch
decodes, all others read. A sample that is not kept, because it does not fit or was damaged, is
decoded again. No pixel depends on the cache.

`memory` is a file without a name (memfd) that all processes of this user on the machine open
through the first of them, by /proc/PID/fd: loader workers, processes of one run, other runs. It
disappears when the last of them ends, by whatever cause, and a container's limit on /dev/shm does
not apply.

`disk` is a file per split and content version in `data.cache_dir`. It stays.
"""

from __future__ import annotations

import fcntl
import functools
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from segscape.data.base import (
    LazySample,
    Palette,
    Sample,
    SegmentationDataset,
    WholeSample,
    read_whole,
)
from segscape.data.resource_limits import available_memory
from segscape.data.storage.store import RESERVE, SampleStore, format_store, store_bytes
from segscape.data.storage.versions import content_version, sample_sizes
from segscape.errors import UserError

CACHES = ("none", "memory", "disk")
log = logging.getLogger(__name__)


class CachedDataset:
    """A split whose samples are decoded once.

    Everything else, such as `files`, is delegated to the data set.

    Args:
        dataset: the split.
        store: has space for each of its samples.
    """

    classes: tuple[str, ...]
    palette: Palette
    ignore_index: int

    def __init__(self, dataset: SegmentationDataset, store: SampleStore) -> None:
        assert len(store) == len(dataset)
        self.dataset = dataset
        self.store = store
        self.classes, self.palette = dataset.classes, dataset.palette
        self.ignore_index = dataset.ignore_index

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "dataset":  # while unpickling
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def read(self, index: int) -> Sample:
        """Read one sample; raises UserError naming the file that is at fault."""
        return read_whole(self.open(index))

    def open(self, index: int) -> LazySample:
        """One sample; decoded and stored if it is not in the store yet."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if self.store.has(index):
            return StoredSample(self.store, index, self.dataset)
        sample = self.dataset.read(index)
        self.store.put(index, sample)
        return WholeSample(sample)

    def name(self, index: int) -> str:
        """The sample's name."""
        return self.dataset.name(index)


class StoredSample:
    """A sample in the store.

    Args:
        store: of decoded samples.
        index: of the sample.
        dataset: decodes it if the file has been cut short in the meantime.
    """

    def __init__(self, store: SampleStore, index: int, dataset: SegmentationDataset) -> None:
        self._store = store
        self._index = index
        self._dataset = dataset

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._store.size(self._index)

    def window(self, rows: slice, columns: slice) -> Sample:
        """A window; nothing else is read."""
        found = self._store.window(self._index, rows, columns)
        if found is not None:
            return found
        return WholeSample(self._dataset.read(self._index)).window(rows, columns)

    def label(self) -> np.ndarray:
        """The whole label (H, W), without the image."""
        found = self._store.label(self._index)
        return self._dataset.read(self._index).label if found is None else found


def cached(
    dataset: SegmentationDataset, cache: str, name: str, cache_dir: Path | None = None
) -> SegmentationDataset:
    """The split behind a cache.

    Args:
        dataset: the split.
        cache: one of CACHES.
        name: of data set and split, for the file.
        cache_dir: of the disk cache; None: the user's.

    Raises:
        UserError: no memory for it, or the folder cannot be written.
    """
    if cache == "none" or len(dataset) == 0:
        return dataset
    if not hasattr(os, "preadv"):
        raise UserError(f"data.cache={cache} needs Linux or macOS", "use data.cache=none")
    if cache == "memory":
        return CachedDataset(dataset, memory_store(dataset, name))
    return CachedDataset(dataset, disk_store(dataset, name, cache_dir))


def default_cache_dir() -> Path:
    """The user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "segscape"


def disk_store(
    dataset: SegmentationDataset, name: str, cache_dir: Path | None = None
) -> SampleStore:
    """The split's file on the disk; an empty one is made if there is none.

    Raises:
        UserError: the folder cannot be written.
    """
    folder = default_cache_dir() if cache_dir is None else cache_dir
    path = folder / f"{name}-{content_version(dataset)[:16]}.samples"
    room = functools.partial(free_on_disk, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            try:
                return SampleStore(path, room)
            except ValueError as error:
                log.warning("%s; it is made again", error)
                path.unlink()
        _create(path, sample_sizes(dataset))
        store = SampleStore(path, room)
    except OSError as error:
        raise UserError(
            f"data.cache=disk: {folder} cannot be used ({error.strerror or error})",
            "give another folder with data.cache_dir=DIR, or use data.cache=none",
        ) from error
    free = free_on_disk(folder)
    if free is not None and free - RESERVE < store.nbytes:
        log.warning(
            "data.cache=disk: the %s needs %.1f GB, %s has %.1f GB free; samples that do not fit "
            "are decoded every time",
            _described(name),
            store.nbytes / 1e9,
            folder,
            free / 1e9,
        )
    return store


def other_versions(store: SampleStore) -> list[Path]:
    """Files of the same split in the same folder, of other contents or older code."""
    name = store.path.stem.rpartition("-")[0]
    length = len(store.path.stem)
    found = store.path.parent.glob(f"{name}-*.samples")
    return sorted(p for p in found if p != store.path and len(p.stem) == length)


def memory_store(dataset: SegmentationDataset, name: str) -> SampleStore:
    """The split's store in memory: that of another process if there is one.

    Raises:
        UserError: it does not fit, or the system has no such files.
    """
    if not hasattr(os, "memfd_create"):
        raise UserError("data.cache=memory needs Linux", "use data.cache=disk")
    version = content_version(dataset)[:16]
    with _locked_pointer(version) as pointer:
        shared = _store_of_another(pointer.read_text(), version)
        if shared is not None:
            return shared
        sizes = sample_sizes(dataset)
        _require_memory(store_bytes(sizes), name, len(dataset))
        file = os.memfd_create(f"segscape-{version}")
        format_store(file, sizes)
        path = Path(f"/proc/{os.getpid()}/fd/{file}")
        store = SampleStore(path, available_memory, trusted=True)
        # The store has its own file descriptor; other processes open this one by its number.
        weakref.finalize(store, os.close, file)
        pointer.write_text(str(path))
    _made_here.add(store)
    return store


_made_here: weakref.WeakSet[SampleStore] = weakref.WeakSet()


def _require_memory(nbytes: int, name: str, count: int) -> None:
    free = available_memory()
    if free is None:
        return
    # Memory that other splits have reserved but not filled yet is not free either.
    free -= sum(max(0, store.nbytes - store.filled()) for store in _made_here) + RESERVE
    if nbytes > free:
        raise UserError(
            f"data.cache=memory: the {_described(name)} needs {nbytes / 1e9:.1f} GB for {count} "
            f"samples, but {max(free, 0) / 1e9:.1f} GB are available",
            "use data.cache=disk, which takes no memory of the processes",
        )


@contextmanager
def _locked_pointer(version: str) -> Iterator[Path]:
    """The file with the path of the first process's store; locked by one process at a time."""
    folder = Path(tempfile.gettempdir()) / f"segscape-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to another user", "set TMPDIR to a folder of yours")
    pointer = folder / f"memory-{version}"
    with pointer.open("a") as locked:
        fcntl.flock(locked, fcntl.LOCK_EX)
        yield pointer


def _store_of_another(text: str, version: str) -> SampleStore | None:
    """The store at the path of a pointer file; None when its process has ended."""
    path = Path(text)
    try:
        if not str(path.readlink()).startswith(f"/memfd:segscape-{version} "):
            return None
        return SampleStore(path, available_memory, trusted=True)
    except (OSError, ValueError):
        return None


def _create(path: Path, sizes: np.ndarray) -> None:
    """Make an empty store under its name atomically, unless another process was faster."""
    file, name = tempfile.mkstemp(prefix=f".{path.stem}-", dir=path.parent)
    temporary = Path(name)
    try:
        format_store(file, sizes)
        mask = os.umask(0o077)
        os.umask(mask)
        os.fchmod(file, 0o666 & ~mask)  # others may read it, and decode what is not in it
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            temporary.replace(path)
    finally:
        os.close(file)
        temporary.unlink(missing_ok=True)


def free_on_disk(folder: Path) -> int | None:
    """Free bytes of the disk of a folder; None if unknown."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _described(name: str) -> str:
    dataset, _, split = name.rpartition("-")
    return f"{split} split of {dataset}"
