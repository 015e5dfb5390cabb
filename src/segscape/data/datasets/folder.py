"""A user's own pairs of images and labels, described in yaml.

Where the files are, one of:

    images: images/SPLIT/*.jpg        patterns; SPLIT is train, val or test. Image and label belong
    labels: labels/SPLIT/*.png        together when the stars match the same
    images: {train: ..., val: ...}    a pattern per split
    lists: SPLIT.txt                  a list per split, image and label in a line, separated by a
                                      tab or blanks

What the labels mean:

    classes: [road, car]              or a yaml or JSON file with the list
    palette: [[128, 64, 128], ...]    colours for pictures; generated when left out
    label_format: ids                 one channel (grey or palette) whose values are ids
    label_map: {7: road, 8: 0, 9: ignore}     id in a file -> class; left out: the training ids
    label_ignore: 255                 ids in the files that mean no class
    label_format: colours             labels painted in RGB, or palette images read as such
    label_colours: {road: [128, 64, 128], car: [[0, 0, 142], [0, 0, 143]], ignore: [0, 0, 0]}

Ignored pixels become 255 in training. An id or a colour that is not described is an error that
names the file. Scores are at the size of the labels; images may differ in size when
eval_batch_size is 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from segscape.data.base import ColourMap, FileDataset, LabelMap, Palette
from segscape.data.codecs import decode_colours, decode_label
from segscape.data.datasets.folder_files import by_list, by_patterns, of_split, sample_names
from segscape.data.datasets.folder_labels import class_table, colour_map, id_map
from segscape.data.datasets.missing_files import why_missing
from segscape.data.datasets.pairing import Pairs
from segscape.data.module import SegmentationDataModule
from segscape.data.options import LoaderOptions
from segscape.errors import UserError, choice, unknown

FORMATS = ("ids", "colours")


class FolderDataset(FileDataset):
    """One split of a user's own data.

    Args:
        pairs: image and label files.
        classes: names by training id.
        palette: colours by training id.
        meaning: of the labels' ids, or of their colours.
    """

    def __init__(
        self,
        pairs: Pairs,
        classes: tuple[str, ...],
        palette: Palette,
        meaning: LabelMap | ColourMap,
    ) -> None:
        super().__init__(pairs)
        self.classes = classes
        self.palette = palette
        self._meaning = meaning
        self._names = sample_names(pairs)

    def decode(self, data: np.ndarray, path: Path, stop: int | None) -> np.ndarray:
        """Ids (H, W) or colours (H, W, 3)."""
        coloured = isinstance(self._meaning, ColourMap)
        return decode_colours(data, path, stop) if coloured else decode_label(data, path, stop)

    def to_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """Training ids of a raw label."""
        return self._meaning(raw, path)

    def name(self, index: int) -> str:
        """The image's name, with its folders where names repeat."""
        return self._names[index]


class Folder(SegmentationDataModule):
    """Pairs of images and labels in a local folder.

    Args:
        root: patterns and names in lists are relative to it.
        classes: names in the order of the training ids, or a yaml or JSON file with them.
        palette: their colours, or a file with them; None: generated.
        images: pattern of the images, with SPLIT in it, or one per split.
        labels: the same of the labels.
        lists: file with the pairs, with SPLIT in its name, or one per split, instead of patterns.
        label_format: ids or colours.
        label_map: id in a file -> class or `ignore`; None: they are the training ids.
        label_ignore: ids in the files that mean no class.
        label_colours: class or `ignore` -> colour or colours in the files; None: the palette.
        **options: see `SegmentationDataModule`; eval_batch_size above 1 only where all images have
            one size.

    Raises:
        UserError: an argument is invalid. The folder is read by `dataset`, not here.
    """

    name = "folder"

    def __init__(
        self,
        root: str | Path | None = None,
        classes: Sequence[str] | str | None = None,
        palette: Sequence[Sequence[int]] | str | None = None,
        images: str | Mapping[str, str] | None = "images/SPLIT/*",
        labels: str | Mapping[str, str] | None = "labels/SPLIT/*",
        lists: str | Mapping[str, str] | None = None,
        label_format: str = "ids",
        label_map: Mapping[Any, Any] | str | None = None,
        label_ignore: int | Sequence[int] | None = 255,
        label_colours: Mapping[Any, Any] | str | None = None,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        choice("data.label_format", label_format, FORMATS)
        self.root = root
        self.images, self.labels, self.lists = images, labels, lists
        self.classes, self.palette = class_table(classes, palette)
        self._meaning: LabelMap | ColourMap
        if label_format == "ids":
            _without_effect("label_colours", label_colours, "label_format=ids: it has label_map")
            self._meaning = id_map(label_map, label_ignore, self.classes)
        else:
            where = "label_format=colours: give label_colours {CLASS: COLOUR}"
            _without_effect("label_map", label_map, where)
            if label_colours is None and palette is None and not isinstance(classes, str):
                raise UserError(
                    "data.label_format=colours needs the colours of the labels",
                    "data.label_colours={road: [128, 64, 128], ...}, or data.palette",
                )
            self._meaning = colour_map(label_colours, self.classes, self.palette)

    def build_dataset(self, split: str) -> FolderDataset:
        """Find the pairs of a split."""
        if self.root is None:
            raise UserError("data=folder needs the folder of the data set: data.root=DIR is needed")
        root = Path(self.root)
        if not root.is_dir():
            names = [f.name for f in root.parent.iterdir()] if root.parent.is_dir() else []
            what = f"data.root={root}: {why_missing(root, 'folder')}"
            raise unknown(what, root.name, names, typed=f"{root.parent}/{{}}", label="")
        return FolderDataset(self._pairs(root, split), self.classes, self.palette, self._meaning)

    def _pairs(self, root: Path, split: str) -> Pairs:
        if self.lists is not None:
            return by_list(root, root / of_split("data.lists", self.lists, split))
        if self.images is None or self.labels is None:
            raise UserError(
                "data=folder needs data.images and data.labels, or data.lists",
                "e.g. data.images=images/SPLIT/*.jpg data.labels=labels/SPLIT/*.png",
            )
        return by_patterns(
            root,
            of_split("data.images", self.images, split),
            of_split("data.labels", self.labels, split),
        )


def _without_effect(option: str, given: object, reason: str) -> None:
    if given is not None:
        raise UserError(f"data.{option} has no effect with data.{reason}", "leave it out")
