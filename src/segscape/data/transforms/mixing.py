"""Samples combined from several: CutMix, ClassMix, copy-paste of rare classes, mosaic.

Every part is cut, flipped and coloured by the recipe like a sample of its own, from the pixels that
it needs: the second sample of a CutMix is read only under the box, a mosaic tile at its size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from segscape.data.base import LazySample, Sample
from segscape.data.transforms.base import Others
from segscape.data.transforms.checks import require, require_probability
from segscape.data.transforms.placement import class_counts, ids_of, present_classes
from segscape.errors import choice

MIXES = ("none", "cutmix", "classmix", "copy_paste", "mosaic")
# Samples that are searched for a rare class before the copy-paste is skipped.
_TRIES = 4


class Cut(Protocol):
    """Cuts a part out of a sample, as the recipe does."""

    def __call__(
        self,
        lazy: LazySample,
        crop: tuple[int, int],
        rng: np.random.Generator,
        around: bool = False,
    ) -> Sample | None:
        """A part of this height and width; new arrays or views.

        With `around` it shows a rare class, and is None when the sample has none.
        """
        ...


class Mixing:
    """Mixes a sample with others of its split.

    - cutmix (Yun et al.): a box of another sample; its share of the area is uniform in 0..1.
    - classmix (Olsson et al.): the pixels of half of the classes of another sample.
    - copy_paste: the pixels of rare classes of another sample, from a crop around one of them.
      With rare classes "auto" these are the half of the classes in the crop that have the fewest
      pixels.
    - mosaic: four samples in the four quarters around a point in the middle half.

    Args:
        mix: one of these, or none.
        probability: of a mixture.
        crop: height and width of the result.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(self, mix: str, probability: float, crop: tuple[int, int]) -> None:
        choice("augment.mix", mix, MIXES)
        self.mix = mix
        self.probability = require_probability("augment.mix_probability", probability)
        self.crop = crop
        fits = self.mix != "mosaic" or min(crop) >= 2
        require(fits, "augment.crop", list(crop), "2 pixels or more for a mosaic")

    def __call__(
        self,
        lazy: LazySample,
        rng: np.random.Generator,
        others: Others,
        cut: Cut,
        rare: Sequence[str | int] | None,
    ) -> Sample:
        """The sample, mixed or not; everything random comes from `rng`."""
        if self.mix == "none" or rng.random() >= self.probability:
            return _present(cut(lazy, self.crop, rng))
        if self.mix == "mosaic":
            return self._mosaic(lazy, rng, others, cut)
        sample = _present(cut(lazy, self.crop, rng))
        if self.mix == "cutmix":
            return self._cutmix(sample, rng, others, cut)
        if self.mix == "classmix":
            return self._classmix(sample, rng, others, cut)
        return self._copy_paste(sample, rng, others, cut, rare)

    def _cutmix(self, sample: Sample, rng: np.random.Generator, others: Others, cut: Cut) -> Sample:
        side = math.sqrt(rng.random())
        size = [max(1, round(side * length)) for length in self.crop]
        top, left = (
            int(rng.integers(length - part + 1))
            for length, part in zip(self.crop, size, strict=True)
        )
        box = _present(cut(others(rng), (size[0], size[1]), rng))
        image, label = sample.image.copy(), sample.label.copy()
        at = np.s_[top : top + size[0], left : left + size[1]]
        image[at], label[at] = box.image, box.label
        return Sample(image, label)

    def _classmix(
        self, sample: Sample, rng: np.random.Generator, others: Others, cut: Cut
    ) -> Sample:
        other = _present(cut(others(rng), self.crop, rng))
        present = present_classes(other.label)
        return _paste(sample, other, rng.permutation(present)[: len(present) // 2])

    def _copy_paste(
        self,
        sample: Sample,
        rng: np.random.Generator,
        others: Others,
        cut: Cut,
        rare: Sequence[str | int] | None,
    ) -> Sample:
        for _ in range(_TRIES):
            other = cut(others(rng), self.crop, rng, around=True)
            if other is None:
                continue
            if rare is not None:
                return _paste(sample, other, np.array(ids_of(rare)))
            counts = class_counts(other.label)
            by_size = np.argsort(counts, kind="stable")[-np.count_nonzero(counts) :]
            return _paste(sample, other, by_size[: len(by_size) // 2])
        return sample

    def _mosaic(
        self, lazy: LazySample, rng: np.random.Generator, others: Others, cut: Cut
    ) -> Sample:
        height, width = self.crop
        row, column = (
            min(max(1, round(length * rng.uniform(0.25, 0.75))), length - 1) for length in self.crop
        )
        image = np.empty((height, width, 3), np.uint8)
        label = np.empty((height, width), np.uint8)
        for place, (top, left) in enumerate(((0, 0), (0, column), (row, 0), (row, column))):
            size = (height - row if top else row, width - column if left else column)
            tile = _present(cut(others(rng) if place else lazy, size, rng))
            at = np.s_[top : top + size[0], left : left + size[1]]
            image[at], label[at] = tile.image, tile.label
        return Sample(image, label)


def _present(sample: Sample | None) -> Sample:
    assert sample is not None
    return sample


def _paste(sample: Sample, other: Sample, classes: np.ndarray) -> Sample:
    """The pixels of these classes of the other sample, over the first."""
    table = np.zeros(256, np.uint8)
    table[classes] = 255
    mask = cv2.LUT(other.label, table)
    image, label = sample.image.copy(), sample.label.copy()
    cv2.copyTo(other.image, mask, image)
    cv2.copyTo(other.label, mask, label)
    return Sample(image, label)
