"""COCO-Stuff: photographs of COCO with 80 things and 91 kinds of stuff, in two releases.

Caesar, Uijlings, Ferrari: "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018.

`cocostuff10k`, release 1.1 of the first ten thousand, as its ZIP file unpacks:

    root/imageLists/train.txt (9000 names)    root/imageLists/test.txt (1000)
    root/images/COCO_train2014_000000000077.jpg
    root/annotations/COCO_train2014_000000000077.mat

The label is the field S (uint16) of a MATLAB file, 0..182 with 0 unlabelled. There is no split
but these two: val and test are both test.txt, as in every published score.

`cocostuff164k`, all of COCO 2017, from train2017.zip, val2017.zip and
stuffthingmaps_trainval2017.zip:

    root/images/train2017/000000000009.jpg    root/annotations/train2017/000000000009.png   118287
    root/images/val2017/...                   root/annotations/val2017/...                    5000

The folders of the ZIP files may also be directly in the root, and the labels in
stuffthingmaps/. A label is a grey PNG of 0..181, one below the numbers of the 10k release, with
255 unlabelled. The labels of test2017 are not public.

Of the 182 classes 11 never occur (street sign, hat, shoe, eye glasses, plate, mirror, window,
desk, door, blender, hair brush); without them 171 remain, in the order of their numbers, the same
for both releases. A file with one of the 11 is not of these data sets, and an error. The palette,
mmsegmentation's, has 162 colours for 171 classes: colours cannot be decoded.

Protocol: mean IoU of 171 classes where there is a label (metrics.void=ignore), at the size of the
photograph; sizes differ, so eval_batch_size is 1. Crops are 512 x 512 (mmsegmentation, AFFormer;
CoinCheung for BiSeNet) or 640 x 640 (BiSeNetV2). The scores of real-time papers (BiSeNet,
BiSeNetV2, ICNet, FaPN) are on 10k, CoinCheung's on 164k: they cannot be compared. mmsegmentation
resizes photographs to a short side of 512 before the network; here they have their own size.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from segscape.data.base import IGNORE_INDEX, FileDataset, LabelMap, SegmentationDataset
from segscape.data.datasets.labels import label_table
from segscape.data.datasets.missing_files import none_missing
from segscape.data.datasets.official_download import Download, OfficialDataModule, inverse
from segscape.data.datasets.pairing import Folder, Pairs, list_lines, pair_up
from segscape.errors import UserError

CLASSES, PALETTE = label_table("cocostuff")
# numbers 1..182 of the owners' labels.txt that were never annotated
NEVER = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)
NUMBERS = tuple(number for number in range(1, 183) if number not in NEVER)
# of a file -> of the training
IDS_10K = {0: IGNORE_INDEX} | {number: i for i, number in enumerate(NUMBERS)}
IDS_164K = {IGNORE_INDEX: IGNORE_INDEX} | {number - 1: i for i, number in enumerate(NUMBERS)}

DOWNLOAD_10K = Download(
    "https://github.com/nightrome/cocostuff10k",
    ("cocostuff-10k-v1.1.zip",),
    (
        "imageLists/train.txt    imageLists/test.txt",
        "images/COCO_train2014_000000000077.jpg",
        "annotations/COCO_train2014_000000000077.mat",
    ),
)
DOWNLOAD_164K = Download(
    "https://github.com/nightrome/cocostuff",
    ("train2017.zip", "val2017.zip", "stuffthingmaps_trainval2017.zip"),
    (
        "images/train2017/000000000009.jpg    annotations/train2017/000000000009.png",
        "images/val2017/000000000139.jpg      annotations/val2017/000000000139.png",
    ),
)
_LISTS = {"train": "train.txt", "val": "test.txt", "test": "test.txt"}
_IMAGES = ("images", "")
_LABELS = ("annotations", "stuffthingmaps", "stuffthingmaps_trainval2017", "")


class CocoStuff10kDataset(FileDataset):
    """One split of COCO-Stuff 10k.

    Args:
        root: folder with imageLists/, images/ and annotations/.
        split: train; val and test are the same.

    Raises:
        UserError: the list or a file that it names is missing.
    """

    classes = CLASSES
    palette = PALETTE

    def __init__(self, root: Path | str, split: str) -> None:
        self.root = Path(root)
        super().__init__(_listed(self.root, self.root / "imageLists" / _LISTS[split]))
        self._ids = LabelMap(IDS_10K, keep_ignore=False)

    def decode(self, data: np.ndarray, path: Path, stop: int | None) -> np.ndarray:
        """The field S of a MATLAB file, as uint8."""
        return decode_mat(data, path)

    def label_size(self, data: np.ndarray, path: Path) -> None:
        """Unknown before decoding."""


class CocoStuff164kDataset(FileDataset):
    """One split of COCO-Stuff 164k.

    Args:
        root: folder with images/ and annotations/.
        split: train or val.

    Raises:
        UserError: the split, an image or a label is missing.
    """

    classes = CLASSES
    palette = PALETTE

    def __init__(self, root: Path | str, split: str) -> None:
        self.root = Path(root)
        year = f"{split}2017"
        images = _first(self.root, _IMAGES, year, ".jpg")
        labels = _first(self.root, _LABELS, year, ".png")
        found, known = images.files(), labels.files()
        if not found:
            raise DOWNLOAD_164K.missing(self.root, f"there are no images {year}/*.jpg", "images")
        # mmsegmentation writes converted labels beside the official ones
        known = {key: path for key, path in known.items() if not key.endswith("_labelTrainIds")}
        super().__init__(pair_up(found, known, images, labels, DOWNLOAD_164K.hint()))
        self._ids = LabelMap(IDS_164K)


class CocoStuff10k(OfficialDataModule):
    """COCO-Stuff 10k, 171 classes, from a folder; arguments as `OfficialDataModule`."""

    name = "cocostuff10k"
    classes = CLASSES
    palette = PALETTE
    download = DOWNLOAD_10K
    file_ids = inverse(IDS_10K)

    def open_split(self, root: Path, split: str) -> SegmentationDataset:
        """A split of the folder."""
        return CocoStuff10kDataset(root, split)


class CocoStuff164k(OfficialDataModule):
    """COCO-Stuff 164k, 171 classes, from a folder; arguments as `OfficialDataModule`."""

    name = "cocostuff164k"
    classes = CLASSES
    palette = PALETTE
    download = DOWNLOAD_164K
    file_ids = inverse(IDS_164K)

    def open_split(self, root: Path, split: str) -> SegmentationDataset:
        """A split of the folder."""
        if split == "test":
            raise UserError(
                "the labels of COCO's test2017 are not public", "score split=val instead"
            )
        return CocoStuff164kDataset(root, split)


def decode_mat(data: np.ndarray, path: Path | str) -> np.ndarray:
    """The label in a MATLAB file of COCO-Stuff 10k, uint8 (H, W).

    Args:
        data: the file's bytes.
        path: only named in errors.

    Raises:
        UserError: the file is damaged, or its field S is no map of ids below 255.
    """
    from scipy.io import loadmat

    try:
        fields = loadmat(io.BytesIO(data.tobytes()), variable_names=["S"])
    except Exception as error:  # a damaged file can raise anything anywhere in the parser
        raise UserError(
            f"{path}: cannot be read as a MATLAB file ({type(error).__name__}: {error})",
            "unpack it again: it may be incomplete",
        ) from error
    label = fields.get("S")
    if label is None:
        raise UserError(f"{path}: the MATLAB file has no field S, the map of class ids")
    if label.ndim != 2 or label.dtype.kind not in "ui" or label.size == 0:
        raise UserError(
            f"{path}: the field S is {label.shape} {label.dtype}", "expected (H, W) uint16"
        )
    if int(label.min()) < 0 or int(label.max()) >= IGNORE_INDEX:
        strange = int(label.min()) if int(label.min()) < 0 else int(label.max())
        raise UserError(f"{path}: label id {strange} is not known", "the ids are 0..182")
    # MATLAB stores columns, OpenCV reads rows
    return np.ascontiguousarray(label, np.uint8)


def _listed(root: Path, path: Path) -> Pairs:
    """Image and label of each name in a list, in its order."""
    if not path.is_file():
        what = f"there is no list imageLists/{path.name}"
        raise DOWNLOAD_10K.missing(root, what, "imageLists")
    folders = Folder(root / "images", ".jpg"), Folder(root / "annotations", ".mat")
    images, labels = (folder.files() for folder in folders)
    pairs = []
    for number, name in list_lines(path):
        known = zip(folders, (images, labels), strict=True)
        missing = [folder.file(name) for folder, files in known if name not in files]
        if none_missing(missing, f"{path}, line {number} lists it. {DOWNLOAD_10K.hint()}"):
            pairs.append((images[name], labels[name]))
    return pairs


def _first(root: Path, places: tuple[str, ...], year: str, ending: str) -> Folder:
    """The first folder that has such files; the usual one when none has."""
    folders = [Folder(root / place / year, ending) for place in places]
    return next((f for f in folders if next(f.path.glob(f"*{ending}"), None)), folders[0])
