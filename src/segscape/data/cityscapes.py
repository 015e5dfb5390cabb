"""Cityscapes: 5000 finely labelled frames of 2048x1024 from 50 cities.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016.

The official download is read as it is; `*_gtFine_labelTrainIds.png` is not part of it, so the
labelIds are mapped while they are read:

    root/leftImg8bit/{train,val}/CITY/CITY_SEQ_FRAME_leftImg8bit.png
    root/gtFine/{train,val}/CITY/CITY_SEQ_FRAME_gtFine_labelIds.png

The labels of the test split are not public (its files hold void only), so it cannot be scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from segscape.data.base import IGNORE_INDEX, FileDataset, LabelMap, Palette
from segscape.data.module import SegmentationDataModule
from segscape.data.transforms import Transform
from segscape.errors import UserError, nearest

HOMEPAGE = "https://www.cityscapes-dataset.com/downloads/"

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
    """Label id of a file -> training id; what is not scored is ignored.

    The licence plate's id is -1, which an 8-bit file holds as 255: ignored like the others.
    """
    ids = dict.fromkeys(range(LARGEST_ID + 1), IGNORE_INDEX)
    return ids | {label: number for number, (_, label, _) in enumerate(LABELS)}


class CityscapesDataset(FileDataset):
    """One split of Cityscapes with fine labels.

    Args:
        root: folder with leftImg8bit/ and gtFine/.
        split: train or val.

    Raises:
        UserError: the folder, the split or a label file is missing.
    """

    classes = CLASSES
    palette = PALETTE

    def __init__(self, root: Path | str, split: str) -> None:
        self.root = Path(root)
        images = find_images(self.root, split)
        super().__init__([(image, label_of(self.root, image)) for image in images])
        self._ids = LabelMap(label_ids())

    def to_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        """Training ids of label ids."""
        return self._ids(raw, path)

    def name(self, index: int) -> str:
        """City, sequence and frame, such as frankfurt_000000_000294."""
        return self.pairs[index].image.name.removesuffix("_leftImg8bit.png")


class Cityscapes(SegmentationDataModule):
    """Cityscapes, 19 classes, from a folder on this machine.

    Args:
        root: folder with leftImg8bit/ and gtFine/.
        batch_size: see `SegmentationDataModule`, as all that follow.
        eval_batch_size: all frames have one size, so any value works.
        num_workers: loader processes.
        augment: training transform.
        seed: of the order and the augmentation.
        crop: height and width of training images.

    Raises:
        UserError: an argument is out of range. The folder is looked at by `check` and
            `dataset`, not here.
    """

    name = "cityscapes"
    classes = CLASSES
    palette = PALETTE

    def __init__(
        self,
        root: str | Path | None = None,
        *,
        batch_size: int = 4,
        eval_batch_size: int = 1,
        num_workers: int | None = None,
        augment: Transform | None = None,
        seed: int = 0,
        crop: Sequence[int] | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            eval_batch_size=eval_batch_size,
            num_workers=num_workers,
            augment=augment,
            seed=seed,
            crop=crop,
        )
        self.root = root

    def build_dataset(self, split: str) -> CityscapesDataset:
        """Open a split of the folder."""
        if self.root is None:
            raise UserError(
                "data=cityscapes needs the folder of the data set: data.root=DIR", _where_to_get()
            )
        return CityscapesDataset(self.root, split)


def label_of(root: Path, image: Path) -> Path:
    """The label file of an image file."""
    stem = image.name.removesuffix("_leftImg8bit.png")
    split, city = image.parts[-3:-1]
    return root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"


def find_images(root: Path, split: str) -> list[Path]:
    """The image files of a split, in the order of their names.

    Raises:
        UserError: nothing there, or an image without its label.
    """
    if not root.is_dir():
        siblings = [f.name for f in root.parent.iterdir()] if root.parent.is_dir() else []
        close = nearest(root.name, siblings)
        meant = f"Did you mean {root.parent / close}? " if close else ""
        raise UserError(f"data.root={root}: there is no such folder", meant + _where_to_get())
    if split == "test":
        raise UserError(
            "the labels of the Cityscapes test split are not public", "score split=val instead"
        )
    images = sorted((root / "leftImg8bit" / split).glob("*/*_leftImg8bit.png"))
    if not images:
        raise UserError(
            f"data.root={root} holds no images leftImg8bit/{split}/CITY/*_leftImg8bit.png",
            _where_to_get(),
        )
    for image in images:
        label = label_of(root, image)
        if not label.is_file():
            raise UserError(f"{label}: there is no label for {image}", _where_to_get())
    return images


def _where_to_get() -> str:
    return (
        "Fetch leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from "
        f"{HOMEPAGE} and unpack both into one folder."
    )
