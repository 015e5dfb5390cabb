"""ADE20K: 25 thousand photographs of scenes with 150 classes of things and stuff.

Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017. What is read is the release of the
Scene Parsing Challenge 2016 (SceneParse150), as its ZIP file unpacks:

    root/images/training/ADE_train_00000001.jpg      root/annotations/training/...png     20210
    root/images/validation/ADE_val_00000001.jpg      root/annotations/validation/...png    2000
    root/release_test/testing/ADE_test_00000001.jpg  (release_test.zip, no labels)         3352

Labels hold 0..150; 0 is everything else and is never scored: 1..150 become 0..149, 0 becomes 255.
The challenge expects predictions as 1..150: `ADE20K.to_submission` adds the 1 again.
The official palette has 149 colours for 150 classes, so colours cannot be decoded.

Protocol. The challenge scores pixel accuracy and the mean IoU of all 150 classes, at the size of
the photograph, where the label is not 0 (metrics.void=ignore). A class that neither occurs nor is
predicted has IoU 0 there and is left out of the mean here, as in mmsegmentation; on the whole
validation split every class occurs. Photographs differ in size: eval_batch_size is 1. Training
crops are 512 x 512 (PSPNet's authors: 473 x 473).

Published scores are mostly of photographs resized to a short side of 512 before the network
(mmsegmentation), or of sliding windows; here they have their own size.
"""

from __future__ import annotations

from pathlib import Path

from segscape.data.base import IGNORE_INDEX, FileDataset, LabelMap, SegmentationDataset
from segscape.data.datasets.labels import label_table
from segscape.data.datasets.official_download import (
    Download,
    ImagesOnly,
    OfficialDataModule,
    inverse,
)
from segscape.data.datasets.pairing import Folder, pair_up
from segscape.errors import UserError

CLASSES, PALETTE = label_table("ade20k")
# of a file -> of the training
IDS = {0: IGNORE_INDEX} | {number + 1: number for number in range(len(CLASSES))}

DOWNLOAD = Download(
    "http://sceneparsing.csail.mit.edu/",
    ("ADEChallengeData2016.zip",),
    (
        "images/training/ADE_train_00000001.jpg    annotations/training/ADE_train_00000001.png",
        "images/validation/ADE_val_00000001.jpg    annotations/validation/ADE_val_00000001.png",
    ),
)
_FOLDERS = {"train": "training", "val": "validation"}
_TESTS = ("release_test/testing", "../release_test/testing", "images/testing")


class ADE20KDataset(FileDataset):
    """One labelled split of ADE20K.

    Args:
        root: folder with images/ and annotations/.
        split: train or val.

    Raises:
        UserError: the folder, an image or a label is missing.
    """

    classes = CLASSES
    palette = PALETTE

    def __init__(self, root: Path | str, split: str) -> None:
        self.root = Path(root)
        images = Folder(self.root / "images" / _FOLDERS[split], ".jpg")
        labels = Folder(self.root / "annotations" / _FOLDERS[split], ".png")
        found = images.files()
        if not found:
            what = f"there are no images {images.path.relative_to(self.root).as_posix()}/*.jpg"
            raise DOWNLOAD.missing(self.root, what, "images")
        pairs = pair_up(found, labels.files(), images, labels, DOWNLOAD.hint())
        super().__init__(pairs)
        # 255 is no id of these files: a label with it was converted already
        self._ids = LabelMap(IDS, keep_ignore=False)


class ADE20K(OfficialDataModule):
    """ADE20K, 150 classes, from a local folder; arguments as `OfficialDataModule`.

    The split test has images only.
    """

    name = "ade20k"
    classes = CLASSES
    palette = PALETTE
    download = DOWNLOAD
    file_ids = inverse(IDS)

    def open_split(self, root: Path, split: str) -> SegmentationDataset:
        """A split of the folder."""
        if split != "test":
            return ADE20KDataset(root, split)
        why = "the labels of ADE20K's test split are not public"
        for place in _TESTS:
            images = Folder(root / place, ".jpg").files()
            if images:
                return ImagesOnly(
                    list(images.values()), CLASSES, PALETTE, why, "score split=val instead"
                )
        raise UserError(
            f"data.root={root} holds no images release_test/testing/*.jpg",
            f"{why}: score split=val. To predict it, fetch release_test.zip from {DOWNLOAD.page}",
        )
