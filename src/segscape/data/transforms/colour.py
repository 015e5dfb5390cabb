"""Colour jitter of training images, in uint8 and by tables where these are exact."""

from __future__ import annotations

import cv2
import numpy as np

from segscape.data.transforms.checks import number, require, require_probability


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
            require(0 <= number(name, value) <= 1, name, value, "a number from 0 to 1")
        require(0 <= number("augment.hue", hue) <= 180, "augment.hue", hue, "degrees from 0 to 180")
        require_probability("augment.jitter_probability", probability)
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
