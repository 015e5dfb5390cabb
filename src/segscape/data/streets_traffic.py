"""Vehicles: a side profile that is drawn out to the vehicle's width, in perspective."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from segscape.data.streets_canvas import CAR, Colour, Dice, fixed
from segscape.data.streets_stage import Stage

_PAINTS: tuple[Colour, ...] = (
    (206, 208, 210),
    (168, 172, 176),
    (120, 124, 128),
    (58, 60, 64),
    (30, 32, 36),
    (226, 226, 222),
    (40, 62, 112),
    (60, 96, 150),
    (150, 30, 32),
    (184, 44, 38),
    (44, 86, 62),
    (196, 164, 60),
    (120, 92, 72),
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


_HATCH = Shape(
    4.0,
    1.72,
    (
        (-0.49, 0.28),
        (-0.5, 0.62),
        (-0.475, 0.95),
        (-0.39, 1.42),
        (-0.1, 1.5),
        (0.08, 1.45),
        (0.24, 0.98),
        (0.46, 0.8),
        (0.5, 0.55),
        (0.49, 0.26),
    ),
    (2, 5),
    (
        ((-0.41, 0.98), (-0.35, 1.34), (-0.13, 1.4), (-0.11, 0.98)),
        ((-0.08, 0.98), (-0.1, 1.4), (0.06, 1.37), (0.19, 0.98)),
    ),
    0.31,
    (-0.31, 0.31),
)
_SEDAN = Shape(
    4.6,
    1.8,
    (
        (-0.49, 0.28),
        (-0.5, 0.66),
        (-0.485, 0.98),
        (-0.34, 1.02),
        (-0.22, 1.4),
        (0.04, 1.43),
        (0.19, 0.98),
        (0.45, 0.82),
        (0.5, 0.55),
        (0.49, 0.26),
    ),
    (3, 5),
    (
        ((-0.29, 1.02), (-0.2, 1.32), (-0.08, 1.35), (-0.07, 0.99)),
        ((-0.05, 0.99), (-0.06, 1.35), (0.03, 1.35), (0.14, 0.98)),
    ),
    0.32,
    (-0.3, 0.32),
)
_ESTATE = Shape(
    4.6,
    1.85,
    (
        (-0.49, 0.36),
        (-0.5, 0.8),
        (-0.48, 1.1),
        (-0.42, 1.62),
        (-0.1, 1.7),
        (0.08, 1.65),
        (0.22, 1.12),
        (0.46, 0.98),
        (0.5, 0.7),
        (0.49, 0.34),
    ),
    (2, 5),
    (
        ((-0.42, 1.12), (-0.38, 1.52), (-0.24, 1.55), (-0.24, 1.12)),
        ((-0.22, 1.12), (-0.22, 1.55), (-0.08, 1.57), (-0.07, 1.12)),
        ((-0.05, 1.12), (-0.06, 1.57), (0.07, 1.55), (0.17, 1.12)),
    ),
    0.36,
    (-0.3, 0.31),
)
_VAN = Shape(
    5.2,
    1.98,
    (
        (-0.5, 0.4),
        (-0.5, 1.2),
        (-0.495, 1.9),
        (-0.48, 2.2),
        (0.0, 2.28),
        (0.2, 2.2),
        (0.36, 1.25),
        (0.47, 1.05),
        (0.5, 0.7),
        (0.49, 0.34),
    ),
    (2, 5),
    (((0.07, 1.25), (0.07, 1.9), (0.2, 1.9), (0.3, 1.25)),),
    0.36,
    (-0.3, 0.32),
)
_BUS = Shape(
    10.5,
    2.5,
    (
        (-0.5, 0.4),
        (-0.5, 1.4),
        (-0.5, 2.6),
        (-0.49, 3.0),
        (0.0, 3.05),
        (0.48, 3.0),
        (0.5, 2.6),
        (0.5, 1.1),
        (0.5, 0.8),
        (0.5, 0.34),
    ),
    (1, 6),
    tuple(
        tuple((a + d, y) for d, y in ((0, 1.35), (0, 2.45), (0.145, 2.45), (0.145, 1.35)))
        for a in (-0.47, -0.31, -0.15, 0.01, 0.17, 0.33)
    ),
    0.48,
    (-0.28, 0.32),
)
_TURN = np.linspace(0, 2 * np.pi, 13)[:-1]
_CIRCLE = np.stack((np.cos(_TURN), np.sin(_TURN)), axis=1)


def choose(dice: Dice) -> Shape:
    """Draw a kind of vehicle."""
    kind = dice.random()
    for share, shape in ((0.38, _HATCH), (0.64, _SEDAN), (0.84, _ESTATE), (0.96, _VAN)):
        if kind < share:
            return shape
    return _BUS


def footprint(stage: Stage, shape: Shape, x: float, z: float, heading: float) -> None:
    """Cast the vehicle's shadow and darken the ground under it."""
    s, c = math.sin(heading), math.cos(heading)
    half, wide = shape.length / 2, shape.width / 2
    base = [
        (x + a * s + b * c, 0.0, z + a * c - b * s) for a in (-half, half) for b in (-wide, wide)
    ]
    dx, dz = stage.light.drift
    height = 0.8 * max(y for _, y in shape.profile)
    if stage.light.direct > 0.3:
        moved = [(px + dx * height, 0.0, pz + dz * height) for px, _, pz in base]
        stage.cast(base + moved, stage.light.shadow)
    stage.cast([(px + (px - x) * 0.06, 0.0, pz + (pz - z) * 0.04) for px, _, pz in base], 0.42)


class _Frame:
    """A vehicle's own coordinates (along, across, up) in the world and on the canvas."""

    def __init__(self, stage: Stage, x: float, z: float, heading: float) -> None:
        self.stage = stage
        self.x, self.z = x, z
        self.sin, self.cos = math.sin(heading), math.cos(heading)
        # The camera in the vehicle's coordinates; the bend of the road moves it sideways.
        dx = stage.camera.x - stage.camera.curve * z * z - x
        self.eye = (dx * self.sin - z * self.cos, dx * self.cos + z * self.sin, stage.camera.height)

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """Canvas points (..., 2) of places (..., 3) given as (along, across, up)."""
        a, b = places[..., 0], places[..., 1]
        world = np.empty(places.shape)
        world[..., 0] = self.x + a * self.sin + b * self.cos
        world[..., 1] = places[..., 2]
        world[..., 2] = np.maximum(self.z + a * self.cos - b * self.sin, 0.4)
        return self.stage.camera.points(world)

    def shade(self, along: float, across: float, up: float) -> float:
        """Light on a face with a normal in the vehicle's coordinates."""
        nx = along * self.sin + across * self.cos
        nz = along * self.cos - across * self.sin
        return self.stage.light.side(nx, up, nz)


def _hull(frame: _Frame, shape: Shape, paint: Colour) -> None:
    """Front, rear, roof and screens: every edge of the profile that faces the camera."""
    canvas = frame.stage.canvas
    profile = np.array(shape.profile)
    profile[:, 0] *= shape.length
    count, wide = len(profile), shape.width / 2
    places = np.empty((2, count, 3))
    places[:, :, 0], places[:, :, 2] = profile[:, 0], profile[:, 1]
    places[0, :, 1], places[1, :, 1] = -wide, wide
    # Roofs are narrower than the belt.
    places[:, :, 1] *= np.where(profile[:, 1] > 1.2, 0.86, 1.0) if shape.width < 1.9 else 1.0
    points = frame.pixels(places)
    outline = [(a, h) for a, h in profile.tolist()]
    faces = []
    for k in range(count - 1):
        (a0, h0), (a1, h1) = outline[k], outline[k + 1]
        na, nh = -(h1 - h0), a1 - a0
        ea, eh = frame.eye[0] - (a0 + a1) / 2, frame.eye[2] - (h0 + h1) / 2
        if na * ea + nh * eh > 0:
            faces.append((ea * ea + eh * eh + frame.eye[1] ** 2, k, na, nh))
    for _, k, na, nh in sorted(faces, reverse=True):
        size = math.hypot(na, nh)
        colour = _GLASS if k in shape.glass else paint
        quad = (points[0, k], points[0, k + 1], points[1, k + 1], points[1, k])
        shade = frame.shade(na / size, 0, nh / size)
        canvas.fill(quad, colour, CAR, shade if colour is paint else 0.5 + 0.5 * shade)
    across = 1 if frame.eye[1] > 0 else -1
    if abs(frame.eye[1]) > wide:
        side = points[1 if across > 0 else 0]
        canvas.polygon(side, paint, CAR, frame.shade(0, across, 0))


def _flank(frame: _Frame, shape: Shape) -> None:
    """Side windows and wheels of the visible side."""
    if abs(frame.eye[1]) <= shape.width / 2:
        return
    canvas = frame.stage.canvas
    b = math.copysign(shape.width / 2, frame.eye[1])
    shade = frame.shade(0, math.copysign(1, b), 0)
    inner = b * (0.93 if shape.width < 1.9 else 1.0)
    panes = np.array([[(a * shape.length, inner, y) for a, y in pane] for pane in shape.panes])
    canvas.polygons(fixed(frame.pixels(panes)), _GLASS, CAR, 0.55 + 0.45 * shade)
    wheels = np.empty((3, 2, len(_CIRCLE), 3))
    for layer, grow in enumerate((1.22, 1.0, 0.58)):
        for number, axle in enumerate(shape.axles):
            wheels[layer, number, :, 0] = axle * shape.length + _CIRCLE[:, 0] * shape.wheel * grow
            wheels[layer, number, :, 1] = b
            wheels[layer, number, :, 2] = np.maximum(
                shape.wheel + _CIRCLE[:, 1] * shape.wheel * grow, 0.0 if layer else 0.3
            )
    points = fixed(frame.pixels(wheels))
    canvas.polygons(points[0], (20, 20, 22), CAR, 0.7)
    canvas.polygons(points[1], (26, 26, 28), CAR)
    canvas.polygons(points[2], (140, 142, 146), None, shade)


def _end(frame: _Frame, shape: Shape, braking: bool) -> None:
    """Lights, plate and bumper of the end that faces the camera, and its wheels from behind."""
    canvas = frame.stage.canvas
    rear = frame.eye[0] < 0
    if abs(frame.eye[0]) < shape.length / 2:
        return
    a = (-0.502 if rear else 0.502) * shape.length
    wide = shape.width / 2
    belt = shape.profile[1][1] if rear else shape.profile[-2][1]
    low, high = belt - 0.02, belt + 0.16

    def box(b0: float, b1: float, y0: float, y1: float) -> list[tuple[float, float, float]]:
        return [(a, b0, y0), (a, b1, y0), (a, b1, y1), (a, b0, y1)]

    bottom = shape.profile[0][1]
    tyres = [
        box(-wide, -wide + 0.22, 0.0, bottom + 0.05),
        box(wide - 0.22, wide, 0.0, bottom + 0.05),
    ]
    lamps = [box(-wide * 0.98, -wide * 0.66, low, high), box(wide * 0.66, wide * 0.98, low, high)]
    points = fixed(
        frame.pixels(
            np.array(
                [
                    *tyres,
                    *lamps,
                    box(-0.27, 0.27, 0.5, 0.62),
                    box(-wide, wide, bottom, bottom + 0.16),
                ]
            )
        )
    )
    canvas.polygons(points[:2], (24, 24, 26), CAR, 0.8)
    canvas.polygons(points[5:], (44, 44, 48), None)
    if rear:
        canvas.polygons(
            points[2:4], (236, 40, 34) if braking else (138, 26, 28), None, 1.2 if braking else 0.9
        )
        canvas.polygons(points[4:5], (214, 176, 60), None, 0.9)
    else:
        canvas.polygons(points[2:4], (236, 234, 222), None, 1.1 if braking else 0.85)
        canvas.polygons(points[4:5], (224, 224, 220), None, 0.9)


def car(stage: Stage, shape: Shape, x: float, z: float, heading: float) -> None:
    """Paint a vehicle.

    Args:
        stage: where.
        shape: kind of vehicle.
        x: metres right of the road's middle.
        z: metres along the road, of the vehicle's middle.
        heading: radians; 0 drives away from the camera, pi towards it.
    """
    dice = stage.dice
    paint, braking = dice.jitter(dice.pick(_PAINTS), 14), dice.chance(0.4)
    stage.lit(x, z)
    frame = _Frame(stage, x, z, heading + 2 * stage.camera.curve * z)
    _hull(frame, shape, paint)
    _flank(frame, shape)
    _end(frame, shape, braking)
