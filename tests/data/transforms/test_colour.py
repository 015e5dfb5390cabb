"""Colours follow their formulas: the jitters, the photometric distortion, the blur."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest

from segscape.data.transforms import (
    Blur,
    ColourJitter,
    PhotoMetricDistortion,
)
from segscape.data.transforms.colour import make_colour, turn_hsv


class Fixed:
    """Draws known numbers: coins that fall for some operations, amounts at their limit."""

    def __init__(self, applied: set[int], coin: float = 0.9, sign: float = 1.0) -> None:
        self.applied, self.coin, self.sign = applied, coin, sign

    def permutation(self, n: int) -> np.ndarray:
        return np.arange(n)

    def random(self, n: int | None = None) -> Any:
        if n is None:
            return self.coin
        return np.array([0.0 if i in self.applied else 1.0 for i in range(n)])

    def uniform(self, low: float, high: float, n: int) -> np.ndarray:
        return np.full(n, self.sign)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype=np.uint8)


def distorted(image: np.ndarray, applied: set[int], **options: Any) -> np.ndarray:
    fixed: Any = Fixed(applied, **options)
    return PhotoMetricDistortion()(image, fixed)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_photometric_brightness_and_contrast_are_exact(sign: float) -> None:
    image = noise(0)
    x = image.astype(float)
    plus, factor = sign * 32, 1 + sign * 0.5

    def rounded(values: np.ndarray) -> np.ndarray:
        return np.clip(np.rint(values), 0, 255)

    np.testing.assert_array_equal(distorted(image, {0}, sign=sign), rounded(x + plus))
    np.testing.assert_array_equal(distorted(image, {1}, sign=sign), rounded(x * factor))
    for coin in (0.1, 0.9):  # contrast first, contrast last: nothing is between them
        np.testing.assert_array_equal(
            distorted(image, {0, 1}, coin=coin, sign=sign), rounded(rounded(x + plus) * factor)
        )
    np.testing.assert_array_equal(distorted(image, set()), image)


def hsv_by_definition(pixel: np.ndarray, factor: float, degrees: float) -> np.ndarray:
    h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
    return np.array(colorsys.hsv_to_rgb((h + degrees / 360) % 1, min(s * factor, 1), v)) * 255


@pytest.mark.parametrize(("applied", "factor", "degrees"), [({2}, 1.5, 0), ({3}, 1, 36)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_photometric_saturation_and_hue_are_those_of_hsv(
    applied: set[int], factor: float, degrees: float, sign: float
) -> None:
    image = noise(1)
    got = distorted(image, applied, sign=sign)
    if sign < 0:
        factor, degrees = 2 - factor, -degrees
    wanted = [hsv_by_definition(pixel, factor, degrees) for pixel in image.reshape(-1, 3)]
    difference = np.abs(got.reshape(-1, 3) - np.array(wanted))
    # Hue has 256 steps in 8 bits, each up to 6 grey levels, and is rounded twice.
    assert difference.max() <= 10 and difference.mean() < 1.5


def test_photometric_contrast_comes_before_or_after_the_hue() -> None:
    image = noise(2)
    contrast, hue = {1}, {3}
    first = distorted(distorted(image, contrast), hue)
    last = distorted(distorted(image, hue), contrast)
    np.testing.assert_array_equal(distorted(image, contrast | hue, coin=0.1), first)
    np.testing.assert_array_equal(distorted(image, contrast | hue, coin=0.9), last)
    assert (first != last).any()


def test_stdc_applies_three_factors_in_order() -> None:
    """Brightness, contrast, saturation: 0.5 to 1.5, always, none of hue."""
    image = noise(3)
    rng = np.random.default_rng(5)
    got = make_colour("stdc", None, None, None, None, None)(image, rng)
    again = np.random.default_rng(5)
    again.permutation(4), again.random(4)
    factors = 1 + 0.5 * again.uniform(-1, 1, 4)
    x = np.clip(np.rint(image * factors[0]), 0, 255)
    grey = np.array([0.299, 0.587, 0.114])
    mean = (x @ grey).mean()
    x = np.clip(np.rint(mean + (x - mean) * factors[1]), 0, 255)
    own = (x @ grey)[..., None]
    x = np.clip(own + (x - own) * factors[2], 0, 255)
    assert np.abs(got - x).max() <= 1.51
    assert (got != image).any()


def test_amounts_default_to_the_published_ones() -> None:
    ours = make_colour("mmseg", None, 0.2, None, None, None)
    assert isinstance(ours, PhotoMetricDistortion) and ours.ranges == (32.0, 0.2, 0.5, 36.0)
    jitter = make_colour("paddleseg", None, None, None, 0.0, 1.0)
    assert isinstance(jitter, ColourJitter) and jitter.ranges == (0.5, 0.5, 0.5, 0.0)
    assert jitter.shuffled and jitter.probability == 1.0
    image = noise(4)
    nothing = make_colour("none", None, None, None, None, 0.0)
    np.testing.assert_array_equal(nothing(image, np.random.default_rng(0)), image)


def test_every_coin_falls_as_often_as_it_should() -> None:
    image = np.full((1, 1, 3), (200, 100, 50), np.uint8)
    colour = PhotoMetricDistortion(0.1, 0.0, 0.0, 0.0, probability=0.3)
    changed = [(colour(image, np.random.default_rng(i)) != image).any() for i in range(500)]
    assert 0.22 < np.mean(changed) < 0.36
    blur = Blur(0.3, 3, None)
    dot = np.zeros((5, 5, 3), np.uint8)
    dot[2, 2] = 255
    changed = [(blur(dot, np.random.default_rng(i)) != dot).any() for i in range(500)]
    assert 0.24 < np.mean(changed) < 0.36


@pytest.mark.parametrize(("kernel", "sigma"), [(5, None), (11, 1.3)])
def test_blur_is_a_gaussian(kernel: int, sigma: float | None) -> None:
    image = noise(5)
    got = Blur(1.0, kernel, None if sigma is None else (sigma, sigma))(
        image, np.random.default_rng(0)
    )
    half = kernel // 2
    deviation = 1.1 if sigma is None else sigma
    weights = np.exp(-(np.arange(-half, half + 1) ** 2) / (2 * deviation**2))
    weights /= weights.sum()
    padded = np.pad(image.astype(float), ((half, half), (half, half), (0, 0)), mode="reflect")
    rows = sum(w * padded[i : i + 24] for i, w in enumerate(weights))
    wanted = sum(w * rows[:, i : i + 32] for i, w in enumerate(weights))
    assert np.abs(got - wanted).max() <= 2 and np.abs(got - wanted).mean() < 0.6


def only(operation: int, amount: float, image: np.ndarray) -> np.ndarray:
    """The jitter with one operation at a known amount."""

    class Fixed:
        def permutation(self, n: int) -> np.ndarray:
            return np.arange(n)

        def random(self, n: int) -> np.ndarray:
            return np.where(np.arange(n) == operation, 0.0, 1.0)

        def uniform(self, low: float, high: float, n: int) -> np.ndarray:
            return np.full(n, 1.0)

    ranges = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    ranges[list(ranges)[operation]] = amount
    return ColourJitter(**ranges)(image, Fixed())  # type: ignore[arg-type]


def test_colour_operations_follow_their_formulas() -> None:
    image = noise(6)
    x = image.astype(float)
    grey = x @ [0.299, 0.587, 0.114]
    expected = {
        0: 1.4 * x,
        1: 1.4 * x - 0.4 * grey.mean(),
        2: 1.4 * x - 0.4 * grey[..., None],
    }
    for operation, wanted in expected.items():
        difference = only(operation, 0.4, image) - np.clip(wanted, 0, 255)
        assert np.abs(difference).max() <= 1.01, operation


def test_hue_turns_by_degrees() -> None:
    colours = np.array([[[200, 40, 40], [40, 160, 90], [90, 90, 220]]], np.uint8)
    for degrees in (-25.0, 18.0, 120.0):
        for before, after in zip(colours[0], turn_hsv(colours, 1.0, degrees)[0], strict=True):
            h, s, v = colorsys.rgb_to_hsv(*(before / 255))
            wanted = np.array(colorsys.hsv_to_rgb((h + degrees / 360) % 1, s, v)) * 255
            # the hue circle has 256 steps in 8 bits
            assert np.abs(after - wanted).max() <= 5


def test_jitter_tables_are_fused_exactly() -> None:
    """Contrast then brightness in one table equals one after the other."""
    image = noise(7)
    step_by_step = only(0, 0.3, only(1, 0.5, image))

    class Both:
        def permutation(self, n: int) -> np.ndarray:
            return np.array([1, 0, 2, 3])

        def random(self, n: int) -> np.ndarray:
            return np.array([0.0, 0.0, 1.0, 1.0])

        def uniform(self, low: float, high: float, n: int) -> np.ndarray:
            return np.ones(n)

    fused = ColourJitter(brightness=0.3, contrast=0.5)(image, Both())  # type: ignore[arg-type]
    np.testing.assert_array_equal(fused, step_by_step)
