"""One value for everything that decoded samples depend on: the files, and the code."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from segscape.config.moved import first_target
from segscape.data.base import SegmentationDataset, open_sample
from segscape.data.codecs import image_size, read_bytes
from segscape.errors import UserError

# To be raised when the same files give other pixels or ids: codecs.py, base.py.
DECODING_VERSION = 1
_THREADS = 16
# Enough for the header of most images.
_HEAD = 1 << 16


def content_version(dataset: SegmentationDataset) -> str:
    """A digest that differs when a split's samples may differ.

    It covers the files' names below their common folder, their sizes and times of change, the
    options and label mapping in the data set object, and the version of the decoding. A data set
    without `files` is generated: the source files of its package are covered. A data set may also
    define a method `content_version()`.
    """
    own = getattr(dataset, "content_version", None)
    if own is not None:
        return str(own())
    digest = hashlib.sha256(f"decoding {DECODING_VERSION}".encode())
    digest.update(_name(type(dataset)).encode())
    _feed(digest, {k: v for k, v in vars(dataset).items() if k not in ("pairs", "root")})
    files = getattr(dataset, "files", None)
    if files is None:
        for source in sorted(Path(inspect.getfile(type(dataset))).parent.glob("*.py")):
            digest.update(source.read_bytes())
        return digest.hexdigest()
    paths = [path.absolute() for index in range(len(dataset)) for path in files(index)]
    common = Path(os.path.commonpath(paths)) if paths else Path()
    with ThreadPoolExecutor(_THREADS) as pool:
        for path, (size, changed) in zip(paths, pool.map(_state, paths), strict=True):
            digest.update(f"{path.relative_to(common)}\0{size}\0{changed}\0".encode())
    return digest.hexdigest()


def sample_sizes(dataset: SegmentationDataset) -> np.ndarray:
    """Height and width of every sample (N, 2), from headers only where there are files.

    (0, 0) for an image that cannot be read: reading the sample raises the reason.
    """

    def size(index: int) -> tuple[int, int]:
        try:
            return sample_size(dataset, index)
        except UserError:
            return 0, 0

    with ThreadPoolExecutor(_THREADS) as pool:
        return np.array(list(pool.map(size, range(len(dataset)))), np.int64).reshape(-1, 2)


def sample_size(dataset: SegmentationDataset, index: int) -> tuple[int, int]:
    """Height and width of a sample, without decoding it if possible.

    Raises:
        UserError: naming the file that is at fault.
    """
    own = getattr(dataset, "sample_size", None)
    if own is not None:
        height, width = own(index)
        return height, width
    files = getattr(dataset, "files", None)
    if files is None:
        return open_sample(dataset, index).size
    path = files(index)[0]
    try:
        return image_size(np.fromfile(path, np.uint8, _HEAD), path)
    except (UserError, OSError):  # a long header, or a missing file
        return image_size(read_bytes(path), path)


def _state(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return -1, -1
    return found.st_size, found.st_mtime_ns


def _name(thing: Any) -> str:
    """Of a class or function, as it was first called: moving a module invalidates no cache."""
    name = getattr(thing, "__qualname__", repr(thing))
    return first_target(f"{getattr(thing, '__module__', '')}.{name}")


def _feed(digest: Any, value: Any) -> None:
    """Add a value to the digest by its content; paths only by their type."""
    digest.update(type(value).__name__.encode())
    if value is None or isinstance(value, bool | int | float | str | bytes):
        digest.update(repr(value).encode())
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).data)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            digest.update(repr(key).encode())
            _feed(digest, value[key])
    elif isinstance(value, Set):
        digest.update(repr(sorted(map(repr, value))).encode())
    elif isinstance(value, Sequence):
        digest.update(str(len(value)).encode())
        for item in value:
            _feed(digest, item)
    elif inspect.isroutine(value) or inspect.isclass(value):
        digest.update(_name(value).encode())
    elif not isinstance(value, Path) and hasattr(value, "__dict__"):
        digest.update(_name(type(value)).encode())
        _feed(digest, vars(value))
