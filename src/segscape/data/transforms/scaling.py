"""The factor between an image and the scaled image that the crop is cut from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from segscape.data.transforms.checks import check_scales, require, require_count_or_none
from segscape.errors import choice

DRAWS = ("uniform", "log_uniform")
SMALL = ("pad", "enlarge")


class Scaling:
    """Draws the factor on the size of an image.

    Args:
        scale: smallest and largest factor.
        scale_step: draw from the grid scale[0], scale[0] + scale_step, ...; None: continuous.
        scale_draw: uniform, or log_uniform (as often a halving as a doubling; EdgeNets).
        short_side: factors refer to the image resized to this short side (mmsegmentation's
            `Resize`), in pixels; None: to the image as it is.
        long_side: limit of that resizing; None: none.
        small: how an image smaller than the crop is treated: pad, or enlarge it to the crop
            (STDC).

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        scale: Sequence[float],
        scale_step: float | None,
        scale_draw: str,
        short_side: int | None,
        long_side: int | None,
        small: str,
    ) -> None:
        self.scales = check_scales(scale, scale_step)
        self.stepped = scale_step is not None
        choice("augment.scale_draw", scale_draw, DRAWS)
        self.logarithmic = scale_draw == "log_uniform"
        require(
            not (self.stepped and self.logarithmic),
            "augment.scale_draw",
            scale_draw,
            "uniform with a scale_step: a grid is drawn uniformly",
        )
        for name, side in (("short_side", short_side), ("long_side", long_side)):
            require_count_or_none(f"augment.{name}", side)
        require(
            long_side is None or (short_side is not None and short_side <= long_side),
            "augment.long_side",
            long_side,
            "short_side or more, and a short_side",
        )
        self.short_side, self.long_side = short_side, long_side
        choice("augment.small", small, SMALL)
        self.enlarges = small == "enlarge"

    def draw(self, size: tuple[int, int], crop: tuple[int, int], rng: np.random.Generator) -> float:
        """The factor for an image of this height and width."""
        factor = self.base(size) * self.draw_scale(rng)
        if self.enlarges:
            factor = max(factor, *(wanted / side for side, wanted in zip(size, crop, strict=True)))
        return factor

    def base(self, size: tuple[int, int]) -> float:
        """The factor of the resizing that comes before the random one."""
        if self.short_side is None:
            return 1.0
        factor = self.short_side / min(size)
        return factor if self.long_side is None else min(factor, self.long_side / max(size))

    def draw_scale(self, rng: np.random.Generator) -> float:
        """The random factor."""
        if self.stepped:
            return float(self.scales[rng.integers(len(self.scales))])
        low, high = float(self.scales[0]), float(self.scales[-1])
        if self.logarithmic:
            return math.exp(rng.uniform(math.log(low), math.log(high)))
        return float(rng.uniform(low, high))
