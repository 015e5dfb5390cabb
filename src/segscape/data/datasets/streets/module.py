"""The built-in data set: street scenes, drawn while they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from segscape.data.base import IGNORE_INDEX, Palette, Sample, SegmentationDataset
from segscape.data.datasets.streets.render import CLASSES, PALETTE, render
from segscape.data.module import SegmentationDataModule, require_count
from segscape.data.options import LoaderOptions
from segscape.data.transforms import check_size

# The splits take their scenes from disjoint ranges.
_SPLIT_RANGE = 10_000_000


class StreetsDataset:
    """Scenes of one split; scene i is always the same picture.

    Args:
        split: train, val or test.
        count: number of scenes.
        size: height and width, pixels.
        scene_seed: first part of the seed of every scene.
    """

    classes: tuple[str, ...] = CLASSES
    palette: Palette = PALETTE
    ignore_index: int = IGNORE_INDEX

    def __init__(self, split: str, count: int, size: tuple[int, int], scene_seed: int = 0) -> None:
        assert count <= _SPLIT_RANGE
        self.split = split
        self.count = count
        self.size = size
        self.scene_seed = scene_seed
        self._first = ("train", "val", "test").index(split) * _SPLIT_RANGE

    def __len__(self) -> int:
        return self.count

    def read(self, index: int) -> Sample:
        """Draw a scene."""
        if not 0 <= index < self.count:
            raise IndexError(index)
        return render(self.scene_seed, self._first + index, self.size)

    def sample_size(self, index: int) -> tuple[int, int]:
        """Height and width of a scene, without drawing it."""
        return self.size

    def name(self, index: int) -> str:
        """Split and number of the scene."""
        return f"{self.split}_{index:05d}"


class Streets(SegmentationDataModule):
    """Procedural street scenes with the 11 classes of CamVid; nothing to download.

    Args:
        size: height and width of a scene, pixels.
        train_size: number of training scenes.
        val_size: number of validation scenes.
        test_size: number of test scenes.
        scene_seed: of all scenes. Separate from `seed`, so that runs with different seeds train
            and are scored on the same scenes.
        **options: see `SegmentationDataModule`. All scenes have one size, so any
            eval_batch_size works.

    Raises:
        UserError: an argument is out of range.
    """

    name = "streets"
    generated = True
    classes = CLASSES
    palette = PALETTE

    def __init__(
        self,
        size: Sequence[int] = (256, 512),
        train_size: int = 400,
        val_size: int = 100,
        test_size: int = 100,
        scene_seed: int = 0,
        **options: Unpack[LoaderOptions],
    ) -> None:
        super().__init__(**options)
        self.size = check_size("data.size", size)
        counts = {"train": train_size, "val": val_size, "test": test_size}
        self.counts = {
            split: require_count(f"{split}_size", count, most=_SPLIT_RANGE)
            for split, count in counts.items()
        }
        self.scene_seed = require_count("scene_seed", scene_seed, least=0)

    def build_dataset(self, split: str) -> SegmentationDataset:
        """The scenes of a split."""
        return StreetsDataset(split, self.counts[split], self.size, self.scene_seed)
