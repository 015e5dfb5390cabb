"""Drawing tools of the streets: dice, a camera that follows the road, a canvas of image and label.

The canvas is drawn at twice the asked size. The image is averaged down (smooth edges), the label is
sampled at one pixel of four (exact ids, no mixing), so both come from the same polygons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

Colour = tuple[float, float, float]
Point = tuple[float, float]
T = TypeVar("T")

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255

_BITS = 4  # fractional bits of the coordinates handed to OpenCV
_ONE = 1 << _BITS


def tinted(colour: Colour, factor: float, lift: float = 0.0) -> Colour:
    """The colour times a factor plus a lift, at most 250."""
    r, g, b = (min(250.0, c * factor + lift) for c in colour)
    return r, g, b


class Dice:
    """Uniform random numbers from (seed, index), drawn in blocks: one costs 0.1 µs.

    Only ``Generator.random`` is used: its stream is the same on every machine and numpy version.
    """

    def __init__(self, *entropy: int) -> None:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

        def stream() -> Iterator[float]:
            while True:
                yield from generator.random(1024).tolist()

        self.random: Callable[[], float] = stream().__next__
        """A number in [0, 1)."""

    def uniform(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.random()

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return low + int(self.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
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

    def outline(self, places: Sequence[tuple[float, float, float]]) -> list[Point]:
        """Pixels of a few places (x, y, z): plain arithmetic beats numpy for so few."""
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
        steps = 10 if self.curve and z1 - z0 > 4 else 1
        ratio = (z1 / z0) ** (1 / steps)
        along = [z0 * ratio**k for k in range(steps + 1)]
        places = [(x0, y, z) for z in along] + [(x1, y, z) for z in reversed(along)]
        return self.outline(places)


def fixed(points: np.ndarray | Sequence[Point]) -> np.ndarray:
    """Points as OpenCV's fixed point coordinates, int32 of the same shape."""
    return (np.asarray(points) * _ONE).astype(np.int32)


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
        self.facet(fixed(points), colour, kind, shade)

    def facet(
        self, outline: np.ndarray, colour: Colour, kind: int | None, shade: float = 1.0
    ) -> None:
        """Paint a convex polygon whose points are already ``fixed``."""
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
        self,
        outlines: Sequence[np.ndarray] | np.ndarray,
        colour: Colour,
        kind: int | None,
        shade: float = 1.0,
    ) -> None:
        """Paint polygons (already ``fixed``) of one colour that do not overlap, in one call."""
        if not len(outlines):
            return
        pieces = list(outlines)
        cv2.fillPoly(self.image, pieces, self.ink(colour, shade), cv2.LINE_8, _BITS)
        if kind is not None:
            cv2.fillPoly(self.label, pieces, kind, cv2.LINE_8, _BITS)

    def stroke(
        self, a: Point, b: Point, width: float, colour: Colour, kind: int | None, shade: float = 1.0
    ) -> None:
        """Paint a line with a width in pixels; it is never thinner than one pixel of the canvas."""
        first = int(a[0] * _ONE), int(a[1] * _ONE)
        second = int(b[0] * _ONE), int(b[1] * _ONE)
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
        middle = int(centre[0] * _ONE), int(centre[1] * _ONE)
        radii = int(max(axes[0], 0.5) * _ONE), int(max(axes[1], 0.5) * _ONE)
        cv2.ellipse(
            self.image, middle, radii, 0, 0, 360, self.ink(colour, shade), -1, cv2.LINE_8, _BITS
        )
        if kind is not None:
            cv2.ellipse(self.label, middle, radii, 0, 0, 360, kind, -1, cv2.LINE_8, _BITS)

    def hoop(
        self,
        centre: Point,
        axes: tuple[float, float],
        width: float,
        colour: Colour,
        kind: int,
    ) -> None:
        """Paint the outline of an ellipse, but label all of it."""
        middle = int(centre[0] * _ONE), int(centre[1] * _ONE)
        radii = int(max(axes[0], 0.5) * _ONE), int(max(axes[1], 0.5) * _ONE)
        thick, ink = max(1, round(width)), self.ink(colour)
        cv2.ellipse(self.image, middle, radii, 0, 0, 360, ink, thick, cv2.LINE_8, _BITS)
        cv2.ellipse(self.label, middle, radii, 0, 0, 360, kind, -1, cv2.LINE_8, _BITS)

    def region(self, points: np.ndarray | Sequence[Point], kind: int) -> None:
        """Label a polygon of any shape without painting it (railings, spokes)."""
        cv2.fillPoly(self.label, [fixed(points)], kind, cv2.LINE_8, _BITS)

    def _lit(self, texture: np.ndarray, tint: Colour, shade: float) -> np.ndarray:
        """The texture's three colours under the tone; a fourth channel is left out."""
        (gr, gg, gb), (hr, hg, hb) = self.gain, self.haze
        r, g, b = gr * tint[0] * shade, gg * tint[1] * shade, gb * tint[2] * shade
        if texture.shape[2] == 4:
            rows: list[list[float]] = [[r, 0, 0, 0, hr], [0, g, 0, 0, hg], [0, 0, b, 0, hb]]
        else:
            rows = [[r, 0, 0, hr], [0, g, 0, hg], [0, 0, b, hb]]
        return cv2.transform(texture, np.array(rows))

    def _view(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int] | None:
        """Visible part of a box from an even pixel on, or None when nothing of it is in view."""
        left, top = max(int(x0), 0) & ~1, max(int(y0), 0) & ~1
        right, bottom = min(int(x1) + 2, self.width), min(int(y1) + 2, self.height)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def drape(
        self,
        texture: np.ndarray,
        source: Sequence[Point],
        quad: Sequence[Point],
        kind: int,
        tint: Colour = (1.0, 1.0, 1.0),
        shade: float = 1.0,
    ) -> None:
        """Paint a texture (h, w, 3), repeated as needed, onto a quadrilateral in perspective.

        Args:
            texture: the picture.
            source: four corners in the texture, pixels.
            quad: four corners on the canvas in the same order.
            kind: label of the quadrilateral.
            tint: factor per channel.
            shade: factor for the side's direction.
        """
        across, down = [p[0] for p in quad], [p[1] for p in quad]
        box = self._view(min(across), min(down), max(across), max(down))
        if box is None:
            return
        x0, y0, x1, y1 = box
        # Textures are sampled at the final size and enlarged: four times fewer pixels.
        local = np.array([(x - x0, y - y0) for x, y in quad], np.float32)
        matrix = cv2.getPerspectiveTransform(np.array(source, np.float32), local / 2)
        size = ((x1 - x0 + 1) // 2, (y1 - y0 + 1) // 2)
        flags = cv2.INTER_LINEAR
        warped = cv2.warpPerspective(texture, matrix, size, flags=flags, borderMode=cv2.BORDER_WRAP)
        picture = self._enlarge(self._lit(warped, tint, shade), box, cv2.INTER_NEAREST)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        outline = fixed(local)
        cv2.fillConvexPoly(mask, outline, 255, cv2.LINE_8, _BITS)
        cv2.copyTo(picture, mask, self.image[y0:y1, x0:x1])
        cv2.fillConvexPoly(self.label[y0:y1, x0:x1], outline, kind, cv2.LINE_8, _BITS)

    @staticmethod
    def _enlarge(
        picture: np.ndarray, box: tuple[int, int, int, int], how: int = cv2.INTER_LINEAR
    ) -> np.ndarray:
        """A picture at half the canvas' scale, brought to the size of the box."""
        x0, y0, x1, y1 = box
        size = (2 * picture.shape[1], 2 * picture.shape[0])
        return cv2.resize(picture, size, interpolation=how)[: y1 - y0, : x1 - x0]

    def stamp(
        self,
        sprite: np.ndarray,
        region: np.ndarray | None,
        box: tuple[float, float, float, float],
        kind: int,
        tint: Colour = (1.0, 1.0, 1.0),
        flip: bool = False,
    ) -> None:
        """Paint an upright sprite into a box.

        Args:
            sprite: picture (h, w, 4); its last channel says where to paint.
            region: (h, w) uint8 that says where to label, None when that is the same.
            box: left, top, right, bottom on the canvas, pixels.
            kind: label.
            tint: factor per channel.
            flip: mirror it.
        """
        left, top, right, bottom = box
        view = self._view(left, top, right - 2, bottom - 2)
        if view is None or right - left < 1 or bottom - top < 1:
            return
        x0, y0, x1, y1 = view
        height, width = sprite.shape[:2]
        sx, sy = 2 * width / (right - left), 2 * height / (bottom - top)
        first = [sx, 0.0, (x0 - left) / 2 * sx]
        if flip:
            first = [-sx, 0.0, width - 1 - first[2]]
        matrix = np.array([first, [0.0, sy, (y0 - top) / 2 * sy]])
        size = ((x1 - x0 + 1) // 2, (y1 - y0 + 1) // 2)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        small = cv2.warpAffine(sprite, matrix, size, flags=flags)
        alpha = self._enlarge(cv2.extractChannel(small, 3), view)
        _, paint = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)
        picture = self._enlarge(self._lit(small, tint, 1.0), view, cv2.INTER_NEAREST)
        cv2.copyTo(picture, paint, self.image[y0:y1, x0:x1])
        if region is not None:
            small = cv2.warpAffine(region, matrix, size, flags=flags)
            alpha = self._enlarge(small, view)
            _, paint = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)
        np.putmask(self.label[y0:y1, x0:x1], paint > 0, kind)
