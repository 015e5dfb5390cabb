"""Scale, rotation and crop as one warp of the source pixels that the crop needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segscape.data.base import IGNORE_INDEX, Sample
from segscape.data.transforms.geometry import Axis


@dataclass(frozen=True)
class Rotation:
    """A crop of an image that is resized and then turned about its centre.

    The canvas keeps the size of the resized image: pixels that leave it are cut off, those that
    enter are `pad_value` and 255. Positions are measured from the canvas's top left edge, so that
    pixel i has its centre at i + 0.5.

    Args:
        rows: of the crop.
        columns: of the crop.
        degrees: rotation of the image, counter-clockwise.
        antialias: average the pixels under a result pixel when shrinking.
        pad_value: grey level outside of the image.
    """

    rows: Axis
    columns: Axis
    degrees: float
    antialias: bool = False
    pad_value: int = 127

    def turned(self, row: float, column: float) -> tuple[float, float]:
        """Where a position of the resized image is after the rotation."""
        return self._turn(row, column, math.radians(self.degrees))

    def _turn(self, row: float, column: float, angle: float) -> tuple[float, float]:
        centre = self.rows.scaled / 2, self.columns.scaled / 2
        down, right = row - centre[0], column - centre[1]
        sine, cosine = math.sin(angle), math.cos(angle)
        return centre[0] + cosine * down - sine * right, centre[1] + sine * down + cosine * right

    def source(self, row: float, column: float) -> tuple[float, float]:
        """The position in the source of a position in the crop."""
        turned = self._turn(
            self.rows.offset + row, self.columns.offset + column, -math.radians(self.degrees)
        )
        return turned[0] * self.rows.step, turned[1] * self.columns.step

    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the source that image and label need."""
        height, width = self.rows.count, self.columns.count
        corners = [self.source(row, column) for row in (0, height) for column in (0, width)]
        found = []
        for axis, values in zip((self.rows, self.columns), zip(*corners, strict=True), strict=True):
            low = min(max(math.floor(min(values) - 0.5), 0), axis.size - 1)
            high = min(math.floor(max(values) - 0.5) + 2, axis.size)
            found.append(slice(low, max(high, low + 1)))
        return found[0], found[1]

    def __call__(self, part: Sample) -> Sample:
        """Warp the pixels of `window` to the crop.

        Args:
            part: the source's pixels of `window`; not modified.

        Returns:
            image and label of the crop's size, new arrays.
        """
        samples = 1
        if self.antialias:
            samples = max(1, math.ceil(max(self.rows.step, self.columns.step)))
        grey = (self.pad_value,) * 3
        image = self._warp(part.image, cv2.INTER_LINEAR, grey, samples)
        if samples > 1:
            # The samples under each result pixel are averaged.
            shape = (self.columns.count, self.rows.count)
            image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)
        return Sample(image, self._warp(part.label, cv2.INTER_NEAREST, (IGNORE_INDEX,)))

    def _warp(
        self, pixels: np.ndarray, interpolation: int, outside: tuple[int, ...], samples: int = 1
    ) -> np.ndarray:
        """A warp of `window`, with several samples per result pixel and axis."""
        rows, columns = self.window()
        # The map is affine: its value at the first sample, and its change from one to the next.
        first, spacing = 0.5 / samples, 1 / samples
        origin = self.source(first, first)
        right = self.source(first, first + spacing)
        down = self.source(first + spacing, first)
        y0, x0 = origin[0] - 0.5 - rows.start, origin[1] - 0.5 - columns.start
        matrix = np.array(
            [
                [right[1] - origin[1], down[1] - origin[1], x0],
                [right[0] - origin[0], down[0] - origin[0], y0],
            ]
        )
        return cv2.warpAffine(
            np.ascontiguousarray(pixels),
            matrix,
            (self.columns.count * samples, self.rows.count * samples),
            flags=interpolation | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=outside,
        )
