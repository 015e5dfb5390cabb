"""Checks of the arguments of transforms, made before the run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from segscape.errors import UserError


def check_size(name: str, value: Any) -> tuple[int, int]:
    """Height and width as two positive ints; UserError naming the option otherwise."""
    wanted = f"[height, width] in pixels, for example {name}=[256,512]"
    _require_pair(name, value, wanted)
    for length in value:
        require(isinstance(length, int) and length > 0, name, value, wanted)
    return int(value[0]), int(value[1])


def check_scales(scale: Sequence[float], step: float | None) -> np.ndarray:
    """The grid of scales, or the two ends of a continuous range."""
    wanted = "[smallest, largest], both above 0, for example [0.5, 2.0]"
    _require_pair("augment.scale", scale, wanted)
    low, high = (number("augment.scale", value) for value in scale)
    require(0 < low <= high, "augment.scale", list(scale), wanted)
    if step is None:
        return np.array([low, high])
    good = number("augment.scale_step", step) > 0
    require(good, "augment.scale_step", step, "a number above 0, or null")
    # The tolerance keeps the last point of 0.5..2.0 by 0.1 despite the float division.
    return low + step * np.arange(int((high - low) / step + 1 + 1e-6))


def require(good: bool, name: str, value: Any, wanted: str) -> None:
    """UserError naming the option and what was expected, unless `good`."""
    if not good:
        raise UserError(f"{name}={value} cannot be used", f"expected {wanted}")


def number(name: str, value: Any) -> float:
    """The value as a float; UserError naming the option when it is no number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    require(is_number, name, value, "a number")
    return float(value)


def require_probability(name: str, value: float) -> float:
    """The value as a float; UserError naming the option unless it is within 0..1."""
    require(0 <= number(name, value) <= 1, name, value, "a probability from 0 to 1")
    return float(value)


def require_count_or_none(name: str, value: Any) -> None:
    """UserError naming the option unless it is None or an int above 0."""
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    require(value is None or is_count, name, value, "a whole number above 0, or null")


def check_range(name: str, value: Any, least: float, most: float) -> tuple[float, float]:
    """Two numbers, the first not above the second, both within least..most."""
    wanted = f"[smallest, largest] from {least:g} to {most:g}"
    _require_pair(name, value, wanted)
    low, high = (number(name, v) for v in value)
    require(least <= low <= high <= most, name, list(value), wanted)
    return low, high


def require_flag(name: str, value: Any) -> bool:
    """True or False; UserError naming the option otherwise."""
    require(isinstance(value, bool), name, value, "true or false")
    return bool(value)


def _require_pair(name: str, value: Any, wanted: str) -> None:
    is_pair = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2
    require(is_pair, name, value, wanted)
