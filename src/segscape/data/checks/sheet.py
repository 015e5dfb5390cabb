"""A sheet of training samples as the network receives them: each image beside its overlay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from segscape.data.base import IGNORE_INDEX
from segscape.data.loader import EvalItems, Failure, TrainItems
from segscape.data.module import SegmentationDataModule
from segscape.data.overlay import distinct_colours, font, legend, legend_entries, overlay
from segscape.data.sampler import TrainOrder
from segscape.errors import UserError

WIDTH = 1600
_MARGIN, _GAP, _LINE = 16, 12, 20
_SMALLEST, _LARGEST = 96, 512
_INK, _FAINT, _VOID = (25, 25, 25), (110, 110, 110), (150, 150, 150)


@dataclass(frozen=True)
class Tile:
    """One sample: its name, RGB uint8 (H, W, 3), ids uint8 (H, W)."""

    name: str
    image: np.ndarray
    label: np.ndarray


def sheet(
    data: SegmentationDataModule,
    count: int,
    split: str = "train",
    heading: str = "",
    width: int = WIDTH,
) -> np.ndarray:
    """Draw samples of a data set with their labels.

    Args:
        data: the data module; its augment is applied to samples of train.
        count: samples; no more than the split has.
        split: of train the first ones of the first epoch, augmented; of others the first ones.
        heading: line at the top.
        width: of the sheet, pixels.

    Returns:
        RGB, uint8, (H, width, 3).

    Raises:
        UserError: the split cannot be opened, or a file cannot be read.
    """
    found = samples(data, count, split)
    crop = ", ".join(_sizes(found))
    title = f"{heading}  ·  {split}, seed {data.seed}  ·  {crop}".strip(" ·")
    return _draw(found, data.classes, data.palette, title, width)


def samples(data: SegmentationDataModule, count: int, split: str) -> list[Tile]:
    """The first samples of the first epoch, or of another split than train.

    Raises:
        UserError: the split cannot be opened, or a file cannot be read.
    """
    dataset = data.dataset(split)
    count = min(count, len(dataset))
    if split == "train":
        order = TrainOrder(len(dataset), 1, data.seed).batches(0)
        keys = [key for (key,), _ in zip(order, range(count), strict=False)]
        items = TrainItems(dataset, data.augment, data.seed)
        read = [(key[1], items[key]) for key in keys]
    else:
        whole = EvalItems(dataset)
        read = [(index, whole[True, index]) for index in range(count)]
    tiles = []
    for index, item in read:
        if isinstance(item, Failure):
            raise UserError(item.what, item.hint)
        tiles.append(Tile(dataset.name(index), item.image, item.label))
    return tiles


def _draw(
    tiles: Sequence[Tile],
    classes: Sequence[str],
    palette: Sequence[tuple[int, int, int]],
    title: str,
    width: int,
) -> np.ndarray:
    columns, side = _grid(tiles, width)
    colours = [*palette, *distinct_colours(len(classes))[len(palette) :]]
    pictures = [_pair(tile, colours, side) for tile in tiles]
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    entries = legend_entries([tile.label for tile in tiles], classes, colours)
    if any((tile.label == IGNORE_INDEX).any() for tile in tiles):
        entries.append(("ignored (hatched)", _VOID))
    names = legend(entries, width - 2 * _MARGIN)
    heights = [max(p.height for p in row) + _LINE + _GAP for row in rows]
    top = _MARGIN + _LINE + _GAP
    canvas = Image.new("RGB", (width, top + sum(heights) + names.height + _MARGIN), "white")
    pen, text = ImageDraw.Draw(canvas), font()
    pen.text((_MARGIN, _MARGIN), _fitting(title, width - 2 * _MARGIN), fill=_INK, font=text)
    y, step = top, 2 * side + _GAP
    for row, height, number in zip(rows, heights, range(0, len(tiles), columns), strict=True):
        for column, picture in enumerate(row):
            x = _MARGIN + column * step
            name = _fitting(tiles[number + column].name, 2 * side)
            pen.text((x, y), name, fill=_FAINT, font=text)
            canvas.paste(picture, (x, y + _LINE - 2))
        y += height
    canvas.paste(names, (_MARGIN, y))
    return np.array(canvas)


def _grid(tiles: Sequence[Tile], width: int) -> tuple[int, int]:
    """Columns of pairs, and the width of one picture: about as high as wide, nothing enlarged."""
    inner = width - 2 * _MARGIN + _GAP
    natural = max(tile.label.shape[1] for tile in tiles)
    ratio = float(np.mean([t.label.shape[0] / t.label.shape[1] for t in tiles]))

    def side(columns: int) -> int:
        return min((inner // columns - _GAP) // 2, _LARGEST, max(natural, _SMALLEST))

    def shape(columns: int) -> float:
        rows = -(-len(tiles) // columns)
        return rows * (side(columns) * ratio + _LINE + _GAP)

    most = max(1, min(len(tiles), inner // (2 * _SMALLEST + _GAP)))
    # the fewest columns, and so the largest pictures, of a sheet no higher than wide; one more
    # where the last row is full then
    columns = next((c for c in range(1, most + 1) if shape(c) <= width), most)
    if len(tiles) % columns and columns < most and len(tiles) % (columns + 1) == 0:
        columns += 1
    return columns, side(columns)


def _pair(tile: Tile, colours: Sequence[tuple[int, int, int]], side: int) -> Image.Image:
    """Image and overlay, each `side` wide; where nothing is labelled, the overlay is hatched."""
    height, width = tile.label.shape
    small = (side, max(1, round(height * side / width)))
    shrinks = small[0] < width
    image = cv2.resize(
        tile.image, small, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_NEAREST
    )
    label = cv2.resize(tile.label, small, interpolation=cv2.INTER_NEAREST)
    painted = overlay(image, label, colours, alpha=0.6)
    rows, columns = np.indices(label.shape)
    painted[(label == IGNORE_INDEX) & ((rows + columns) % 8 == 0)] = _VOID
    return Image.fromarray(np.hstack([image, painted]))


def _sizes(tiles: Sequence[Tile]) -> list[str]:
    sizes = dict.fromkeys(f"{t.label.shape[1]}x{t.label.shape[0]}" for t in tiles)
    return list(sizes) if len(sizes) <= 3 else [f"{len(sizes)} sizes"]


def _fitting(text: str, width: int) -> str:
    """The text, cut at its front where it would be wider."""
    if font().getlength(text) <= width:
        return text
    while text and font().getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
