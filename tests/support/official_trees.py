"""The official downloads in miniature: names, kinds of files and depths as their owners chose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from miniature import picture, save
from PIL import Image


def photograph(path: Path, height: int, width: int) -> Path:
    """A JPEG of that size."""
    return save(path, picture(height * width, height, width))


def ade20k(root: Path, split: str, number: int, label: np.ndarray) -> Path:
    """An image of ADEChallengeData2016 with its label; gives the label's path."""
    stem = f"ADE_{'train' if split == 'training' else 'val'}_{number:08d}"
    photograph(root / "images" / split / f"{stem}.jpg", *label.shape)
    for name in ("objectInfo150.txt", "sceneCategories.txt"):
        (root / name).touch()
    return save(root / "annotations" / split / f"{stem}.png", label)


def cityscapes(
    root: Path, split: str, city: str, frame: int, label: np.ndarray, kind: str = "gtFine"
) -> Path:
    """A frame with all four files of its label; gives the labelIds' path."""
    stem = f"{city}_000000_{frame:06d}"
    save(
        root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png",
        picture(frame, *label.shape),
    )
    folder = root / kind / split / city
    colours = np.zeros((*label.shape, 4), np.uint8)
    save(folder / f"{stem}_{kind}_color.png", colours)
    save(folder / f"{stem}_{kind}_instanceIds.png", label.astype(np.uint16) * 1000)
    (folder / f"{stem}_{kind}_polygons.json").write_text("{}")
    return save(folder / f"{stem}_{kind}_labelIds.png", label)


def cocostuff10k(root: Path, split: str, number: int, label: np.ndarray) -> Path:
    """An image of COCO-Stuff 10k with its MATLAB label; gives the label's path."""
    from scipy.io import savemat

    name = f"COCO_train2014_{number:012d}"
    photograph(root / "images" / f"{name}.jpg", *label.shape)
    path = root / "annotations" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "S": label.astype(np.uint16),
        "names": np.array([["unlabeled"], ["person"]], object),
        "captions": np.array([["a street"]], object),
        "regionMapStuff": np.ones(label.shape, np.uint16),
        "regionLabelsStuff": np.array([[1]], np.uint16),
    }
    savemat(path, fields, do_compression=True)
    lists = root / "imageLists"
    lists.mkdir(exist_ok=True)
    for file in (f"{split}.txt", "all.txt"):
        with (lists / file).open("a") as out:
            out.write(f"{name}\n")
    return path


def cocostuff164k(root: Path, year: str, number: int, label: np.ndarray) -> Path:
    """An image of COCO 2017 with its pixel map; gives the label's path."""
    photograph(root / "images" / year / f"{number:012d}.jpg", *label.shape)
    return save(root / "annotations" / year / f"{number:012d}.png", label)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _coloured(path: Path) -> None:
    save(path, np.repeat(np.array(Image.open(path))[..., None], 3, axis=2))


def _sixteen_bits(path: Path) -> None:
    save(path, np.array(Image.open(path)).astype(np.uint16))


def _wider(path: Path) -> None:
    label = np.array(Image.open(path))
    save(path, np.hstack([label, label]))


def _text(path: Path) -> None:
    path.write_text("<html>403 Forbidden</html>")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut_short": (_cut_short, "is damaged"),
    "empty": (_empty, "is empty"),
    "coloured": (_coloured, "colour image, but class ids are expected"),
    "16_bits": (_sixteen_bits, "16 bits per pixel"),
    "other_size": (_wider, r"the label is \d+x\d+, but"),
    "no_image": (_text, "is not an image"),
    "symlink_loop": (_loop, "cannot be read|does not exist|in a circle"),
}
"""What happens to label files, and what is said about it."""


def as_palette(path: Path) -> None:
    """The same ids as a palette image, which is as good."""
    image = Image.fromarray(np.array(Image.open(path)))
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    assert image.mode == "P"
    image.save(path)
