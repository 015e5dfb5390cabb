"""Training transforms: scale, crop and flip in one resampling, then colour jitter.

The whole image is never resized. The scale and the position of the crop are drawn first,
then only the source pixels under the crop are resampled, once. The result is what resizing
the whole image (bilinear, half-pixel centres) and cutting the crop would give.

Images stay uint8; normalisation happens on the device (`Segmenter.normalize`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from segscape.data.base import IGNORE_INDEX
from segscape.errors import UserError

# Above this period an axis is warped instead of resized, see `_Axis.aligned`.
_LONGEST_PERIOD = 16


class Transform(Protocol):
    """What a data module applies to a training sample."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) and label (H, W), both uint8, to the same at the crop's size."""
        ...


class Identity:
    """No augmentation: whole images, as they are."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what came in."""
        return image, label


class ColourJitter:
    """Brightness, contrast, saturation and hue in random order, in uint8.

    The operations of PaddleSeg's RandomDistort: each is applied with its own coin, its
    amount is uniform, and the order is shuffled. Contrast blends with the mean grey level
    of the image, saturation with the grey level (ITU-R 601) of the pixel.

    Args:
        brightness: factor is drawn from 1-x..1+x; 0 turns it off.
        contrast: as brightness.
        saturation: as brightness.
        hue: the shift is drawn from -x..+x degrees.
        probability: of each operation.
    """

    def __init__(
        self,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 18.0,
        probability: float = 0.5,
    ) -> None:
        for name, value in (
            ("augment.brightness", brightness),
            ("augment.contrast", contrast),
            ("augment.saturation", saturation),
        ):
            _require(0 <= _number(name, value) <= 1, name, value, "a number from 0 to 1")
        _require(
            0 <= _number("augment.hue", hue) <= 180, "augment.hue", hue, "degrees from 0 to 180"
        )
        _require_probability("augment.jitter_probability", probability)
        self.ranges = (brightness, contrast, saturation, hue)
        self.probability = probability

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Jitter an RGB image (H, W, 3) uint8; the input is not modified."""
        # All draws happen whatever is applied, so that options do not shift each other.
        order = rng.permutation(4)
        applied = rng.random(4) < self.probability
        amounts = rng.uniform(-1, 1, 4) * self.ranges
        # Brightness and contrast map channel values: they are collected in one table.
        table: np.ndarray | None = None
        for operation in order:
            amount = float(amounts[operation])
            if not applied[operation] or amount == 0:
                continue
            if operation == 0:
                step = _line(1 + amount, 0)
                table = step if table is None else step[table]
                continue
            image, table = (image, None) if table is None else (cv2.LUT(image, table), None)
            if operation == 1:
                table = _line(1 + amount, -amount * _mean_grey(image))
            elif operation == 2:
                image = _saturate(image, 1 + amount)
            else:
                image = _shift_hue(image, amount)
        return image if table is None else cv2.LUT(image, table)


class TrainTransform:
    """Random scale, crop, flip and colour jitter of a training sample.

    Args:
        crop: height and width of the result, pixels.
        scale: smallest and largest factor on the size of the image.
        scale_step: factors are drawn from the grid scale[0], scale[0] + scale_step, ... up to
            scale[1] (PaddleSeg's ResizeStepScaling); None draws them continuously.
        flip: probability of a horizontal flip.
        brightness: see `ColourJitter`.
        contrast: see `ColourJitter`.
        saturation: see `ColourJitter`.
        hue: degrees, see `ColourJitter`.
        jitter_probability: of each of the four colour operations.
        pad_value: grey level right of and below an image smaller than the crop (before
            the flip). The label is 255 there.
        antialias: average the pixels under a result pixel when shrinking. Off in the
            recipes of the literature (plain bilinear). The image may be displaced by up
            to half a source pixel.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        crop: Sequence[int],
        scale: Sequence[float] = (0.5, 2.0),
        scale_step: float | None = None,
        flip: float = 0.5,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 18.0,
        jitter_probability: float = 0.5,
        pad_value: int = 127,
        antialias: bool = False,
    ) -> None:
        self.crop = check_size("augment.crop", crop)
        self.scales = _check_scales(scale, scale_step)
        self.stepped = scale_step is not None
        self.flip = _require_probability("augment.flip", flip)
        _require(
            0 <= _number("augment.pad_value", pad_value) <= 255,
            "augment.pad_value",
            pad_value,
            "0 to 255",
        )
        self.pad_value = int(pad_value)
        self.antialias = bool(antialias)
        self.jitter = ColourJitter(brightness, contrast, saturation, hue, jitter_probability)

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transform one sample; every random choice comes from `rng`.

        Args:
            image: RGB, uint8, (H, W, 3).
            label: uint8, (H, W).
            rng: source of the choices.

        Returns:
            image (crop height, crop width, 3) and label (crop height, crop width), uint8.
            The inputs are not modified.
        """
        scale = self._draw_scale(rng)
        rows, columns = (
            _Axis.draw(size, scale, crop, rng)
            for size, crop in zip(label.shape, self.crop, strict=True)
        )
        flip = rng.random() < self.flip
        image = resample_image(image, rows, columns, self.antialias)
        label = resample_label(label, rows, columns)
        # Jitter before padding: the grey of the padding stays neutral and does not enter the
        # mean of the contrast (PaddleSeg pads first; the label is ignored there either way).
        image = self.jitter(image, rng)
        image, label = self._pad(image, label)
        if flip:
            image, label = cv2.flip(image, 1), cv2.flip(label, 1)
        return np.ascontiguousarray(image), np.ascontiguousarray(label)

    def _draw_scale(self, rng: np.random.Generator) -> float:
        if self.stepped:
            return float(self.scales[rng.integers(len(self.scales))])
        return float(rng.uniform(self.scales[0], self.scales[-1]))

    def _pad(self, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bottom, right = self.crop[0] - label.shape[0], self.crop[1] - label.shape[1]
        if bottom == 0 and right == 0:
            return image, label
        grey = (self.pad_value,) * 3
        constant = cv2.BORDER_CONSTANT
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, constant, value=grey)
        label = cv2.copyMakeBorder(label, 0, bottom, 0, right, constant, value=(IGNORE_INDEX,))
        return image, label


@dataclass(frozen=True)
class _Axis:
    """One axis of the crop: `count` pixels from `offset` on, of an image of `size` pixels
    that is thought of as resized to `scaled` pixels."""

    size: int
    scaled: int
    offset: int
    count: int

    @classmethod
    def draw(cls, size: int, scale: float, crop: int, rng: np.random.Generator) -> _Axis:
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

    def aligned(self) -> tuple[slice, int, slice] | None:
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


def resample_image(
    image: np.ndarray, rows: _Axis, columns: _Axis, antialias: bool = False
) -> np.ndarray:
    """The crop of the resized image, bilinear, without resizing what lies outside of it."""
    shape = (columns.count, rows.count)
    if rows.size == rows.scaled and columns.size == columns.scaled:
        return image[rows.source, columns.source]
    if antialias and (rows.step > 1 or columns.step > 1):
        return cv2.resize(image[rows.source, columns.source], shape, interpolation=cv2.INTER_AREA)
    vertical, horizontal = rows.aligned(), columns.aligned()
    if vertical is not None and horizontal is not None:
        window = image[vertical[0], horizontal[0]]
        resized = cv2.resize(window, (horizontal[1], vertical[1]), interpolation=cv2.INTER_LINEAR)
        return np.ascontiguousarray(resized[vertical[2], horizontal[2]])
    (window_rows, top), (window_columns, left) = rows.neighbours(), columns.neighbours()
    matrix = np.array([[columns.step, 0, left], [0, rows.step, top]])
    return cv2.warpAffine(
        image[window_rows, window_columns],
        matrix,
        shape,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )


def resample_label(label: np.ndarray, rows: _Axis, columns: _Axis) -> np.ndarray:
    """The crop of the resized label: each pixel takes the id under its centre."""
    if rows.size == rows.scaled and columns.size == columns.scaled:
        return label[rows.source, columns.source]
    return label.take(rows.nearest(), axis=0).take(columns.nearest(), axis=1)


def check_size(name: str, value: Any) -> tuple[int, int]:
    """Height and width as two positive ints; UserError naming the option otherwise."""
    wanted = f"[height, width] in pixels, for example {name}=[256,512]"
    _require(
        isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2,
        name,
        value,
        wanted,
    )
    for length in value:
        _require(isinstance(length, int) and length > 0, name, value, wanted)
    return int(value[0]), int(value[1])


def _check_scales(scale: Sequence[float], step: float | None) -> np.ndarray:
    """The grid of scales, or the two ends of a continuous range."""
    wanted = "[smallest, largest], both above 0, for example [0.5, 2.0]"
    _require(
        isinstance(scale, Sequence) and not isinstance(scale, str) and len(scale) == 2,
        "augment.scale",
        scale,
        wanted,
    )
    low, high = (_number("augment.scale", value) for value in scale)
    _require(0 < low <= high, "augment.scale", list(scale), wanted)
    if step is None:
        return np.array([low, high])
    _require(
        _number("augment.scale_step", step) > 0,
        "augment.scale_step",
        step,
        "a number above 0, or null",
    )
    # The tolerance keeps the last point of 0.5..2.0 by 0.1 in spite of float division.
    return low + step * np.arange(int((high - low) / step + 1 + 1e-6))


def _require(good: bool, name: str, value: Any, wanted: str) -> None:
    if not good:
        raise UserError(f"{name}={value} cannot be used", f"Expected {wanted}.")


def _number(name: str, value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    _require(is_number, name, value, "a number")
    return float(value)


def _require_probability(name: str, value: float) -> float:
    _require(0 <= _number(name, value) <= 1, name, value, "a probability from 0 to 1")
    return float(value)


def _line(factor: float, offset: float) -> np.ndarray:
    """Table of round(factor * x + offset), clipped to 0..255."""
    return np.clip(np.rint(np.arange(256) * factor + offset), 0, 255).astype(np.uint8)


def _mean_grey(image: np.ndarray) -> float:
    red, green, blue = cv2.mean(image)[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _saturate(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, grey, 1 - factor, 0)


def _shift_hue(image: np.ndarray, degrees: float) -> np.ndarray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    # The hue circle has 256 steps, so the sum wraps where it should.
    hsv[..., 0] += np.uint8(round(degrees * 256 / 360) % 256)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
