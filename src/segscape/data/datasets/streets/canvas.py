"""The canvas of the streets: image and label in one, and the tools to paint them.

The canvas is drawn at twice the asked size. The image is averaged down (smooth edges), the label is
sampled at one pixel of four (exact ids, no mixing), so both come from the same polygons.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segscape.data.datasets.streets.camera import BITS, ONE, Point, fixed
from segscape.data.datasets.streets.rng import Colour

Ink = tuple[float, float, float, int]

SKY, BUILDING, POLE, ROAD, PAVEMENT, TREE, SIGN, FENCE, CAR, PEDESTRIAN, BICYCLIST = range(11)
VOID = 255


def framed(picture: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) as a texture (h + 2, w + 2, 4) with its border repeated around it.

    Pixels outside of a texture can then stay black, which OpenCV does twice as fast.
    """
    wide = cv2.copyMakeBorder(picture, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    return cv2.cvtColor(wide, cv2.COLOR_RGB2RGBA)


def _perspective(
    source: tuple[float, float, float, float], quad: Sequence[Point]
) -> np.ndarray | None:
    """Matrix from a box of a framed texture to a quadrilateral at half its size.

    In closed form (Heckbert 1989, Fundamentals of texture mapping, section 2.2.3): the solver
    behind ``cv2.getPerspectiveTransform`` takes several times as long.

    Returns:
        (3, 3) float64, or None when the quadrilateral has no area.
    """
    left, top, right, bottom = source
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = quad
    ax, ay, bx, by = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    sx, sy = x0 - x1 + x2 - x3, y0 - y1 + y2 - y3
    area = ax * by - bx * ay
    if abs(area) < 1e-6:
        return None
    wide, high = right - left, bottom - top
    g, h = (sx * by - bx * sy) / area / wide, (ax * sy - sx * ay) / area / high
    a, d = ((x1 - x0) / wide + g * x1) / 2, ((y1 - y0) / wide + g * y1) / 2
    b, e = ((x3 - x0) / high + h * x3) / 2, ((y3 - y0) / high + h * y3) / 2
    u, v = left + 1, top + 1  # the frame
    return np.array(
        ((a, b, x0 / 2 - a * u - b * v), (d, e, y0 / 2 - d * u - e * v), (g, h, 1 - g * u - h * v))
    )


class Canvas:
    """Pixels (H, W, 4) at twice the final size: red, green, blue and the label.

    One call of OpenCV paints both image and label, and four channels are faster to warp and to
    enlarge than three. Colours are lit and mixed with haze by the tone that is set for the thing
    being painted. The pixels are not initialised: the sky and the ground cover them all.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = 2 * height, 2 * width
        self.pixels = np.empty((self.height, self.width, 4), np.uint8)
        self.gain: Colour = (1.0, 1.0, 1.0)
        self.haze: Colour = (0.0, 0.0, 0.0)

    def tone(self, gain: Colour, haze: Colour, share: float) -> None:
        """Set the light for what follows: colour * gain * (1 - share) + haze * share."""
        rest = 1.0 - share
        self.gain = (gain[0] * rest, gain[1] * rest, gain[2] * rest)
        self.haze = (haze[0] * share, haze[1] * share, haze[2] * share)

    def ink(self, colour: Colour, kind: int, shade: float = 1.0) -> Ink:
        """The colour as it appears under the tone, times a shade for the side's direction."""
        (r, g, b), (gr, gg, gb), (hr, hg, hb) = colour, self.gain, self.haze
        return r * gr * shade + hr, g * gg * shade + hg, b * gb * shade + hb, kind

    def fill(
        self, points: np.ndarray | Sequence[Point], colour: Colour, kind: int, shade: float = 1.0
    ) -> None:
        """Paint a convex polygon."""
        ink = self.ink(colour, kind, shade)
        cv2.fillConvexPoly(self.pixels, fixed(points), ink, cv2.LINE_8, BITS)

    def facet(self, outline: np.ndarray, colour: Colour, kind: int, shade: float = 1.0) -> None:
        """Paint a convex polygon whose points are already ``fixed``."""
        ink = self.ink(colour, kind, shade)
        cv2.fillConvexPoly(self.pixels, outline, ink, cv2.LINE_8, BITS)

    def polygon(
        self, points: np.ndarray | Sequence[Point], colour: Colour, kind: int, shade: float = 1.0
    ) -> None:
        """Paint a polygon of any shape."""
        ink = self.ink(colour, kind, shade)
        cv2.fillPoly(self.pixels, [fixed(points)], ink, cv2.LINE_8, BITS)

    def polygons(
        self,
        outlines: Sequence[np.ndarray] | np.ndarray,
        colour: Colour,
        kind: int,
        shade: float = 1.0,
    ) -> None:
        """Paint polygons (already ``fixed``) of one colour that do not overlap, in one call."""
        if len(outlines):
            ink = self.ink(colour, kind, shade)
            cv2.fillPoly(self.pixels, list(outlines), ink, cv2.LINE_8, BITS)

    def stroke(
        self, a: Point, b: Point, width: float, colour: Colour, kind: int, shade: float = 1.0
    ) -> None:
        """Paint a line with a width in pixels.

        It is never thinner than two pixels of the canvas: the label is sampled at every second one.
        """
        first = int(a[0] * ONE), int(a[1] * ONE)
        second = int(b[0] * ONE), int(b[1] * ONE)
        thick = max(2, min(255, round(width)))
        ink = self.ink(colour, kind, shade)
        cv2.line(self.pixels, first, second, ink, thick, cv2.LINE_8, BITS)

    def path(
        self, points: Sequence[Point], width: float, colour: Colour, kind: int, shade: float = 1.0
    ) -> None:
        """Paint lines through points as `stroke` does."""
        thick = max(2, min(255, round(width)))
        ink = self.ink(colour, kind, shade)
        cv2.polylines(self.pixels, [fixed(points)], False, ink, thick, cv2.LINE_8, BITS)

    def strokes(
        self, lines: np.ndarray, width: float, colour: Colour, kind: int, shade: float = 1.0
    ) -> None:
        """Paint many lines (n, k, 2) onto a thing of this kind; they may be one pixel thin."""
        thick = max(1, min(255, round(width)))
        ink = self.ink(colour, kind, shade)
        cv2.polylines(self.pixels, list(fixed(lines)), False, ink, thick, cv2.LINE_8, BITS)

    def oval(
        self,
        centre: Point,
        axes: tuple[float, float],
        colour: Colour,
        kind: int,
        shade: float = 1.0,
    ) -> None:
        """Paint a filled ellipse with upright axes, radii in pixels."""
        middle = int(centre[0] * ONE), int(centre[1] * ONE)
        radii = int(max(axes[0], 0.5) * ONE), int(max(axes[1], 0.5) * ONE)
        ink = self.ink(colour, kind, shade)
        cv2.ellipse(self.pixels, middle, radii, 0, 0, 360, ink, -1, cv2.LINE_8, BITS)

    def hoop(
        self, centre: Point, axes: tuple[float, float], width: float, colour: Colour, kind: int
    ) -> None:
        """Paint the outline of an ellipse, but label all of it."""
        (u, v), (ru, rv) = centre, (max(axes[0], 0.5), max(axes[1], 0.5))
        view = self._view(u - ru, v - rv, u + ru, v + rv)
        if view is None:
            return
        radii = int(ru * ONE), int(rv * ONE)
        mask = np.zeros((view[3] - view[1], view[2] - view[0]), np.uint8)
        local = int((u - view[0]) * ONE), int((v - view[1]) * ONE)
        cv2.ellipse(mask, local, radii, 0, 0, 360, 255, -1, cv2.LINE_8, BITS)
        self._mark(mask, view, kind)
        middle, thick = (int(u * ONE), int(v * ONE)), max(1, round(width))
        ink = self.ink(colour, kind)
        cv2.ellipse(self.pixels, middle, radii, 0, 0, 360, ink, thick, cv2.LINE_8, BITS)

    def region(self, quad: Sequence[Point], kind: int) -> None:
        """Label a convex polygon without painting it: railings are seen through."""
        across, down = [p[0] for p in quad], [p[1] for p in quad]
        view = self._view(min(across), min(down), max(across), max(down))
        if view is None:
            return
        x0, y0, x1, y1 = view
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        local = fixed([(x - x0, y - y0) for x, y in quad])
        cv2.fillConvexPoly(mask, local, 255, cv2.LINE_8, BITS)
        self._mark(mask, view, kind)

    def _mark(self, mask: np.ndarray, view: tuple[int, int, int, int], kind: int) -> None:
        """Set the label where the mask (h, w) of a view is not 0, at the pixels that are kept."""
        x0, y0, x1, y1 = view
        kept = self.pixels[y0 + 1 : y1 : 2, x0 + 1 : x1 : 2, 3]
        np.copyto(kept, kind, where=mask[1::2, 1::2].astype(bool))

    def _lit(self, texture: np.ndarray, kind: int, tint: Colour, shade: float) -> np.ndarray:
        """The texture's three colours under the tone, and the label instead of the fourth."""
        (gr, gg, gb), (hr, hg, hb) = self.gain, self.haze
        r, g, b = gr * tint[0] * shade, gg * tint[1] * shade, gb * tint[2] * shade
        if texture.size < 8000:
            rows = [[r, 0, 0, 0, hr], [0, g, 0, 0, hg], [0, 0, b, 0, hb], [0, 0, 0, 0, kind]]
            return cv2.transform(texture, np.array(rows))
        # For many pixels this matrix takes three times as long as these four calls.
        rgb = cv2.cvtColor(texture, cv2.COLOR_RGBA2RGB)
        rgb = cv2.transform(rgb, np.array([[r, 0, 0, hr], [0, g, 0, hg], [0, 0, b, hb]]))
        lit = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA)
        # OpenCV's stubs do not allow a scalar in place of an image.
        return cv2.subtract(lit, (0, 0, 0, 255 - kind), dst=lit)  # type: ignore[call-overload]

    def _view(self, x0: float, y0: float, x1: float, y1: float) -> tuple[int, int, int, int] | None:
        """Visible part of a box from an even pixel on, or None when nothing of it is in view."""
        left, top = max(int(x0), 0) & ~1, max(int(y0), 0) & ~1
        right, bottom = min(int(x1) + 2, self.width), min(int(y1) + 2, self.height)
        return (left, top, right, bottom) if right > left and bottom > top else None

    def drape(
        self,
        texture: np.ndarray,
        source: tuple[float, float, float, float],
        quad: Sequence[Point],
        kind: int,
        tint: Colour = (1.0, 1.0, 1.0),
        shade: float = 1.0,
    ) -> None:
        """Paint a texture onto a quadrilateral in perspective.

        Args:
            texture: the picture, `framed`; its fourth channel is not used.
            source: left, top, right, bottom in the texture, pixels inside of its frame.
            quad: its corners on the canvas: top left, top right, bottom right, bottom left.
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
        local = [(x - x0, y - y0) for x, y in quad]
        matrix = _perspective(source, local)
        if matrix is None:
            return
        size = ((x1 - x0 + 1) // 2, (y1 - y0 + 1) // 2)
        warped = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_LINEAR)
        picture = self._enlarge(self._lit(warped, kind, tint, shade), box, cv2.INTER_NEAREST)
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillConvexPoly(mask, fixed(local), 255, cv2.LINE_8, BITS)
        cv2.copyTo(picture, mask, self.pixels[y0:y1, x0:x1])

    def enlarge(self, half: np.ndarray, top: int) -> None:
        """Fill rows from the even row ``top`` on with pixels (h, W/2, 4) of the final size."""
        target = self.pixels[top : top + 2 * half.shape[0]]
        cv2.resize(half, target.shape[1::-1], dst=target, interpolation=cv2.INTER_NEAREST)

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
            sprite: picture (h, w, 4); its last channel is the opacity.
            region: (h, w) uint8, nonzero where to label; None when that is where it paints.
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
        picture = self._enlarge(self._lit(small, kind, tint, 1.0), view, cv2.INTER_NEAREST)
        cv2.copyTo(picture, paint, self.pixels[y0:y1, x0:x1])
        if region is not None:
            small = cv2.warpAffine(region, matrix, size, flags=flags)
            alpha = self._enlarge(small, view)
            _, paint = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)
            self._mark(paint, view, kind)
