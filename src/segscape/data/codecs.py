"""Readers of image and label files, which decode only the rows that are needed.

Reading is strict: a file that is missing, empty, cut short or of the wrong kind is a
`segscape.errors.UserError` that names the file, never a grey image or a wrong label.

PNG stores rows from the top, each as a difference to the one above, so a decoder must unpack all
rows down to the last one of a crop. No decoder takes such a limit, but each reads the height in the
header: `_first_rows` writes the limit there. libspng (through imagecodecs) then stops at it, libpng
(in OpenCV) unpacks the rest nevertheless. Without imagecodecs, OpenCV decodes whole files.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from segscape.errors import UserError

try:
    import imagecodecs
except ImportError:  # no wheel for this platform
    imagecodecs = None  # type: ignore[assignment]

# Parallelism comes from the loader's processes: a thread pool inside each of them would only
# oversubscribe the cores (and does not survive a fork).
cv2.setNumThreads(0)
# OpenCV prints a line for every damaged file without its name; the errors below have it.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE = 0, 2, 3
_ORIENTATION = 0x0112  # EXIF
# of the file: the IHDR chunk's name and content, the height in it, its checksum
_HEADER, _HEIGHT, _CHECKSUM = slice(12, 29), slice(20, 24), slice(29, 33)


def read_image(path: Path | str) -> np.ndarray:
    """Read an image file.

    Returns:
        RGB, uint8, (H, W, 3).

    Raises:
        UserError: the file is missing, empty, cut short or not an image.
    """
    return decode_image(read_bytes(path), path)


def read_label(path: Path | str) -> np.ndarray:
    """Read a label file of class ids, see `decode_label`."""
    return decode_label(read_bytes(path), path)


def read_colours(path: Path | str) -> np.ndarray:
    """Read a label painted in colours, see `decode_colours`."""
    return decode_colours(read_bytes(path), path)


def decode_image(data: np.ndarray, path: Path | str, stop: int | None = None) -> np.ndarray:
    """Decode an image file.

    Args:
        data: the file's bytes.
        path: only named in errors.
        stop: the rows from this one on are not needed; the result may have them all the same.

    Returns:
        RGB, uint8, (H, W, 3).

    Raises:
        UserError: the file is cut short, damaged or not an image.
    """
    fast = _fast_png(data, path, stop, (_RGB,))
    if fast is not None:
        return fast
    if not _is_complete(data):
        _explain_broken(path, data)
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        _explain_broken(path, data)
        # PIL reads it although OpenCV does not: a format that OpenCV was built without.
        return np.asarray(Image.open(io.BytesIO(data.tobytes())).convert("RGB"))
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def decode_label(data: np.ndarray, path: Path | str, stop: int | None = None) -> np.ndarray:
    """Decode a label file that holds class ids.

    A palette image gives its indices, not its colours.

    Args:
        data: the file's bytes.
        path: only named in errors.
        stop: the rows from this one on are not needed; the result may have them all the same.

    Returns:
        ids as stored, uint8, (H, W).

    Raises:
        UserError: cut short, 16 bits deep, or coloured.
    """
    header = _png_header(data)
    if header is None:
        return _label_with_pil(path, data)
    depth, colour_type = header
    if depth == 16:
        raise UserError(
            f"{path}: the label has 16 bits per pixel",
            "class ids are 8-bit: save the label as an 8-bit single-channel PNG",
        )
    if colour_type == _PALETTE:
        return _label_with_pil(path, data)
    if colour_type != _GREY:
        raise _coloured(path)
    fast = _fast_png(data, path, stop, (_GREY,))
    if fast is not None:
        return fast
    label = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if label is None or not _is_complete(data):
        _explain_broken(path, data)
        raise UserError(f"{path}: cannot be read as a PNG label")
    # OpenCV scales ids of fewer than 8 bits to 0..255.
    return label if depth == 8 else label // (255 // (2**depth - 1))


def decode_colours(data: np.ndarray, path: Path | str, stop: int | None = None) -> np.ndarray:
    """Decode a label painted in colours: RGB, uint8, (H, W, 3).

    Raises:
        UserError: as `decode_image`, and for a file with one channel.
    """
    header = _png_header(data)
    if header is not None and header[1] in (0, 4):
        raise UserError(
            f"{path}: the label has one channel, but colours are expected",
            "this layout paints classes in RGB; the data set's layout option may be wrong",
        )
    return decode_image(data, path, stop)


def image_size(data: np.ndarray, path: Path | str) -> tuple[int, int]:
    """Height and width of an image file, from its header.

    Raises:
        UserError: the file is not an image.
    """
    if _png_header(data) is not None:
        width, height = struct.unpack(">II", data[16:24].tobytes())
        return height, width
    with _opened_by_pil(path, data) as image:
        # Decoding rotates a photograph upright: from 5 on its sides are swapped.
        swapped = image.getexif().get(_ORIENTATION, 1) >= 5
        return (image.width, image.height) if swapped else (image.height, image.width)


def read_bytes(path: Path | str) -> np.ndarray:
    """A whole file as uint8.

    Raises:
        UserError: the file is missing, empty, or cannot be read.
    """
    # Not cv2.imread, which does not open names that are not ASCII on every platform.
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise UserError(f"{path}: the file does not exist") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    if data.size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    return data


def _fast_png(
    data: np.ndarray, path: Path | str, stop: int | None, colour_types: tuple[int, ...]
) -> np.ndarray | None:
    """The first rows of a plain 8-bit PNG of these kinds; None for any other file."""
    header = _png_header(data)
    if imagecodecs is None or header is None or header[0] != 8 or header[1] not in colour_types:
        return None
    interlaced = data[28] != 0
    if interlaced or b"tRNS" in data[:2048].tobytes():
        return None
    if not _is_complete(data):
        _explain_broken(path, data)
    try:
        with _first_rows(data, stop) as shortened:
            # takes any buffer; the annotation is too narrow
            return imagecodecs.spng_decode(shortened)  # type: ignore[arg-type]
    except imagecodecs.SpngError as error:
        _explain_broken(path, data)
        raise UserError(f"{path}: the image is damaged or cut short ({error})") from None


@contextmanager
def _first_rows(data: np.ndarray, stop: int | None) -> Iterator[np.ndarray]:
    """The PNG file with a smaller height in its header, and the matching checksum.

    In place, since a copy of the file would cost a tenth of what the rows save; the header is
    restored afterwards.
    """
    before = data[_HEIGHT].copy(), data[_CHECKSUM].copy()
    height = struct.unpack(">I", before[0].tobytes())[0]
    if stop is None or not 0 < stop < height:
        yield data
        return
    try:
        data[_HEIGHT] = np.frombuffer(struct.pack(">I", stop), np.uint8)
        checksum = zlib.crc32(data[_HEADER].tobytes())
        data[_CHECKSUM] = np.frombuffer(struct.pack(">I", checksum), np.uint8)
        yield data
    finally:
        data[_HEIGHT], data[_CHECKSUM] = before


def _png_header(data: np.ndarray) -> tuple[int, int] | None:
    """Bits per channel and colour type of a PNG file, None for other formats."""
    head = data[:26].tobytes()
    if len(head) < 26 or not head.startswith(_SIGNATURE):
        return None
    depth, colour_type = struct.unpack("BB", head[24:26])
    return depth, colour_type


def _is_complete(data: np.ndarray) -> bool:
    """Whether the file has its format's end mark; True for formats without one.

    OpenCV fills the missing part of a truncated file with grey and reports no error.
    """
    head, tail = data[:2].tobytes(), data[-16:].tobytes()
    if head == b"\xff\xd8":
        return tail.endswith(b"\xff\xd9")
    if head == b"\x89P":
        return b"IEND" in tail
    return True


def _explain_broken(path: Path | str, data: np.ndarray) -> None:
    """Raise UserError with the fault that PIL finds; return when PIL reads the whole file."""
    with _opened_by_pil(path, data) as image:
        image.load()


@contextmanager
def _opened_by_pil(path: Path | str, data: np.ndarray) -> Iterator[Image.Image]:
    """The file as PIL opens it; PIL's errors become UserError."""
    try:
        with Image.open(io.BytesIO(data.tobytes())) as image:
            yield image
    except UnidentifiedImageError:
        raise UserError(f"{path}: is not an image ({data.size} bytes)") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: the image is damaged or cut short ({error})") from None


def _label_with_pil(path: Path | str, data: np.ndarray) -> np.ndarray:
    _explain_broken(path, data)
    image = Image.open(io.BytesIO(data.tobytes()))
    if image.format == "JPEG":
        raise UserError(
            f"{path}: the label is a JPEG, which alters class ids",
            "labels must be stored without loss, as 8-bit single-channel PNG",
        )
    if image.mode not in ("L", "P"):
        raise _coloured(path)
    return np.array(image)


def _coloured(path: Path | str) -> UserError:
    return UserError(
        f"{path}: the label is a colour image, but class ids are expected",
        "expected one channel of 8 bits (grey or palette) whose values are class ids",
    )
