"""What every data set gives, and the readers of image and label files.

Reading is strict: a file that is missing, empty, cut short or of the wrong kind is a
`segscape.errors.UserError` that names the file, never a grey image or a wrong label.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from segscape.errors import UserError

# Parallelism comes from the loader's processes: a thread pool inside each of them only
# makes them fight for the cores (and does not survive a fork).
cv2.setNumThreads(0)

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


@runtime_checkable
class SegmentationDataset(Protocol):
    """One split of a data set, read by index."""

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
        """A short name of the sample, unique within the split, fit for a file name."""
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
        """Translate a label (H, W) uint8; `path` is only named in the error.

        Raises:
            UserError: the label holds an id that the data set does not know.
        """
        mapped = cv2.LUT(label, self.table)
        if (mapped == _UNKNOWN).any():
            known = np.flatnonzero(self.table != _UNKNOWN)
            strange = [int(i) for i in np.unique(label) if self.table[i] == _UNKNOWN]
            raise UserError(
                f"{path}: label id {_enumerate(strange)} is not known",
                f"The ids of this data set are {_ranges(known)}.",
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
        bgra = cv2.cvtColor(colours, cv2.COLOR_RGB2BGRA)
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
                f"{int(unknown.sum())} of {unknown.size} pixels have no class. Was the label "
                "resized with interpolation or saved as JPEG?",
            )
        return mapped


def read_image(path: Path | str) -> np.ndarray:
    """Read an image file.

    Returns:
        RGB, uint8, (H, W, 3).

    Raises:
        UserError: the file is missing, empty, cut short or not an image.
    """
    data = _read_bytes(path)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None or not _is_complete(data):
        _explain_broken(path, data)
        # PIL reads it although OpenCV does not: a format that OpenCV was built without.
        if image is None:
            return np.asarray(Image.open(io.BytesIO(data.tobytes())).convert("RGB"))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def read_label(path: Path | str) -> np.ndarray:
    """Read a label file that holds class ids.

    A palette image gives its indices, not its colours.

    Returns:
        ids as stored, uint8, (H, W).

    Raises:
        UserError: missing, empty, cut short, 16 bits deep, or coloured.
    """
    data = _read_bytes(path)
    header = _png_header(data)
    if header is None:
        return _read_label_with_pil(path, data)
    depth, colour_type = header
    if depth == 16:
        raise UserError(
            f"{path}: the label has 16 bits per pixel",
            "Class ids are 8-bit: save the label as an 8-bit single-channel PNG.",
        )
    if colour_type == 3:
        return _read_label_with_pil(path, data)
    if colour_type != 0:
        raise _coloured(path)
    label = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if label is None or not _is_complete(data):
        _explain_broken(path, data)
        raise UserError(f"{path}: cannot be read as a PNG label")
    # Ids of fewer than 8 bits come out stretched to 0..255.
    return label if depth == 8 else label // (255 // (2**depth - 1))


def read_colours(path: Path | str) -> np.ndarray:
    """Read a label painted in colours: RGB, uint8, (H, W, 3).

    Raises:
        UserError: as `read_image`, and for a file with one channel.
    """
    header = _png_header(_read_bytes(path))
    if header is not None and header[1] in (0, 4):
        raise UserError(
            f"{path}: the label has one channel, but colours are expected",
            "This layout paints classes in RGB; the data set's layout option may be wrong.",
        )
    return read_image(path)


def require_same_size(
    image: np.ndarray, label: np.ndarray, image_path: Path | str, label_path: Path | str
) -> None:
    """Raise UserError unless image and label have the same height and width."""
    if image.shape[:2] != label.shape[:2]:
        (h, w), (lh, lw) = image.shape[:2], label.shape[:2]
        raise UserError(f"{label_path}: the label is {lw}x{lh}, but {image_path} is {w}x{h}")


def _read_bytes(path: Path | str) -> np.ndarray:
    # Not cv2.imread: this also takes names that are not ASCII on every platform.
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise UserError(f"{path}: the file does not exist") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data.size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    return data


def _png_header(data: np.ndarray) -> tuple[int, int] | None:
    """Bits per channel and colour type of a PNG file, None for other formats."""
    head = data[:26].tobytes()
    if len(head) < 26 or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    depth, colour_type = struct.unpack("BB", head[24:26])
    return depth, colour_type


def _is_complete(data: np.ndarray) -> bool:
    """Whether the file ends as its format says; True for formats without an end mark.

    OpenCV fills what is missing of a truncated file with grey and reports nothing.
    """
    head, tail = data[:2].tobytes(), data[-16:].tobytes()
    if head == b"\xff\xd8":
        return tail.endswith(b"\xff\xd9")
    if head == b"\x89P":
        return b"IEND" in tail
    return True


def _explain_broken(path: Path | str, data: np.ndarray) -> None:
    """Raise UserError with what PIL finds wrong; return when PIL reads the whole file."""
    try:
        Image.open(io.BytesIO(data.tobytes())).load()
    except UnidentifiedImageError:
        raise UserError(f"{path}: is not an image ({data.size} bytes)") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: the image is damaged or cut short ({error})") from None


def _read_label_with_pil(path: Path | str, data: np.ndarray) -> np.ndarray:
    _explain_broken(path, data)
    image = Image.open(io.BytesIO(data.tobytes()))
    if image.format == "JPEG":
        raise UserError(
            f"{path}: the label is a JPEG, which alters class ids",
            "Labels must be stored without loss, as 8-bit single-channel PNG.",
        )
    if image.mode not in ("L", "P"):
        raise _coloured(path)
    return np.array(image)


def _coloured(path: Path | str) -> UserError:
    return UserError(
        f"{path}: the label is a colour image, but class ids are expected",
        "Expected one channel of 8 bits (grey or palette) whose values are class ids.",
    )


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
