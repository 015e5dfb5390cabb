"""One street: its road, its light, its canvas, and what every drawing function needs of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segscape.data.datasets.streets.camera import Camera, Point
from segscape.data.datasets.streets.canvas import Canvas
from segscape.data.datasets.streets.light import Light
from segscape.data.datasets.streets.rng import Rng
from segscape.data.datasets.streets.textures import Atlas

FLAT = 128  # value of the shade map at which the ground is unchanged


@dataclass(frozen=True)
class Road:
    """Cross-section of the street in metres.

    Attributes:
        half: half of the carriageway's width.
        left, right: widths of the pavements.
        junction: (z0, z1) of a street that crosses, or None.
        keep: -1 when traffic keeps left, 1 when it keeps right.
    """

    half: float
    left: float
    right: float
    junction: tuple[float, float] | None
    keep: int

    def pavement(self, side: int) -> float:
        """Width of the pavement on a side (-1 left, 1 right)."""
        return self.left if side < 0 else self.right

    def edge(self, side: int) -> float:
        """Outer edge of a side's pavement, a positive distance from the middle."""
        return self.half + self.pavement(side)

    def crossed(self, z0: float, z1: float) -> bool:
        """Whether the band from z0 to z1 meets the crossing street."""
        return self.junction is not None and z0 < self.junction[1] and z1 > self.junction[0]


@dataclass
class Scene:
    """One street while it is drawn: what every drawing function needs.

    Attributes:
        canvas: image and label.
        camera: where everything is seen from.
        light: sun, sky and haze.
        road: the street's measures.
        atlas: textures.
        rng: random numbers of this scene.
        shade: (H/2, W/2) uint8, factor of the ground's light times 128.
        shaded: bands (x, z0, z1, reach) where buildings keep the sun away.
    """

    canvas: Canvas
    camera: Camera
    light: Light
    road: Road
    atlas: Atlas
    rng: Rng
    shade: np.ndarray
    shaded: list[tuple[float, float, float, float]]

    def cast(self, places: list[tuple[float, float, float]], factor: float) -> None:
        """Darken a patch of ground given by places (x, y, z), before the ground is lit."""
        near = self.camera.near
        corners = self.camera.outline([(x, y, z if z > near else near) for x, y, z in places])
        across = [u for u, _ in corners]
        if max(across) < 0 or min(across) > self.canvas.width:
            return
        flat = [8 * coordinate for corner in corners for coordinate in corner]
        points = cv2.convexHull(np.array(flat, np.int32).reshape(-1, 2))
        value = int(FLAT * max(0.0, min(1.0, factor)))
        cv2.fillConvexPoly(self.shade, points, value, cv2.LINE_8, 4)

    def in_shadow(self, x: float, z: float) -> bool:
        """Whether a building keeps the sun from this place on the ground."""
        return any(z0 <= z <= z1 and reach > abs(x - a) for a, z0, z1, reach in self.shaded)

    def lit(self, x: float, z: float, shade: float = 1.0) -> None:
        """Set the canvas' tone for a thing standing at this place."""
        factor = 0.5 + 0.5 * self.light.shadow if self.in_shadow(x, z) else 1.0
        self.light.tone(self.canvas, z, shade * factor)

    def seen(self, *places: tuple[float, float], reach: float = 0.5) -> bool:
        """Whether a thing at places (x, z), give or take some metres, can be in view."""
        low, high = [], []
        width, slack = self.canvas.width, 0.03 * self.canvas.width  # the roll moves things a bit
        for x, z in places:
            z = max(z, self.camera.cut)
            u, around = self.camera.point(x, 1.0, z)[0], reach * self.camera.focal / z + slack
            low.append(u - around)
            high.append(u + around)
        return min(low) < width and max(high) > 0

    def at(self, x: float, y: float, z: float) -> Point:
        """Pixel of one place."""
        return self.camera.point(x, y, z)

    def scale(self, z: float) -> float:
        """Pixels of one metre at a distance."""
        return self.camera.focal / z
