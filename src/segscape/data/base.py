"""The interface of data sets, and the mapping of label files' ids and colours to training ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np

from segscape.data.codecs import (
    decode_colours,
    decode_image,
    decode_label,
    image_size,
    read_bytes,
    read_image,
)
from segscape.errors import UserError

IGNORE_INDEX = 255
_UNKNOWN = 254

Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Sample:
    """One image with its labels.

    Attributes:
        image: RGB, uint8, (H, W, 3).
        label: training ids, uint8, (H, W); 255 is ignored.
    """

    image: np.ndarray
    label: np.ndarray


class LazySample(Protocol):
    """A sample whose pixels are read on demand, window by window.

    Attributes:
        size: height and width, known without decoding.
    """

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        ...

    def window(self, rows: slice, columns: slice) -> Sample:
        """A window of image and label; start and stop are within the size."""
        ...

    def label(self) -> np.ndarray:
        """The whole label (H, W), for crops that depend on it."""
        ...


@dataclass(frozen=True)
class WholeSample:
    """A sample in memory."""

    sample: Sample

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.sample.label.shape
        return height, width

    def window(self, rows: slice, columns: slice) -> Sample:
        """Views of these pixels."""
        return Sample(self.sample.image[rows, columns], self.sample.label[rows, columns])

    def label(self) -> np.ndarray:
        """The whole label (H, W)."""
        return self.sample.label


@runtime_checkable
class SegmentationDataset(Protocol):
    """One split of a data set, read by index.

    A data set may also have `open(index) -> LazySample`, from which a crop reads only the pixels
    that it needs (see `open_sample`), `files(index)`, the paths behind a sample, and
    `has_labels = False` where the labels of a split are not public (see `has_labels`).
    """

    classes: tuple[str, ...]
    palette: Palette
    ignore_index: int

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def read(self, index: int) -> Sample:
        """Read one sample; raises UserError naming the file that is at fault."""
        ...

    def name(self, index: int) -> str:
        """A short name of the sample, unique within the split, usable as a file name."""
        ...


class LabelMap:
    """Maps the ids of a file to training ids while it is read.

    Args:
        mapping: file id -> training id, both 0..255; 255 as training id means ignored.
            Training ids must be below 254.
        keep_ignore: whether file id 255 is known and ignored too.
    """

    def __init__(self, mapping: Mapping[int, int], keep_ignore: bool = True) -> None:
        self.table = np.full(256, _UNKNOWN, np.uint8)
        if keep_ignore:
            self.table[IGNORE_INDEX] = IGNORE_INDEX
        for source, target in mapping.items():
            assert target != _UNKNOWN, "254 marks unknown ids"
            self.table[source] = target

    def __call__(self, label: np.ndarray, path: Path | str) -> np.ndarray:
        """Translate a label (H, W) uint8; `path` is only for the error.

        Raises:
            UserError: the label holds an unknown id.
        """
        mapped = cv2.LUT(np.ascontiguousarray(label), self.table)
        if (mapped == _UNKNOWN).any():
            known = np.flatnonzero(self.table != _UNKNOWN)
            strange = [int(i) for i in np.unique(label) if self.table[i] == _UNKNOWN]
            pixels = int((mapped == _UNKNOWN).sum())
            raise UserError(
                f"{path}: label id {_enumerate(strange)} is not known "
                f"({pixels} of {mapped.size} pixels)",
                f"the ids of this data set are {_ranges(known)}",
            )
        return mapped


class ColourMap:
    """Maps a label painted in RGB colours to training ids.

    The 24 bits of a colour index one table of 16 MiB, so decoding costs one gather.

    Args:
        colours: (red, green, blue) -> training id; 255 means ignored.
    """

    def __init__(self, colours: Mapping[tuple[int, int, int], int]) -> None:
        self.table = np.full(1 << 24, _UNKNOWN, np.uint8)
        for (red, green, blue), target in colours.items():
            assert target != _UNKNOWN, "254 marks unknown colours"
            self.table[red << 16 | green << 8 | blue] = target

    def __call__(self, colours: np.ndarray, path: Path | str) -> np.ndarray:
        """Decode an RGB label (H, W, 3) uint8 into ids (H, W) uint8.

        Raises:
            UserError: a colour is not in the table; `path` and the colour are named.
        """
        bgra = cv2.cvtColor(np.ascontiguousarray(colours), cv2.COLOR_RGB2BGRA)
        packed = bgra.view("<u4")[..., 0] & 0xFFFFFF
        mapped = self.table.take(packed)
        unknown = mapped == _UNKNOWN
        if unknown.any():
            values, counts = np.unique(packed[unknown], return_counts=True)
            value = int(values[counts.argmax()])
            colour = (value >> 16, value >> 8 & 255, value & 255)
            others = f" and {len(values) - 1} more" if len(values) > 1 else ""
            raise UserError(
                f"{path}: label colour {colour}{others} is not known",
                f"{int(unknown.sum())} of {unknown.size} pixels have no class: was the label "
                "resized with interpolation or saved as JPEG?",
            )
        return mapped


def open_sample(dataset: SegmentationDataset, index: int) -> LazySample:
    """A sample of any data set; one without `open` is read completely.

    Raises:
        UserError: naming the file that is at fault.
    """
    opener = getattr(dataset, "open", None)
    if opener is None:
        return WholeSample(dataset.read(index))
    lazy: LazySample = opener(index)
    return lazy


def read_whole(lazy: LazySample) -> Sample:
    """All pixels of a sample.

    Raises:
        UserError: naming the file that is at fault.
    """
    height, width = lazy.size
    return lazy.window(slice(0, height), slice(0, width))


def has_labels(dataset: SegmentationDataset) -> bool:
    """Whether the labels of a split can be read; False for test splits with images only."""
    return bool(getattr(dataset, "has_labels", True))


class FileDataset:
    """A split whose samples are pairs of an image file and a label file.

    Subclasses set `classes` and `palette`, and one of `_ids` and `_colours`, or override `to_ids`.

    Args:
        pairs: image and label file of each sample.
    """

    classes: tuple[str, ...]
    palette: Palette
    ignore_index: int = IGNORE_INDEX
    has_labels: bool = True
    # What label files hold: ids, or colours. Both are part of the name of a disk cache.
    _ids: LabelMap | None = None
    _colours: ColourMap | None = None

    def __init__(self, pairs: Sequence[tuple[Path, Path]]) -> None:
        self.pairs = [Pair(*pair) for pair in pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> Sample:
        """Read one sample; raises UserError naming the file that is at fault."""
        return read_whole(self.open(index))

    def image(self, index: int) -> np.ndarray:
        """The image (H, W, 3), RGB uint8; raises UserError naming the file that is at fault."""
        return read_image(self.pairs[index].image)

    def open(self, index: int) -> FileSample:
        """One sample, of which windows can be read."""
        return FileSample(self, self.pairs[index])

    def files(self, index: int) -> tuple[Path, Path]:
        """Image and label file of a sample."""
        return self.pairs[index]

    def name(self, index: int) -> str:
        """The image file's name without its extension."""
        return self.pairs[index].image.stem

    def decode(self, data: np.ndarray, path: Path, stop: int | None) -> np.ndarray:
        """The raw label of a file, ids (H, W) or colours (H, W, 3); rows from `stop` on are not
        needed."""
        decoder = decode_label if self._colours is None else decode_colours
        return decoder(data, path, stop)

    def label_size(self, data: np.ndarray, path: Path) -> tuple[int, int] | None:
        """Height and width from a label file's header; None if only known after decoding."""
        return image_size(data, path)

    def to_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """Training ids (H, W) of a window of the raw label."""
        mapping = self._ids if self._colours is None else self._colours
        assert mapping is not None, f"{type(self).__name__} sets neither _ids nor _colours"
        return mapping(raw, path)


class Pair(NamedTuple):
    """The files of one sample."""

    image: Path
    label: Path


class FileSample:
    """A sample in two files; each is read from the disk once, when it is first needed.

    Args:
        dataset: decodes its labels.
        pair: the files.
    """

    def __init__(self, dataset: FileDataset, pair: Pair) -> None:
        self._dataset = dataset
        self._pair = pair

    @cached_property
    def _image(self) -> np.ndarray:
        return read_bytes(self._pair.image)

    @cached_property
    def _label(self) -> np.ndarray:
        return read_bytes(self._pair.label)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the image, from its header."""
        return image_size(self._image, self._pair.image)

    def window(self, rows: slice, columns: slice) -> Sample:
        """These pixels of image and label.

        Raises:
            UserError: a damaged file, unknown ids, or a label of another size.
        """
        image = decode_image(self._image, self._pair.image, rows.stop)[rows, columns]
        # A label that was decoded for the crop is not decoded again.
        whole: np.ndarray | None = vars(self).get("_ids")
        if whole is not None:
            return Sample(image, whole[rows, columns])
        label = self._raw_label(rows.stop)[rows, columns]
        return Sample(image, self._dataset.to_ids(label, self._pair.label))

    def label(self) -> np.ndarray:
        """The whole label (H, W), as training ids; it is decoded once."""
        return self._ids

    @cached_property
    def _ids(self) -> np.ndarray:
        return self._dataset.to_ids(self._raw_label(self.size[0]), self._pair.label)

    def _raw_label(self, stop: int) -> np.ndarray:
        path = self._pair.label
        found = self._dataset.label_size(self._label, path)
        raw = self._dataset.decode(self._label, path, stop)
        require_same_size(self.size, found or raw.shape[:2], self._pair.image, path)
        return raw


def require_same_size(
    image: tuple[int, ...], label: tuple[int, ...], image_path: Path | str, label_path: Path | str
) -> None:
    """Raise UserError unless image and label have the same (height, width)."""
    if image != label:
        (h, w), (lh, lw) = image, label
        raise UserError(f"{label_path}: the label is {lw}x{lh}, but {image_path} is {w}x{h}")


def _enumerate(values: Iterable[int]) -> str:
    items = [str(v) for v in values]
    return ", ".join(items[:8]) + (f" and {len(items) - 8} more" if len(items) > 8 else "")


def _ranges(values: Iterable[int]) -> str:
    """Ids as text: 0..11, 255."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = int(value)
        else:
            runs.append([int(value), int(value)])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)
