"""Cityscapes: 5000 finely and 20 thousand coarsely labelled frames of 2048x1024 from 50 cities.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016. The
official download is read as it is:

    root/leftImg8bit/{train,val,test}/CITY/CITY_SEQ_FRAME_leftImg8bit.png      2975, 500, 1525
    root/gtFine/{train,val}/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png
    root/leftImg8bit/train_extra/CITY/CITY_SEQ_FRAME_leftImg8bit.png           19998, coarse=true
    root/gtCoarse/train_extra/CITY/CITY_SEQ_FRAME_gtCoarse_labelIds.png

The labelIds are mapped to the 19 training ids while they are read. If `*_labelTrainIds.png`, made
with the authors' scripts, exist for every frame of a split, those are read instead, after the first
was compared with its labelIds. The licence plate, id -1, is ignored: 8-bit files hold it as 255.
Colours are not decoded: pole and polegroup share one, car and licence plate too.

The labels of the test split are not public (its files hold void only): its images can be opened
and predicted, but not scored. The evaluation server expects PNG files with label ids, not training
ids, of 2048x1024: `Cityscapes.to_submission`.

Protocol: mean IoU of 19 classes from one confusion matrix over the 500 frames of val, at
2048x1024, where the label is not ignored (metrics.void=ignore). Crops are 1024x512 (PP-LiteSeg,
BiSeNetV2, STDC), 1024x1024 or 769x769.
"""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import numpy as np

from segscape.data.base import IGNORE_INDEX, FileDataset, LabelMap, Palette, SegmentationDataset
from segscape.data.codecs import read_label
from segscape.data.datasets.official_download import Download, ImagesOnly, OfficialDataModule
from segscape.data.datasets.pairing import Folder, pair_up
from segscape.data.options import LoaderOptions
from segscape.errors import UserError

DOWNLOAD = Download(
    "https://www.cityscapes-dataset.com/downloads/",
    ("leftImg8bit_trainvaltest.zip", "gtFine_trainvaltest.zip"),
    (
        "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
        "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png",
    ),
)
DOWNLOAD_COARSE = Download(
    DOWNLOAD.page,
    ("leftImg8bit_trainextra.zip", "gtCoarse.zip"),
    (
        "leftImg8bit/train_extra/augsburg/augsburg_000000_000000_leftImg8bit.png",
        "gtCoarse/train_extra/augsburg/augsburg_000000_000000_gtCoarse_labelIds.png",
    ),
)
_IMAGE = "_leftImg8bit.png"
_TRAIN_IDS = "_labelTrainIds.png"

# name, label id in the files, colour; the training id is the position
LABELS: tuple[tuple[str, int, tuple[int, int, int]], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
CLASSES = tuple(name for name, _, _ in LABELS)
PALETTE: Palette = tuple(colour for _, _, colour in LABELS)
LARGEST_ID = 33


def label_ids() -> dict[int, int]:
    """Label id of a file -> training id; what is not scored is ignored."""
    ids = dict.fromkeys(range(LARGEST_ID + 1), IGNORE_INDEX)
    return ids | {label: number for number, (_, label, _) in enumerate(LABELS)}


class CityscapesDataset(FileDataset):
    """One labelled split of Cityscapes.

    Args:
        root: folder with leftImg8bit/ and gtFine/.
        split: train or val.
        coarse: add the coarsely labelled frames of train_extra to the split train.

    Raises:
        UserError: the folder, the split, an image or a label is missing.
    """

    classes = CLASSES
    palette = PALETTE
    _ids: LabelMap

    def __init__(self, root: Path | str, split: str, coarse: bool = False) -> None:
        self.root = Path(root)
        self._ids = LabelMap(label_ids())
        self._train_ids = LabelMap({number: number for number in range(len(CLASSES))})
        pairs = self._part(split, "gtFine", DOWNLOAD)
        if coarse and split == "train":
            pairs = pairs + self._part("train_extra", "gtCoarse", DOWNLOAD_COARSE)
        super().__init__(pairs)

    def to_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """Training ids of label ids, or of training ids: by the file's name."""
        mapped = self._train_ids if path.name.endswith(_TRAIN_IDS) else self._ids
        return mapped(raw, path)

    def name(self, index: int) -> str:
        """City, sequence and frame, such as frankfurt_000000_000294."""
        return self.pairs[index].image.name.removesuffix(_IMAGE)

    def _part(self, split: str, kind: str, download: Download) -> list[tuple[Path, Path]]:
        """The pairs of a folder of images."""
        images, found = find_images(self.root, split, download)
        labels = Folder(self.root / kind / split, f"_{kind}_labelIds.png", nested=True)
        made = Folder(labels.path, f"_{kind}{_TRAIN_IDS}", nested=True)
        own, converted = labels.files(), made.files()
        # gtCoarse has the label of a frame whose damaged image was withdrawn
        spare = split == "train_extra"
        if not found.keys() <= converted.keys():
            return pair_up(found, own, images, labels, download.hint(), spare)
        pairs = pair_up(found, converted, images, made, download.hint(), spare)
        first = next(iter(found))
        if first in own:
            self._compare(converted[first], own[first])
        return pairs

    def _compare(self, converted: Path, own: Path) -> None:
        """Converted labels must hold the training ids of the 19 classes.

        Raises:
            UserError: they differ from the label ids of the same frame.
        """
        given = self.to_ids(read_label(converted), converted)
        expected = self.to_ids(read_label(own), own)
        if not np.array_equal(given, expected):
            raise UserError(
                f"{converted}: these training ids are not those of {own.name}",
                f"delete the *{_TRAIN_IDS} files (labelIds are read then), or make them again "
                "with csCreateTrainIdLabelImgs",
            )


class Cityscapes(OfficialDataModule):
    """Cityscapes, 19 classes, from a local folder.

    Args:
        root: folder with leftImg8bit/ and gtFine/.
        coarse: train on the 19998 coarsely labelled frames of train_extra too.
        **options: see `SegmentationDataModule`. All frames have one size, so any
            eval_batch_size works.

    Raises:
        UserError: an argument is out of range. The folder is read by `dataset`, not here.
    """

    name = "cityscapes"
    classes = CLASSES
    palette = PALETTE
    download = DOWNLOAD
    # 0 is unlabelled
    file_ids = {number: label for number, (_, label, _) in enumerate(LABELS)} | {IGNORE_INDEX: 0}

    def __init__(
        self, root: str | Path | None = None, coarse: bool = False, **options: Unpack[LoaderOptions]
    ) -> None:
        super().__init__(root, **options)
        self.coarse = coarse

    def open_split(self, root: Path, split: str) -> SegmentationDataset:
        """A split of the folder; of test, the images."""
        if split != "test":
            return CityscapesDataset(root, split, self.coarse)
        why = "the labels of the Cityscapes test split are not public"
        instead = "score split=val instead"
        images = Folder(root / "leftImg8bit" / split, _IMAGE, nested=True).files()
        if not images:
            what = f"there are no images leftImg8bit/test/CITY/*{_IMAGE}"
            raise UserError(f"data.root={root}: {what}", f"{why}: {instead}")
        return ImagesOnly(list(images.values()), CLASSES, PALETTE, why, instead, _IMAGE)


def find_images(root: Path, split: str, download: Download) -> tuple[Folder, dict[str, Path]]:
    """The image files of a split by city and frame.

    Raises:
        UserError: there are none.
    """
    images = Folder(download.folder(root) / "leftImg8bit" / split, _IMAGE, nested=True)
    found = images.files()
    if not found:
        what = f"there are no images leftImg8bit/{split}/CITY/*{_IMAGE}"
        raise download.missing(root, what, "leftImg8bit")
    return images, found
