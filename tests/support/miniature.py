"""Random pictures and labels, and their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from segscape.data.base import FileDataset, LabelMap, Sample
from segscape.data.module import SegmentationDataModule
from segscape.errors import UserError


def picture(seed: int, height: int = 36, width: int = 48) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def ids(seed: int, height: int = 36, width: int = 48, count: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, count, (height, width), dtype=np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


SEGNET_NAMES = {
    "train": ["0001TP_006690", "0006R0_f00930", "with blank", "straße"],
    "val": ["0016E5_07959", "0016E5_07961"],
}


class Noise:
    """Samples that hold their index: it is the first red value."""

    classes = ("a", "b")
    palette = ((0, 0, 0), (255, 255, 255))
    ignore_index = 255

    def __init__(self, length: int, broken: int | None = None, sizes=((20, 28),)) -> None:
        self.length = length
        self.broken = broken
        self.sizes = sizes

    def __len__(self) -> int:
        return self.length

    def read(self, index: int) -> Sample:
        if index == self.broken:
            raise UserError("street.png: the file is empty (0 bytes)", "Copy it again.")
        rng = np.random.default_rng(index)
        height, width = self.sizes[index % len(self.sizes)]
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        label = rng.integers(0, 2, (height, width), dtype=np.uint8)
        image[0, 0, 0] = index
        return Sample(image, label)

    def name(self, index: int) -> str:
        return str(index)


class NoiseModule(SegmentationDataModule):
    name = "noise"
    classes = Noise.classes
    palette = Noise.palette

    def __init__(self, dataset: Noise, **options) -> None:
        super().__init__(**options)
        self.noise = dataset

    def build_dataset(self, split: str) -> Noise:
        return self.noise


class Files(FileDataset):
    """Files of a folder, of different sizes; label 9 becomes 2."""

    classes = ("a", "b", "c")
    palette = ((0, 0, 0), (9, 9, 9), (255, 255, 255))

    def __init__(self, root: Path, target: int = 2) -> None:
        images = sorted(root.glob("*.png"))
        super().__init__([(image, root / "labels" / image.name) for image in images])
        self.root = root
        self._ids = LabelMap({0: 0, 1: 1, 9: target})
        self.decoded: list[int] = []

    def to_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        self.decoded.append(raw.size)
        return self._ids(raw, path)
