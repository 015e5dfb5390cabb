"""The camera of the streets: places in metres to pixels, and these to what OpenCV draws with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

Point = tuple[float, float]
Place = tuple[float, float, float]

BITS = 4  # fractional bits of the coordinates handed to OpenCV
ONE = 1 << BITS


@dataclass
class Camera:
    """Pinhole camera above the road: x right of the road's middle, y up, z along the road (metres).

    The road bends: its middle at z lies at ``curve * z**2``. Heading and pitch are the place of the
    vanishing point; walls across the view therefore stay upright, and a small roll turns it all.

    Attributes:
        focal: pixels of the canvas.
        u, v: vanishing point in pixels of the canvas.
        x: metres right of the road's middle.
        height: metres above the road.
        curve: bend in 1/m.
        roll: radians, small.
        near: metres; the nearest distance that things are cut at.
    """

    focal: float
    u: float
    v: float
    x: float
    height: float
    curve: float
    roll: float
    near: float
    _bends: dict[tuple[float, float], list[tuple[float, float]]] = field(default_factory=dict)

    @property
    def cut(self) -> float:
        """Metres at which upright things beside the camera are cut: out of view even when near."""
        return min(0.8 * self.near, 0.6)

    def point(self, x: float, y: float, z: float) -> Point:
        """Pixel of one place."""
        scale = self.focal / z
        du = (x + self.curve * z * z - self.x) * scale
        dv = (self.height - y) * scale
        return self.u + du - self.roll * dv, self.v + dv + self.roll * du

    def outline(self, places: Sequence[Place]) -> list[Point]:
        """Pixels of a few places (x, y, z): plain arithmetic is faster than numpy for so few."""
        focal, curve, roll, u, v = self.focal, self.curve, self.roll, self.u, self.v
        left, height = self.x, self.height
        pixels = []
        for x, y, z in places:
            scale = focal / z
            du = (x + curve * z * z - left) * scale
            dv = (height - y) * scale
            pixels.append((u + du - roll * dv, v + dv + roll * du))
        return pixels

    def wall(
        self, a: tuple[float, float], b: tuple[float, float], low: float, high: float
    ) -> list[Point]:
        """Outline of an upright wall between two places (x, z): top of a, top of b, then below."""
        (xa, za), (xb, zb) = a, b
        return self.outline([(xa, high, za), (xb, high, zb), (xb, low, zb), (xa, low, za)])

    def posts(self, x: float, z: np.ndarray, low: float, high: float) -> np.ndarray:
        """Pixels (n, 2, 2) of upright lines from low to high at places (x, z), z being (n,)."""
        scale = self.focal / z
        du = (x - self.x + self.curve * z * z) * scale
        u, v = du + self.u, self.roll * du + self.v
        pixels = np.empty((len(z), 2, 2))
        for end, y in enumerate((low, high)):
            dv = (self.height - y) * scale
            pixels[:, end, 0] = u - self.roll * dv
            pixels[:, end, 1] = v + dv
        return pixels

    def points(self, places: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of places (..., 3)."""
        x, y, z = places[..., 0], places[..., 1], places[..., 2]
        scale = self.focal / z
        du = (x - self.x + self.curve * z * z) * scale
        dv = (self.height - y) * scale
        pixels = np.empty((*z.shape, 2))
        pixels[..., 0] = du - self.roll * dv + self.u
        pixels[..., 1] = dv + self.roll * du + self.v
        return pixels

    def ground(self, x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> list[Point]:
        """Outline of a band of ground between two lateral places, along the bend."""
        z0 = max(z0, self.near)
        z1 = max(z1, z0 + 1e-3)
        along = self._bends.get((z0, z1))
        if along is None:
            along = self._bends[z0, z1] = self._bend(z0, z1)
        roll, u, v, height = self.roll, self.u, self.v, self.height - y
        pixels = []
        for x, steps in ((x0 - self.x, along), (x1 - self.x, reversed(along))):
            for scale, shift in steps:
                du, dv = (x + shift) * scale, height * scale
                pixels.append((u + du - roll * dv, v + dv + roll * du))
        return pixels

    def _bend(self, z0: float, z1: float) -> list[tuple[float, float]]:
        """Pixels per metre and sideways shift of the road, from near to far."""
        steps = 10 if self.curve and z1 - z0 > 4 else 1
        ratio = (z1 / z0) ** (1 / steps)
        places = [z0 * ratio**k for k in range(steps + 1)]
        return [(self.focal / z, self.curve * z * z) for z in places]


def fixed(points: np.ndarray | Sequence[Point]) -> np.ndarray:
    """Points as OpenCV's fixed point coordinates, int32 of the same shape."""
    if isinstance(points, np.ndarray):
        return (points * ONE).astype(np.int32)
    # From a flat list, numpy makes an array twice as fast as from pairs.
    flat = [ONE * coordinate for point in points for coordinate in point]
    return np.array(flat, np.int32).reshape(-1, 2)
