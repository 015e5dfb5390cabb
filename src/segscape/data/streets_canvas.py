"""Drawing tools of the streets: dice, a camera that follows the road, a canvas of image and label.

The canvas is drawn at twice the asked size. The image is averaged down (smooth edges), the label is
sampled at one pixel of four (exact ids, no mixing), so both come from the same polygons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

Colour = tuple[float, float, float]
Point = tuple[float, float]

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255

_BITS = 4  # fractional bits of the coordinates handed to OpenCV
_ONE = 1 << _BITS
_FAR = 1 << 14  # pixels; beyond this nothing is visible and OpenCV's fixed point would overflow


class Dice:
    """Uniform random numbers from (seed, index), drawn in blocks so that one costs 0.1 µs.

    Only ``Generator.random`` is used: its stream is the same on every machine and numpy version.
    """

    def __init__(self, *entropy: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
        self._refill()

    def _refill(self) -> None:
        self._next = iter(self._generator.random(1024).tolist()).__next__

    def random(self) -> float:
        """A number in [0, 1)."""
        try:
            return self._next()
        except StopIteration:
            self._refill()
            return self._next()

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.random()

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return low + int(self.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pick(self, options: Sequence):
        """One of the options."""
        return options[int(self.random() * len(options))]

    def sign(self) -> int:
        """-1 or 1."""
        return -1 if self.random() < 0.5 else 1

    def jitter(self, colour: Colour, amount: float) -> Colour:
        """The colour with its brightness and each channel moved by up to the amount."""
        shift = self.uniform(-amount, amount)
        r, g, b = colour
        third = amount / 3
        return (
            r + shift + self.uniform(-third, third),
            g + shift + self.uniform(-third, third),
            b + shift + self.uniform(-third, third),
        )


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

    def point(self, x: float, y: float, z: float) -> Point:
        """Pixel of one place."""
        scale = self.focal / z
        du = (x + self.curve * z * z - self.x) * scale
        dv = (self.height - y) * scale
        return self.u + du - self.roll * dv, self.v + dv + self.roll * du

    def points(self, places: np.ndarray) -> np.ndarray:
        """Pixels (..., 2) of places (..., 3)."""
        z = places[..., 2]
        scale = self.focal / z
        du = (places[..., 0] + self.curve * z * z - self.x) * scale
        dv = (self.height - places[..., 1]) * scale
        return np.stack((self.u + du - self.roll * dv, self.v + dv + self.roll * du), axis=-1)

    def ground(self, x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> np.ndarray:
        """Outline (n, 2) of a band of ground between two lateral places, along the bend."""
        z0 = max(z0, self.near)
        z1 = max(z1, z0 + 1e-3)
        count = 14 if self.curve and z1 - z0 > 4 else 2
        z = np.geomspace(z0, z1, count)
        places = np.empty((2 * count, 3))
        places[:count, 0] = x0
        places[count:, 0] = x1
        places[:, 1] = y
        places[:count, 2] = z
        places[count:, 2] = z[::-1]
        return self.points(places)


def fixed(points: np.ndarray | Sequence[Point]) -> np.ndarray:
    """Points as OpenCV's fixed point coordinates, int32 of the same shape."""
    scaled = np.asarray(points, dtype=np.float64) * _ONE
    np.clip(scaled, -_FAR * _ONE, _FAR * _ONE, out=scaled)
    return np.rint(scaled).astype(np.int32)


class Canvas:
    """Image (H, W, 3) and label (H, W) that are painted together, at twice the final size.

    Colours are lit and mixed with haze by the tone that is set for the thing being painted.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = 2 * height, 2 * width
        self.image = np.empty((self.height, self.width, 3), np.uint8)
        self.label = np.full((self.height, self.width), VOID, np.uint8)
        self.gain: Colour = (1.0, 1.0, 1.0)
        self.haze: Colour = (0.0, 0.0, 0.0)

    def tone(self, gain: Colour, haze: Colour, share: float) -> None:
        """Set the light for what follows: colour * gain * (1 - share) + haze * share."""
        rest = 1.0 - share
        self.gain = (gain[0] * rest, gain[1] * rest, gain[2] * rest)
        self.haze = (haze[0] * share, haze[1] * share, haze[2] * share)

    def ink(self, colour: Colour, shade: float = 1.0) -> Colour:
        """The colour as it appears under the tone, times a shade for the side's direction."""
        (r, g, b), (gr, gg, gb), (hr, hg, hb) = colour, self.gain, self.haze
        return r * gr * shade + hr, g * gg * shade + hg, b * gb * shade + hb

    def fill(
        self,
        points: np.ndarray | Sequence[Point],
        colour: Colour,
        kind: int | None,
        shade: float = 1.0,
    ) -> None:
        """Paint a convex polygon; ``kind=None`` leaves the label as it is."""
        outline = fixed(points)
        cv2.fillConvexPoly(self.image, outline, self.ink(colour, shade), cv2.LINE_8, _BITS)
        if kind is not None:
            cv2.fillConvexPoly(self.label, outline, kind, cv2.LINE_8, _BITS)

    def polygon(
        self,
        points: np.ndarray | Sequence[Point],
        colour: Colour,
        kind: int | None,
        shade: float = 1.0,
    ) -> None:
        """Paint a polygon of any shape."""
        self.polygons([fixed(points)], colour, kind, shade)

    def polygons(
        self, outlines: Sequence[np.ndarray], colour: Colour, kind: int | None, shade: float = 1.0
    ) -> None:
        """Paint polygons (already ``fixed``) of one colour that do not overlap, in one call."""
        if not len(outlines):
            return
        cv2.fillPoly(self.image, outlines, self.ink(colour, shade), cv2.LINE_8, _BITS)
        if kind is not None:
            cv2.fillPoly(self.label, outlines, kind, cv2.LINE_8, _BITS)

    def stroke(
        self, a: Point, b: Point, width: float, colour: Colour, kind: int | None, shade: float = 1.0
    ) -> None:
        """Paint a line with a width in pixels; it is never thinner than one pixel of the canvas."""
        ends = fixed((a, b))
        first, second = ends[0].tolist(), ends[1].tolist()
        thick = max(1, min(255, round(width)))
        ink = self.ink(colour, shade)
        cv2.line(self.image, first, second, ink, thick, cv2.LINE_8, _BITS)
        if kind is not None:
            # Two pixels of the canvas: the label is sampled at every second one.
            cv2.line(self.label, first, second, kind, max(2, thick), cv2.LINE_8, _BITS)

    def strokes(self, lines: np.ndarray, width: float, colour: Colour, shade: float = 1.0) -> None:
        """Paint many lines (n, k, 2) into the image only."""
        thick = max(1, min(255, round(width)))
        ink = self.ink(colour, shade)
        cv2.polylines(self.image, list(fixed(lines)), False, ink, thick, cv2.LINE_8, _BITS)

    def oval(
        self,
        centre: Point,
        axes: tuple[float, float],
        colour: Colour,
        kind: int | None,
        shade: float = 1.0,
    ) -> None:
        """Paint a filled ellipse with upright axes, radii in pixels."""
        middle = fixed(centre).tolist()
        radii = fixed((max(axes[0], 0.5), max(axes[1], 0.5))).tolist()
        cv2.ellipse(
            self.image, middle, radii, 0, 0, 360, self.ink(colour, shade), -1, cv2.LINE_8, _BITS
        )
        if kind is not None:
            cv2.ellipse(self.label, middle, radii, 0, 0, 360, kind, -1, cv2.LINE_8, _BITS)

    def region(self, points: np.ndarray | Sequence[Point], kind: int) -> None:
        """Label a polygon of any shape without painting it (railings, spokes)."""
        cv2.fillPoly(self.label, [fixed(points)], kind, cv2.LINE_8, _BITS)

    def window(self, points: np.ndarray) -> tuple[int, int, int, int] | None:
        """Visible box (x0, y0, x1, y1) around points, or None when nothing of it is in view."""
        low = np.floor(points.min(axis=0))
        high = np.ceil(points.max(axis=0)) + 1
        x0, y0 = max(int(low[0]), 0), max(int(low[1]), 0)
        x1, y1 = min(int(high[0]), self.width), min(int(high[1]), self.height)
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    def _lit(self, texture: np.ndarray, tint: Colour, shade: float) -> np.ndarray:
        matrix = np.zeros((3, 4))
        for channel in range(3):
            matrix[channel, channel] = self.gain[channel] * tint[channel] * shade
            matrix[channel, 3] = self.haze[channel]
        return cv2.transform(texture, matrix)

    def drape(
        self,
        texture: np.ndarray,
        source: np.ndarray,
        quad: np.ndarray,
        kind: int,
        tint: Colour = (1.0, 1.0, 1.0),
        shade: float = 1.0,
    ) -> None:
        """Paint a texture (h, w, 3) onto a quadrilateral in perspective.

        Args:
            texture: the picture.
            source: corners (4, 2) in the texture, pixels.
            quad: corners (4, 2) on the canvas in the same order.
            kind: label of the quadrilateral.
            tint: factor per channel.
            shade: factor for the side's direction.
        """
        box = self.window(quad)
        if box is None:
            return
        x0, y0, x1, y1 = box
        local = (quad - (x0, y0)).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source.astype(np.float32), local)
        warped = cv2.warpPerspective(
            texture, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
        )
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        outline = fixed(local)
        cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_8, _BITS)
        cv2.copyTo(self._lit(warped, tint, shade), mask, self.image[y0:y1, x0:x1])
        cv2.fillConvexPoly(self.label[y0:y1, x0:x1], outline, kind, cv2.LINE_8, _BITS)

    def stamp(
        self,
        sprite: np.ndarray,
        masks: tuple[np.ndarray, np.ndarray],
        box: tuple[float, ...],
        kind: int,
        tint: Colour = (1.0, 1.0, 1.0),
        flip: bool = False,
    ) -> None:
        """Paint an upright sprite into a box.

        Args:
            sprite: picture (h, w, 3).
            masks: (h, w) uint8, where to paint and where to label.
            box: left, top, right, bottom on the canvas, pixels.
            kind: label.
            tint: factor per channel.
            flip: mirror it.
        """
        left, top, right, bottom = box
        view = self.window(np.array(((left, top), (right - 1, bottom - 1))))
        if view is None or right - left < 1 or bottom - top < 1:
            return
        x0, y0, x1, y1 = view
        height, width = sprite.shape[:2]
        sx, sy = width / (right - left), height / (bottom - top)
        matrix = np.array(((sx, 0.0, (x0 - left) * sx), (0.0, sy, (y0 - top) * sy)))
        if flip:
            matrix[0] = -sx, 0.0, width - 1 - matrix[0, 2]
        size = (x1 - x0, y1 - y0)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        picture = cv2.warpAffine(sprite, matrix, size, flags=flags)
        paint = cv2.warpAffine(masks[0], matrix, size, flags=flags)
        mark = (
            paint if masks[1] is masks[0] else cv2.warpAffine(masks[1], matrix, size, flags=flags)
        )
        cv2.copyTo(
            self._lit(picture, tint, 1.0),
            cv2.compare(paint, 127, cv2.CMP_GT),
            self.image[y0:y1, x0:x1],
        )
        np.putmask(self.label[y0:y1, x0:x1], mark > 127, kind)
