"""Reading image files of any common format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from segscape.errors import UserError, nearest

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def read_image(path: str | Path) -> np.ndarray:
    """Read an image as viewers show it: EXIF orientation applied, palette and grey as RGB.

    Args:
        path: an image file.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UserError: the file is missing or cannot be read; the message names it.
    """
    path = Path(path)
    check_image(path)
    try:
        with Image.open(path) as opened:
            return to_rgb(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(
            f"cannot read the image {path}: {error}", "is the file complete? copy it again"
        ) from error


def check_image(path: Path) -> None:
    """Find out from the first bytes of a file whether it is an image.

    Raises:
        UserError: missing, a directory, or not an image.
    """
    if not path.exists():
        raise UserError(f"there is no image {path}", _where_else(path))
    if path.is_dir():
        raise UserError(f"{path} is a directory, not an image")
    try:
        with Image.open(path):
            pass
    except UnidentifiedImageError as error:
        raise UserError(
            f"{path} is not an image that can be read", f"known formats: {' '.join(SUFFIXES)}"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"cannot read the image {path}: {error}") from error


def to_rgb(image: Image.Image) -> np.ndarray:
    """A PIL image as (H, W, 3) uint8 RGB, turned by its EXIF orientation."""
    turned = ImageOps.exif_transpose(image)
    if turned.mode in ("I", "I;16", "I;16B", "I;16L"):
        # PIL cuts 16 bits off at 255 instead of scaling them.
        grey = (np.asarray(turned, dtype=np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.array(turned.convert("RGB"))


def expand(paths: Sequence[str | Path]) -> list[Path]:
    """Files as they are, directories as the images directly in them, by name; each file once.

    Raises:
        UserError: nothing given, or a directory without images.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            found.setdefault(path)
            continue
        inside = sorted(each for each in path.iterdir() if each.suffix.lower() in SUFFIXES)
        if not inside:
            raise UserError(
                f"there is no image in the directory {path}", f"known formats: {' '.join(SUFFIXES)}"
            )
        found.update(dict.fromkeys(inside))
    if not found:
        raise UserError("no image was given", "name image files, or directories of them")
    return list({Path(os.path.abspath(path)): path for path in found}.values())  # noqa: PTH100


def _where_else(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the directory {folder} does not exist either; this is {Path.cwd()}"
    near = nearest(path.name, (each.name for each in folder.iterdir()))
    return f"did you mean {folder / near}?" if near else f"the directory {folder} exists"
