"""Scale and crop as one resampling of the source pixels that the crop needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segscape.data.base import Sample

# Above this period an axis is warped instead of resized, see `Axis.aligned`.
_LONGEST_PERIOD = 16
# How far a window's edge may be off when pixels are averaged, in source pixels.
_TOLERANCE = 1 / 32

Aligned = tuple[slice, int, slice]
"""A source window, its resized length, and the crop within that."""


@dataclass(frozen=True)
class Axis:
    """One axis of the crop: `count` pixels from `offset` on, of an image of `size` pixels
    as if it were resized to `scaled` pixels."""

    size: int
    scaled: int
    offset: int
    count: int

    @classmethod
    def draw(cls, size: int, scale: float, crop: int, rng: np.random.Generator) -> Axis:
        """Scale an axis and draw the crop's position on it, uniformly."""
        return cls.whole(size, scale).placed(crop, rng)

    @classmethod
    def whole(cls, size: int, scale: float) -> Axis:
        """A scaled axis, all of it."""
        scaled = max(1, round(size * scale))
        return cls(size, scaled, 0, scaled)

    def placed(self, crop: int, rng: np.random.Generator) -> Axis:
        """At most `crop` pixels of the scaled axis, anywhere."""
        return self.cut(int(rng.integers(max(self.scaled - crop, 0) + 1)), crop)

    def around(self, centre: float, crop: int) -> Axis:
        """At most `crop` pixels around a position on the scaled axis, within the axis."""
        return self.cut(round(centre - crop / 2), crop)

    def cut(self, offset: int, crop: int) -> Axis:
        """At most `crop` pixels from `offset` on, moved into the axis."""
        count = min(crop, self.scaled)
        return Axis(self.size, self.scaled, min(max(offset, 0), self.scaled - count), count)

    @property
    def step(self) -> float:
        """Source pixels per result pixel."""
        return self.size / self.scaled

    @property
    def source(self) -> slice:
        """The crop on the source axis, to whole pixels."""
        start = round(self.offset * self.step)
        stop = round((self.offset + self.count) * self.step)
        return slice(min(start, self.size - 1), max(stop, start + 1))

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

    def covered(self) -> Aligned:
        """As `aligned`, for averaging: at any scale, with edges at most 1/32 source pixel off.

        The next result pixels outwards are tried until an edge is met that falls (nearly) on
        the edge of a source pixel, which takes few steps; the edges of the image always do.
        """
        low, start = self._edge(self.offset, -1)
        high, stop = self._edge(self.offset + self.count, 1)
        first = self.offset - low
        return slice(start, stop), high - low, slice(first, first + self.count)

    def _edge(self, position: int, direction: int) -> tuple[int, int]:
        while True:
            exact = position * self.size / self.scaled
            found = round(exact)
            if abs(exact - found) <= _TOLERANCE:
                return position, found
            position += direction


@dataclass(frozen=True)
class Resampling:
    """A crop of a resized image, and the source pixels that it is made of.

    Where both axes are aligned the result is exactly that of resizing the whole image; elsewhere
    it is within the rounding of the interpolation (bilinear) or within 1/32 source pixel
    (antialiased).

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
        shrinks = self.rows.step >= 1 and self.columns.step >= 1
        return self.antialias and shrinks and not self._plain

    def _image_window(self, axis: Axis) -> slice:
        if self._plain:
            return axis.source
        aligned = self._aligned()
        if aligned is not None:
            return (aligned[0] if axis is self.rows else aligned[1])[0]
        return axis.neighbours()[0]

    def _aligned(self) -> tuple[Aligned, Aligned] | None:
        if self._averages:
            return self.rows.covered(), self.columns.covered()
        rows, columns = self.rows.aligned(), self.columns.aligned()
        return None if rows is None or columns is None else (rows, columns)

    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the source that image and label need."""
        found = []
        for axis in (self.rows, self.columns):
            image, nearest = self._image_window(axis), axis.nearest()
            # A label's pixel can be outside where the image's window is rounded.
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
        aligned = self._aligned()
        if aligned is not None:
            (_, height, rows), (_, width, columns) = aligned
            interpolation = cv2.INTER_AREA if self._averages else cv2.INTER_LINEAR
            resized = cv2.resize(window, (width, height), interpolation=interpolation)
            return np.ascontiguousarray(resized[rows, columns])
        matrix = np.array(
            [
                [self.columns.step, 0, self.columns.neighbours()[1]],
                [0, self.rows.step, self.rows.neighbours()[1]],
            ]
        )
        return cv2.warpAffine(
            window,
            matrix,
            (self.columns.count, self.rows.count),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )


def _shifted(window: slice, by: int) -> slice:
    return slice(window.start + by, window.stop + by)
