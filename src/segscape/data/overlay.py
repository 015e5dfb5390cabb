"""Pictures of class maps: colours, overlays on the image, panels for the gallery."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Palette = Sequence[tuple[int, int, int]]

VOID_COLOUR = (0, 0, 0)
_GAP = 4
_TEXT = 13


def colorize(
    mask: np.ndarray, palette: Palette, void: tuple[int, int, int] = VOID_COLOUR
) -> np.ndarray:
    """Paint a class map.

    Args:
        mask: (H, W) uint8 class ids.
        palette: RGB colours of the ids 0, 1, ...; further ids (255 = ignore) are void.
        void: RGB colour of those.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    table = np.empty((256, 3), np.uint8)
    table[:] = void
    count = min(len(palette), 256)
    if count:
        table[:count] = np.asarray(palette, np.uint8)[:count]
    return table[np.asarray(mask).astype(np.uint8, copy=False)]


def overlay(
    image: np.ndarray, mask: np.ndarray, palette: Palette, alpha: float = 0.5, contour: bool = True
) -> np.ndarray:
    """Lay the colours of a class map over its image; void shows the image.

    Args:
        image: (H, W, 3) uint8, RGB.
        mask: (H, W) uint8 class ids.
        palette: RGB colours of the ids.
        alpha: share of the colour, 0..1.
        contour: draw the borders between classes in their full colour.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        ValueError: image and mask differ in size.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"the image is {image.shape[:2]} and the mask {mask.shape} (H, W)")
    named = mask < len(palette)
    share = np.where(named, alpha, 0.0)
    if contour:
        share = np.where(named & _borders(mask), 1.0, share)
    # 8-bit fixed point: about five times as fast as floats on a big image.
    weight = np.round(share * 256).astype(np.uint16)[..., None]
    colours = colorize(mask, palette).astype(np.uint32)
    return ((image * (256 - weight).astype(np.uint32) + colours * weight + 128) >> 8).astype(
        np.uint8
    )


def error_map(label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Where a prediction is wrong: red; right: light grey; void in the label: black.

    Args:
        label: (H, W) class ids, 255 = ignore.
        prediction: (H, W) class ids.

    Returns:
        (H, W, 3) uint8, RGB.
    """
    kind = np.where(label == prediction, 0, 1)
    kind[label == 255] = 2
    return np.array([(205, 205, 205), (200, 20, 40), VOID_COLOUR], np.uint8)[kind]


def gallery_panel(
    image: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    palette: Palette,
    classes: Sequence[str],
    errors: bool = False,
) -> np.ndarray:
    """One picture that shows image, ground truth and prediction side by side, with a legend.

    Args:
        image: (H, W, 3) uint8, RGB.
        label: (H, W) class ids, 255 = ignore.
        prediction: (H, W) class ids.
        palette: RGB colours of the ids; missing ones are generated.
        classes: names of the ids; those that occur are in the legend.
        errors: add a map of the wrong pixels.

    Returns:
        (H', W', 3) uint8, RGB.
    """
    count = 1 + max(_largest(label), _largest(prediction), len(classes) - 1)
    palette = list(palette) + distinct_colours(count)[len(palette) :]
    columns = [
        ("image", image),
        ("ground truth", colorize(label, palette)),
        ("prediction", colorize(prediction, palette)),
    ]
    if errors:
        columns.append(("errors", error_map(label, prediction)))
    height, width = label.shape
    scale = max(1, round(240 / width))  # small images: enlarge so that the legend's text fits
    total = len(columns) * width * scale + (len(columns) - 1) * _GAP
    entries = legend_entries((label, prediction), classes, palette)
    if (label == 255).any():
        entries.append(("void", VOID_COLOUR))
    names = legend(entries, total)
    top = _TEXT + 2 * _GAP
    canvas = Image.new("RGB", (total, top + height * scale + _GAP + names.height), "white")
    draw = ImageDraw.Draw(canvas)
    for place, (title, picture) in enumerate(columns):
        left = place * (width * scale + _GAP)
        draw.text((left + 2, _GAP - 1), title, fill="black", font=font())
        canvas.paste(
            Image.fromarray(picture).resize(
                (width * scale, height * scale), Image.Resampling.NEAREST
            ),
            (left, top),
        )
    canvas.paste(names, (0, top + height * scale + _GAP))
    return np.array(canvas)


def legend_entries(
    maps: Iterable[np.ndarray], classes: Sequence[str], palette: Palette
) -> list[tuple[str, tuple[int, ...]]]:
    """Name and colour of the classes that occur in class maps (H, W), without void."""
    present = sum(np.bincount(each.ravel(), minlength=256) for each in maps)
    return [
        (classes[i] if i < len(classes) else f"class {i}", tuple(palette[i]))
        for i in map(int, np.flatnonzero(present))
        if i < len(palette)
    ]


def legend(entries: Sequence[tuple[str, tuple[int, ...]]], width: int) -> Image.Image:
    """A strip of coloured boxes with names, in as many lines as needed.

    Args:
        entries: name and RGB colour of each class.
        width: of the strip, pixels.
    """
    text, box, line = font(), _TEXT - 2, _TEXT + 6
    places, x, y = [], 2, 2
    for name, colour in entries:
        length = box + 5 + int(text.getlength(name)) + 14
        if x + length > width and x > 2:
            x, y = 2, y + line
        places.append((x, y, name, colour))
        x += length
    strip = Image.new("RGB", (width, y + line), "white")
    draw = ImageDraw.Draw(strip)
    for x, y, name, colour in places:
        draw.rectangle((x, y + 1, x + box, y + 1 + box), fill=colour, outline=(90, 90, 90))
        draw.text((x + box + 5, y), name, fill="black", font=text)
    return strip


def font() -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """The font of titles and legends, 13 pixels high."""
    return ImageFont.load_default(_TEXT)


def _borders(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels whose right or lower neighbour is of another class."""
    found = np.zeros(mask.shape, bool)
    found[:, :-1] = mask[:, 1:] != mask[:, :-1]
    found[:-1] |= mask[1:] != mask[:-1]
    return found


def _largest(mask: np.ndarray) -> int:
    return int(mask[mask != 255].max(initial=0))


def distinct_colours(count: int) -> list[tuple[int, int, int]]:
    """RGB colours for classes that have none: hues a golden angle apart."""
    rows = [colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.55 + 0.4 * (i % 2), 0.9) for i in range(count)]
    return [(round(r * 255), round(g * 255), round(b * 255)) for r, g, b in rows]
