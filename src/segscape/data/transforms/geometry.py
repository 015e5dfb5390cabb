"""Scale and crop as one resampling of the source pixels that the crop needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segscape.data.base import Sample

# Above this period an axis is warped instead of resized, see `Axis.aligned`.
_LONGEST_PERIOD = 16

Aligned = tuple[slice, int, slice]
"""A source window, its resized length, and the crop within that."""


@dataclass(frozen=True)
class Axis:
    """One axis of the crop: `count` pixels from `offset` on, of an image of `size` pixels
    that is thought of as resized to `scaled` pixels."""

    size: int
    scaled: int
    offset: int
    count: int

    @classmethod
    def draw(cls, size: int, scale: float, crop: int, rng: np.random.Generator) -> Axis:
        """Scale an axis and draw the crop's position on it, uniformly."""
        scaled = max(1, round(size * scale))
        offset = int(rng.integers(max(scaled - crop, 0) + 1))
        return cls(size, scaled, offset, min(crop, scaled))

    @property
    def step(self) -> float:
        """Source pixels per result pixel."""
        return self.size / self.scaled

    @property
    def source(self) -> slice:
        """The crop on the source axis when nothing is resampled or pixels are averaged."""
        return slice(round(self.offset * self.step), round((self.offset + self.count) * self.step))

    def nearest(self) -> np.ndarray:
        """Source pixel that holds the centre of each result pixel, in exact arithmetic."""
        centres = 2 * np.arange(self.offset, self.offset + self.count) + 1
        return centres * self.size // (2 * self.scaled)

    def neighbours(self) -> tuple[slice, float]:
        """Source pixels that bilinear interpolation touches, and the position of the first
        result pixel within them."""
        first = (self.offset + 0.5) * self.step - 0.5
        last = first + (self.count - 1) * self.step
        low = max(math.floor(first), 0)
        return slice(low, min(math.floor(last) + 2, self.size)), first - low

    def aligned(self) -> Aligned | None:
        """A source window whose edges fall on pixel edges before and after the resizing.

        Such a window can be resized on its own (cv2.resize is several times faster than a
        warp) and has the same sampling points as the whole image. It exists close by when
        the scale is a ratio of small numbers, as on the grids of the recipes.

        Returns:
            source window, its resized length, and the crop within that; or None.
        """
        divisor = math.gcd(self.size, self.scaled)
        period = self.scaled // divisor
        if period > _LONGEST_PERIOD:
            return None
        margin = math.ceil(0.5 / self.step)
        low = max(self.offset - margin, 0) // period
        high = min(math.ceil((self.offset + self.count + margin) / period), divisor)
        stride = self.size // divisor
        start = self.offset - low * period
        return (
            slice(low * stride, high * stride),
            (high - low) * period,
            slice(start, start + self.count),
        )


@dataclass(frozen=True)
class Resampling:
    """A crop of a resized image, and the source pixels that it is made of.

    Args:
        rows: of the crop.
        columns: of the crop.
        antialias: average the pixels under a result pixel when shrinking.
    """

    rows: Axis
    columns: Axis
    antialias: bool = False

    @property
    def _plain(self) -> bool:
        return self.rows.size == self.rows.scaled and self.columns.size == self.columns.scaled

    @property
    def _averages(self) -> bool:
        return self.antialias and (self.rows.step > 1 or self.columns.step > 1)

    def _image_window(self, axis: Axis) -> slice:
        if self._plain:
            return axis.source
        aligned = self._aligned()
        if aligned is not None:
            return (aligned[0] if axis is self.rows else aligned[1])[0]
        return axis.source if self._averages else axis.neighbours()[0]

    def _aligned(self) -> tuple[Aligned, Aligned] | None:
        rows, columns = self.rows.aligned(), self.columns.aligned()
        return None if rows is None or columns is None else (rows, columns)

    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the source that image and label need."""
        found = []
        for axis in (self.rows, self.columns):
            image, nearest = self._image_window(axis), axis.nearest()
            # A label's pixel can lie outside where the image's window is rounded.
            start = min(image.start, int(nearest[0]))
            found.append(slice(start, max(image.stop, int(nearest[-1]) + 1)))
        return found[0], found[1]

    def __call__(self, part: Sample) -> Sample:
        """Resample the pixels of `window` to the crop.

        Args:
            part: the source's pixels of `window`; not modified.

        Returns:
            image and label of the crop's size; views of `part` when nothing is resampled.
        """
        rows, columns = self.window()
        at = (
            _shifted(self._image_window(self.rows), -rows.start),
            _shifted(self._image_window(self.columns), -columns.start),
        )
        image = self._image(part.image[at])
        if self._plain:
            return Sample(image, part.label[at])
        label = part.label.take(self.rows.nearest() - rows.start, axis=0)
        return Sample(image, label.take(self.columns.nearest() - columns.start, axis=1))

    def _image(self, window: np.ndarray) -> np.ndarray:
        if self._plain:
            return window
        interpolation = cv2.INTER_AREA if self._averages else cv2.INTER_LINEAR
        aligned = self._aligned()
        if aligned is not None:
            (_, height, rows), (_, width, columns) = aligned
            resized = cv2.resize(window, (width, height), interpolation=interpolation)
            return np.ascontiguousarray(resized[rows, columns])
        shape = (self.columns.count, self.rows.count)
        if self._averages:
            return cv2.resize(window, shape, interpolation=interpolation)
        matrix = np.array(
            [
                [self.columns.step, 0, self.columns.neighbours()[1]],
                [0, self.rows.step, self.rows.neighbours()[1]],
            ]
        )
        return cv2.warpAffine(
            window,
            matrix,
            shape,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _shifted(window: slice, by: int) -> slice:
    return slice(window.start + by, window.stop + by)
