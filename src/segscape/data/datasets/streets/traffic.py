"""Vehicles: a side profile that is drawn out to the vehicle's width, in perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from segscape.data.datasets.streets.camera import fixed
from segscape.data.datasets.streets.canvas import CAR
from segscape.data.datasets.streets.rng import Colour, Rng, colours
from segscape.data.datasets.streets.scene import Scene

_PAINTS = colours(
    "ced0d2 a8acb0 787c80 3a3c40 1e2024 e2e2de 283e70 3c6096 961e20 b82c26 2c563e c4a43c 785c48"
)
_GLASS: Colour = (46, 54, 62)


@dataclass(frozen=True)
class Shape:
    """Kind of vehicle. Points are (parts of the length from the rear at -0.5, metres of height).

    Attributes:
        length, width: metres.
        profile: outline from the rear's bottom over the roof to the front's bottom.
        glass: numbers of the profile's edges that are windows.
        panes: side windows.
        wheel: radius, metres.
        axles: places of the axles.
    """

    length: float
    width: float
    profile: tuple[tuple[float, float], ...]
    glass: tuple[int, ...]
    panes: tuple[tuple[tuple[float, float], ...], ...]
    wheel: float
    axles: tuple[float, float]


def _points(along: tuple[float, ...], up: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    return tuple(zip(along, up, strict=True))


_HATCH = Shape(
    length=4.0,
    width=1.72,
    profile=_points(
        (-0.49, -0.5, -0.475, -0.39, -0.1, 0.08, 0.24, 0.46, 0.5, 0.49),
        (0.28, 0.62, 0.95, 1.42, 1.5, 1.45, 0.98, 0.8, 0.55, 0.26),
    ),
    glass=(2, 5),
    panes=(
        _points((-0.41, -0.35, -0.13, -0.11), (0.98, 1.34, 1.4, 0.98)),
        _points((-0.08, -0.1, 0.06, 0.19), (0.98, 1.4, 1.37, 0.98)),
    ),
    wheel=0.31,
    axles=(-0.31, 0.31),
)
_SEDAN = Shape(
    length=4.6,
    width=1.8,
    profile=_points(
        (-0.49, -0.5, -0.485, -0.34, -0.22, 0.04, 0.19, 0.45, 0.5, 0.49),
        (0.28, 0.66, 0.98, 1.02, 1.4, 1.43, 0.98, 0.82, 0.55, 0.26),
    ),
    glass=(3, 5),
    panes=(
        _points((-0.29, -0.2, -0.08, -0.07), (1.02, 1.32, 1.35, 0.99)),
        _points((-0.05, -0.06, 0.03, 0.14), (0.99, 1.35, 1.35, 0.98)),
    ),
    wheel=0.32,
    axles=(-0.3, 0.32),
)
_ESTATE = Shape(
    length=4.6,
    width=1.85,
    profile=_points(
        (-0.49, -0.5, -0.48, -0.42, -0.1, 0.08, 0.22, 0.46, 0.5, 0.49),
        (0.36, 0.8, 1.1, 1.62, 1.7, 1.65, 1.12, 0.98, 0.7, 0.34),
    ),
    glass=(2, 5),
    panes=(
        _points((-0.42, -0.38, -0.24, -0.24), (1.12, 1.52, 1.55, 1.12)),
        _points((-0.22, -0.22, -0.08, -0.07), (1.12, 1.55, 1.57, 1.12)),
        _points((-0.05, -0.06, 0.07, 0.17), (1.12, 1.57, 1.55, 1.12)),
    ),
    wheel=0.36,
    axles=(-0.3, 0.31),
)
_VAN = Shape(
    length=5.2,
    width=1.98,
    profile=_points(
        (-0.5, -0.5, -0.495, -0.48, 0.0, 0.2, 0.36, 0.47, 0.5, 0.49),
        (0.4, 1.2, 1.9, 2.2, 2.28, 2.2, 1.25, 1.05, 0.7, 0.34),
    ),
    glass=(2, 5),
    panes=(_points((0.07, 0.07, 0.2, 0.3), (1.25, 1.9, 1.9, 1.25)),),
    wheel=0.36,
    axles=(-0.3, 0.32),
)
_BUS = Shape(
    length=10.5,
    width=2.5,
    profile=_points(
        (-0.5, -0.5, -0.5, -0.49, 0.0, 0.48, 0.5, 0.5, 0.5, 0.5),
        (0.4, 1.4, 2.6, 3.0, 3.05, 3.0, 2.6, 1.1, 0.8, 0.34),
    ),
    glass=(1, 6),
    panes=tuple(
        _points((a, a, a + 0.145, a + 0.145), (1.35, 2.45, 2.45, 1.35))
        for a in (-0.47, -0.31, -0.15, 0.01, 0.17, 0.33)
    ),
    wheel=0.48,
    axles=(-0.28, 0.32),
)
_CIRCLE = tuple((math.cos(k * math.pi / 6), math.sin(k * math.pi / 6)) for k in range(12))


def choose(rng: Rng) -> Shape:
    """Draw a kind of vehicle."""
    kind = rng.random()
    for share, shape in ((0.38, _HATCH), (0.64, _SEDAN), (0.84, _ESTATE), (0.96, _VAN)):
        if kind < share:
            return shape
    return _BUS


def footprint(scene: Scene, shape: Shape, x: float, z: float, heading: float) -> None:
    """Cast the vehicle's shadow and darken the ground under it."""
    s, c = math.sin(heading), math.cos(heading)
    half, wide = shape.length / 2, shape.width / 2
    base = [
        (x + a * s + b * c, 0.0, z + a * c - b * s) for a in (-half, half) for b in (-wide, wide)
    ]
    dx, dz = scene.light.drift
    height = 0.8 * max(y for _, y in shape.profile)
    if scene.light.direct > 0.3:
        moved = [(px + dx * height, 0.0, pz + dz * height) for px, _, pz in base]
        scene.cast(base + moved, scene.light.shadow)
    scene.cast([(px + (px - x) * 0.06, 0.0, pz + (pz - z) * 0.04) for px, _, pz in base], 0.42)


@cache
def _places(shape: Shape) -> tuple[np.ndarray, dict[str, slice]]:
    """All points of a kind of vehicle, (n, 3) as (along, across, up), and where which are.

    They are projected in one go, as calls of numpy on a few points cost more than the arithmetic.
    """
    wide, long = shape.width / 2, shape.length
    groups: dict[str, list[tuple[float, float, float]]] = {}
    for name, b in (("left", -wide), ("right", wide)):
        # Roofs are narrower than the belt.
        groups[name] = [
            (a * long, b * (0.86 if h > 1.2 and shape.width < 1.9 else 1.0), h)
            for a, h in shape.profile
        ]
        inner = b * (0.93 if shape.width < 1.9 else 1.0)
        groups[name + " panes"] = [(a * long, inner, h) for pane in shape.panes for a, h in pane]
        for part, grow, low in (("arch", 1.22, 0.3), ("tyre", 1.0, 0.0), ("rim", 0.58, 0.0)):
            groups[f"{name} {part}"] = [
                (axle * long + c * shape.wheel * grow, b, max(low, shape.wheel * (1 + s * grow)))
                for axle in shape.axles
                for c, s in _CIRCLE
            ]
    left, right = groups["left"], groups["right"]
    groups["hull"] = [
        place
        for k in range(len(left) - 1)
        for place in (left[k], left[k + 1], right[k + 1], right[k])
    ]
    for name, end in (("rear", -0.502), ("front", 0.502)):
        a, bottom = end * long, shape.profile[0][1]
        belt = shape.profile[1][1] if end < 0 else shape.profile[-2][1]
        groups[name] = [
            (a, b, h)
            for b0, b1, h0, h1 in (
                (-wide, -wide + 0.22, 0.0, bottom + 0.05),
                (wide - 0.22, wide, 0.0, bottom + 0.05),
                (-wide * 0.98, -wide * 0.66, belt - 0.02, belt + 0.16),
                (wide * 0.66, wide * 0.98, belt - 0.02, belt + 0.16),
                (-0.27, 0.27, 0.5, 0.62),
                (-wide, wide, bottom, bottom + 0.16),
            )
            for b, h in ((b0, h0), (b1, h0), (b1, h1), (b0, h1))
        ]
    spans, start = {}, 0
    for name, points in groups.items():
        spans[name] = slice(start, start + len(points))
        start += len(points)
    return np.array([p for points in groups.values() for p in points]), spans


class _Frame:
    """A vehicle's own coordinates (along, across, up), and its points on the canvas."""

    def __init__(self, scene: Scene, shape: Shape, x: float, z: float, heading: float) -> None:
        self.scene, self.shape = scene, shape
        self.near = z < 45  # farther away, hubs and plates are not seen
        s, c = math.sin(heading), math.cos(heading)
        # The camera in the vehicle's coordinates; the bend of the road moves it sideways.
        dx = scene.camera.x - scene.camera.curve * z * z - x
        self.eye = (dx * s - z * c, dx * c + z * s, scene.camera.height)
        places, self._spans = _places(shape)
        world = np.empty(places.shape)
        world[:, 0] = x + places[:, 0] * s + places[:, 1] * c
        world[:, 1] = places[:, 2]
        world[:, 2] = np.maximum(z + places[:, 0] * c - places[:, 1] * s, 0.4)
        self._points = fixed(scene.camera.points(world))
        self._sun = scene.light.sun
        self._turn = s, c

    def part(self, name: str, corners: int = 0) -> np.ndarray:
        """Points (n, 2) of a part, or its polygons (n, corners, 2)."""
        points = self._points[self._spans[name]]
        return points.reshape(-1, corners, 2) if corners else points

    def shade(self, along: float, across: float, up: float) -> float:
        """Light on a face with a normal in the vehicle's coordinates."""
        s, c = self._turn
        return self.scene.light.side(along * s + across * c, up, along * c - across * s)


def _hull(frame: _Frame, paint: Colour) -> None:
    """Front, rear, roof and screens: every edge of the profile that faces the camera."""
    canvas, shape = frame.scene.canvas, frame.shape
    quads = frame.part("hull", 4)
    outline = [(a * shape.length, h) for a, h in shape.profile]
    ahead, across, height = frame.eye
    faces = []
    for k in range(len(outline) - 1):
        (a0, h0), (a1, h1) = outline[k], outline[k + 1]
        na, nh = h0 - h1, a1 - a0
        ea, eh = ahead - (a0 + a1) / 2, height - (h0 + h1) / 2
        if na * ea + nh * eh > 0:
            faces.append((ea * ea + eh * eh, k, na, nh))
    for _, k, na, nh in sorted(faces, reverse=True):
        size = math.hypot(na, nh)
        shade = frame.shade(na / size, 0, nh / size)
        if k in shape.glass:
            canvas.facet(quads[k], _GLASS, CAR, 0.5 + 0.5 * shade)
        else:
            canvas.facet(quads[k], paint, CAR, shade)
    if abs(across) > shape.width / 2:
        side, shade = ("right", 1) if across > 0 else ("left", -1)
        canvas.polygons([frame.part(side)], paint, CAR, frame.shade(0, shade, 0))


def _flank(frame: _Frame) -> None:
    """Side windows and wheels of the visible side."""
    across = frame.eye[1]
    if abs(across) <= frame.shape.width / 2:
        return
    canvas, name = frame.scene.canvas, "right" if across > 0 else "left"
    shade = frame.shade(0, math.copysign(1, across), 0)
    canvas.polygons(frame.part(name + " panes", 4), _GLASS, CAR, 0.55 + 0.45 * shade)
    if frame.near:
        canvas.polygons(frame.part(name + " arch", len(_CIRCLE)), (20, 20, 22), CAR, 0.7)
    canvas.polygons(frame.part(name + " tyre", len(_CIRCLE)), (26, 26, 28), CAR)
    if frame.near:
        canvas.polygons(frame.part(name + " rim", len(_CIRCLE)), (140, 142, 146), CAR, shade)


def _end(frame: _Frame, braking: bool) -> None:
    """Tyres, bumper, lights and plate of the end that faces the camera."""
    if abs(frame.eye[0]) < frame.shape.length / 2:
        return
    canvas, rear = frame.scene.canvas, frame.eye[0] < 0
    quads = frame.part("rear" if rear else "front", 4)
    canvas.polygons(quads[:2], (24, 24, 26), CAR, 0.8)
    if frame.near:
        canvas.facet(quads[5], (44, 44, 48), CAR)
    if rear:
        glow = ((236.0, 40.0, 34.0), 1.2) if braking else ((138.0, 26.0, 28.0), 0.9)
        plate: Colour = (214, 176, 60)
    else:
        glow = ((236.0, 234.0, 222.0), 1.1 if braking else 0.85)
        plate = (224, 224, 220)
    canvas.polygons(quads[2:4], glow[0], CAR, glow[1])
    if frame.near:
        canvas.facet(quads[4], plate, CAR, 0.9)


def car(scene: Scene, shape: Shape, x: float, z: float, heading: float) -> None:
    """Paint a vehicle.

    Args:
        scene: where.
        shape: kind of vehicle.
        x: metres right of the road's middle.
        z: metres along the road, of the vehicle's middle.
        heading: radians; 0 drives away from the camera, pi towards it.
    """
    rng = scene.rng
    paint, braking = rng.jitter(rng.pick(_PAINTS), 14), rng.chance(0.4)
    scene.lit(x, z)
    frame = _Frame(scene, shape, x, z, heading + 2 * scene.camera.curve * z)
    _hull(frame, paint)
    _flank(frame)
    _end(frame, braking)
