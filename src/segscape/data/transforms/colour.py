"""Colour of training images: in uint8, by tables where these are exact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from segscape.data.transforms.checks import check_range, number, require, require_probability
from segscape.errors import choice

COLOURS = ("paddleseg", "stdc", "mmseg", "none")
# Brightness, contrast, saturation, hue in degrees, probability: what each was published with.
_PUBLISHED = {
    # 18 of the 256 steps of an 8-bit hue
    "paddleseg": (0.5, 0.5, 0.5, 25.3, 0.5),
    "stdc": (0.5, 0.5, 0.5, 0.0, 1.0),
    # 32 grey levels; 18 of the 180 steps of OpenCV's hue
    "mmseg": (0.125, 0.5, 0.5, 36.0, 0.5),
    "none": (0.0, 0.0, 0.0, 0.0, 0.0),
}


class Colour(Protocol):
    """A random change of colours."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Change an RGB image (H, W, 3) uint8; the input is not modified."""
        ...


def make_colour(
    name: str,
    brightness: float | None,
    contrast: float | None,
    saturation: float | None,
    hue: float | None,
    probability: float | None,
) -> Colour:
    """The colour augmentation of this name; None: its published amount.

    Raises:
        UserError: no such name, an amount out of range, or amounts for none.
    """
    choice("augment.colour", name, COLOURS)
    given = (brightness, contrast, saturation, hue, probability)
    if name == "none":
        for option, value in zip(_OPTIONS, given, strict=True):
            require(not value, option, value, "a colour that uses it, or nothing")
    published = _PUBLISHED[name]
    amounts = [a if value is None else value for a, value in zip(published, given, strict=True)]
    if name == "mmseg":
        return PhotoMetricDistortion(*amounts)
    b, c, s, h, p = amounts
    return ColourJitter(b, c, s, h, p, shuffled=name != "stdc")


_OPTIONS = tuple(
    f"augment.{name}"
    for name in ("brightness", "contrast", "saturation", "hue", "jitter_probability")
)


def _check_amounts(*amounts: float) -> None:
    for name, value in zip(_OPTIONS[:3], amounts, strict=False):
        require(0 <= number(name, value) <= 1, name, value, "a number from 0 to 1")
    require(
        0 <= number(_OPTIONS[3], amounts[3]) <= 180, _OPTIONS[3], amounts[3], "0 to 180 degrees"
    )
    require_probability(_OPTIONS[4], amounts[4])


class ColourJitter:
    """Brightness, contrast, saturation and hue, each a blend with an image without it.

    The operations of PaddleSeg's RandomDistort: each is applied independently at random, its
    amount is uniform, and the order is shuffled. Contrast blends with the mean grey level
    of the image, saturation with the grey level (ITU-R 601) of the pixel. STDC's ColorJitter is
    the same in this order, always applied and without hue.

    Args:
        brightness: factor is drawn from 1-x..1+x; 0 turns it off.
        contrast: as brightness.
        saturation: as brightness.
        hue: the shift is drawn from -x..+x degrees.
        probability: of each operation.
        shuffled: any order of the operations; otherwise that of the arguments.
    """

    def __init__(
        self,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 18.0,
        probability: float = 0.5,
        shuffled: bool = True,
    ) -> None:
        _check_amounts(brightness, contrast, saturation, hue, probability)
        self.ranges = (brightness, contrast, saturation, hue)
        self.probability = probability
        self.shuffled = shuffled

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Jitter an RGB image (H, W, 3) uint8; the input is not modified."""
        # All draws happen whatever is applied, so that options do not shift each other.
        order = rng.permutation(4)
        applied = rng.random(4) < self.probability
        amounts = rng.uniform(-1, 1, 4) * self.ranges
        # Brightness and contrast map channel values: they are collected in one table.
        table: np.ndarray | None = None
        for operation in order if self.shuffled else range(4):
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
                image = turn_hsv(image, 1.0, amount)
        return image if table is None else cv2.LUT(image, table)


class PhotoMetricDistortion:
    """Brightness, contrast, saturation and hue after SSD, as mmsegmentation has them.

    Brightness is added, contrast multiplies the channels, saturation that of HSV; contrast
    comes before saturation and hue or after them, at equal odds. Each is applied independently.

    Args:
        brightness: drawn from -x..+x times 256 grey levels.
        contrast: factor is drawn from 1-x..1+x.
        saturation: as contrast.
        hue: the shift is drawn from -x..+x degrees.
        probability: of each operation.
    """

    def __init__(
        self,
        brightness: float = 0.125,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 36.0,
        probability: float = 0.5,
    ) -> None:
        _check_amounts(brightness, contrast, saturation, hue, probability)
        self.ranges = (256 * brightness, contrast, saturation, hue)
        self.probability = probability

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Distort an RGB image (H, W, 3) uint8; the input is not modified."""
        contrast_first = rng.random() < 0.5
        applied = rng.random(4) < self.probability
        brightness, contrast, saturation, hue = np.where(
            applied, rng.uniform(-1, 1, 4) * self.ranges, 0.0
        )
        first, last = _line(1, brightness), _line(1 + contrast, 0)
        if contrast_first:
            first, last = last[first], _line(1, 0)
        image = _mapped(image, first)
        if saturation or hue:
            image = turn_hsv(image, 1 + saturation, hue)
        return _mapped(image, last)


class Blur:
    """Gaussian blur.

    Args:
        probability: of a blur.
        kernel: width in pixels, odd.
        sigma: smallest and largest standard deviation, pixels; None: OpenCV's for the kernel.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(self, probability: float, kernel: int, sigma: Sequence[float] | None) -> None:
        self.probability = require_probability("augment.blur", probability)
        odd = isinstance(kernel, int) and 3 <= kernel <= 31 and kernel % 2 == 1
        require(odd, "augment.blur_kernel", kernel, "an odd number of pixels from 3 to 31")
        self.kernel = kernel
        # OpenCV's value for a sigma of 0.
        usual = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
        self.sigma = (
            (usual, usual) if sigma is None else check_range("augment.blur_sigma", sigma, 0.05, 10)
        )

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Blur an image (H, W, 3) uint8 or not; the input is not modified."""
        if self.probability == 0 or rng.random() >= self.probability:
            return image
        sigma = rng.uniform(*self.sigma)
        return cv2.GaussianBlur(image, (self.kernel, self.kernel), sigma)


def _mapped(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    return image if np.array_equal(table, np.arange(256)) else cv2.LUT(image, table)


def _line(factor: float, offset: float) -> np.ndarray:
    """Table of round(factor * x + offset), clipped to 0..255."""
    return np.clip(np.rint(np.arange(256) * factor + offset), 0, 255).astype(np.uint8)


def _mean_grey(image: np.ndarray) -> float:
    red, green, blue = cv2.mean(image)[:3]
    return 0.299 * red + 0.587 * green + 0.114 * blue


def _saturate(image: np.ndarray, factor: float) -> np.ndarray:
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, factor, grey, 1 - factor, 0)


def turn_hsv(image: np.ndarray, factor: float, degrees: float) -> np.ndarray:
    """Multiply the saturation of HSV and turn its hue, in one table of three channels."""
    # The hue circle has 256 steps, so the sum wraps correctly.
    turned = (np.arange(256) + round(degrees * 256 / 360)).astype(np.uint8)
    table = np.stack([turned, _line(factor, 0), _line(1, 0)], axis=1)[None]
    hsv = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL), table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)
