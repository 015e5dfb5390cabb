"""People: walking figures with jointed limbs, and cyclists."""

from __future__ import annotations

from segscape.data.datasets.streets.camera import Point
from segscape.data.datasets.streets.canvas import BICYCLIST, PEDESTRIAN
from segscape.data.datasets.streets.rng import Colour, Rng, colours
from segscape.data.datasets.streets.scene import Scene

_CLOTHES = colours(
    "22242a 3a3e48 283458 787c80 b0aca4 96282c 3c6046 ccc8be 6e543e ba963c 82466e 4878a0 e27832"
)
_TROUSERS = colours("24262e 343e58 545456 6e604e 1c1c1e 928874")
_SKIN = colours("deb89c c49678 966a50 684836")
_HAIR = colours("28201c 583e28 a08054 828282 181616")


class _Figure:
    """Draws limbs given in metres (across, up) at one place on the ground."""

    def __init__(self, scene: Scene, x: float, z: float, size: float, kind: int) -> None:
        self.scene, self.kind = scene, kind
        self.scale = scene.scale(z) * size
        self.u, self.v = scene.at(x, 0.0, z)
        self.lean = scene.camera.roll
        self.near = z < 24  # farther away, hands and feet are not seen

    def at(self, x: float, y: float) -> Point:
        """Pixel of a place in metres."""
        return self.u + (x + self.lean * y) * self.scale, self.v - y * self.scale

    def limb(
        self, joints: list[tuple[float, float]], width: float, colour: Colour, shade: float = 1.0
    ) -> None:
        """Lines through joints."""
        points = [self.at(x, y) for x, y in joints]
        self.scene.canvas.path(points, width * self.scale, colour, self.kind, shade)

    def shape(self, corners: list[tuple[float, float]], colour: Colour, shade: float = 1.0) -> None:
        """A convex shape."""
        self.scene.canvas.fill([self.at(x, y) for x, y in corners], colour, self.kind, shade)

    def ball(
        self, x: float, y: float, rx: float, ry: float, colour: Colour, shade: float = 1.0
    ) -> None:
        """A head or hand."""
        self.scene.canvas.oval(
            self.at(x, y), (rx * self.scale, ry * self.scale), colour, self.kind, shade
        )


class _Looks:
    """Clothes of one person."""

    def __init__(self, rng: Rng) -> None:
        self.coat = rng.jitter(rng.pick(_CLOTHES), 12)
        self.trousers = rng.jitter(rng.pick(_TROUSERS), 10)
        self.skin = rng.pick(_SKIN)
        self.facing = rng.integer(-1, 1)


def _head(figure: _Figure, rng: Rng, x: float, y: float, facing: int, helmet: bool) -> None:
    skin, hair = rng.pick(_SKIN), rng.pick(_HAIR)
    if helmet:
        hair = rng.pick(((220, 220, 214), (40, 40, 44), (200, 50, 40), (60, 110, 170)))
    figure.ball(x, y, 0.105, 0.14, hair if facing == 0 else skin)
    if facing:
        figure.ball(x - 0.02 * facing, y + 0.06, 0.1, 0.085, hair)


def _leg(figure: _Figure, side: int, build: float, stride: float, looks: _Looks) -> None:
    """Leg and foot of one side: -1 the far one, 1 the near one."""
    hip = 0.0 if looks.facing else 0.08 * side
    foot = hip + side * (stride * 0.8 if looks.facing else 0.04)
    knee = hip + (foot - hip) * (0.6 if side > 0 else 0.3)
    shade = 1.0 if side > 0 else 0.78
    figure.limb([(hip, 0.86), (knee, 0.47), (foot, 0.03)], 0.155 * build, looks.trousers, shade)
    if figure.near:
        figure.ball(foot + 0.04 * looks.facing, 0.03, 0.1, 0.045, (30, 28, 28))


def _arm(figure: _Figure, side: int, build: float, stride: float, looks: _Looks) -> None:
    """Arm and hand of one side; it swings against the leg."""
    swing = -side * stride * (0.5 if looks.facing else 0.15)
    shoulder = (0.05 if looks.facing else 0.19) * build * side
    elbow, hand = shoulder * 1.1 + swing * 0.7, shoulder * 1.1 + swing * 1.2
    shade = 0.92 if side > 0 else 0.75
    figure.limb([(shoulder, 1.36), (elbow, 1.1), (hand, 0.86)], 0.1, looks.coat, shade)
    if figure.near:
        figure.ball(hand, 0.82, 0.05, 0.05, looks.skin, shade)


def pedestrian(scene: Scene, x: float, z: float, child: bool = False) -> None:
    """A walking or standing person."""
    rng = scene.rng
    size = rng.uniform(0.62, 0.78) if child else rng.uniform(0.9, 1.08)
    figure, looks = _Figure(scene, x, z, size, PEDESTRIAN), _Looks(rng)
    stride, build = rng.uniform(0.02, 0.36), rng.uniform(0.9, 1.2)
    bag, hem = rng.chance(0.3), 0.56 if rng.chance(0.25) else 0.8
    scene.lit(x, z)
    _arm(figure, -1, build, stride, looks)
    for side in (-1, 1):
        _leg(figure, side, build, stride, looks)
    shoulder, waist = (0.15 if looks.facing else 0.21) * build, 0.175 * build
    body = [(-shoulder, 1.42), (shoulder, 1.42), (waist, hem), (-waist, hem)]
    figure.shape(body, looks.coat)
    figure.shape([(0.02, 1.42), (shoulder, 1.42), (waist, hem), (0.03, hem)], looks.coat, 0.8)
    _arm(figure, 1, build, stride, looks)
    if bag:
        case = [(-0.34, 0.9), (-0.14, 0.9), (-0.12, 0.6), (-0.36, 0.6)]
        figure.shape(case, rng.pick(_CLOTHES))
    if figure.near:
        figure.limb([(0.0, 1.4), (0.0, 1.5)], 0.1, looks.skin, 0.78)
    _head(figure, rng, 0.02 * looks.facing, 1.6, looks.facing, False)


def _wheel(figure: _Figure, x: float, radius: float, squash: float) -> None:
    """A wheel with open spokes: painted as a rim, labelled as a disc."""
    axes = radius * squash * figure.scale, radius * figure.scale
    tyre = 0.045 * figure.scale
    figure.scene.canvas.hoop(figure.at(x, radius), axes, tyre, (28, 28, 30), BICYCLIST)


def cyclist(scene: Scene, x: float, z: float, across: bool) -> None:
    """A cyclist, seen along the road or from the side."""
    rng = scene.rng
    figure = _Figure(scene, x, z, rng.uniform(0.95, 1.08), BICYCLIST)
    coat, trousers = rng.jitter(rng.pick(_CLOTHES), 12), rng.jitter(rng.pick(_TROUSERS), 10)
    if rng.chance(0.25):
        coat = (214, 222, 50)
    frame = rng.jitter(
        rng.pick(((150, 30, 34), (40, 70, 130), (36, 36, 40), (170, 172, 174), (40, 100, 70))), 10
    )
    helmet, pedal, skin = rng.chance(0.6), rng.uniform(-1, 1), rng.pick(_SKIN)
    scene.lit(x, z)
    if across:
        d = rng.sign()
        _wheel(figure, -0.52 * d, 0.34, 1.0)
        _wheel(figure, 0.52 * d, 0.34, 1.0)
        hub = (0.0, 0.34)
        figure.limb([(-0.52 * d, 0.34), hub, (0.4 * d, 0.82), (-0.16 * d, 0.86), hub], 0.05, frame)
        figure.limb(
            [(0.52 * d, 0.34), (0.4 * d, 0.82), (0.38 * d, 1.02), (0.5 * d, 1.04)], 0.05, frame
        )
        figure.limb(
            [(-0.2 * d, 1.0), (0.12 * d, 0.72 - 0.1 * pedal), (-0.04 * d, 0.36 - 0.16 * pedal)],
            0.13,
            trousers,
            0.75,
        )
        figure.limb(
            [(-0.2 * d, 1.0), (0.2 * d, 0.76 + 0.1 * pedal), (0.04 * d, 0.34 + 0.16 * pedal)],
            0.14,
            trousers,
        )
        figure.shape([(-0.3 * d, 0.94), (-0.06 * d, 0.96), (0.22 * d, 1.46), (0.0, 1.5)], coat)
        figure.limb([(0.16 * d, 1.42), (0.28 * d, 1.18), (0.44 * d, 1.08)], 0.09, coat, 0.85)
        _head(figure, rng, 0.24 * d, 1.64, d, helmet)
        return
    _wheel(figure, 0.0, 0.34, 0.16)
    figure.limb([(0.0, 0.05), (0.0, 0.66)], 0.07, (26, 26, 28))
    figure.limb([(-0.27, 1.06), (0.27, 1.06)], 0.05, frame)
    figure.limb([(-0.1, 0.96), (-0.14, 0.6), (-0.12, 0.34 + 0.14 * pedal)], 0.13, trousers, 0.8)
    figure.limb([(0.1, 0.96), (0.14, 0.6), (0.12, 0.34 - 0.14 * pedal)], 0.13, trousers)
    figure.shape([(-0.2, 1.46), (0.2, 1.46), (0.16, 0.9), (-0.16, 0.9)], coat)
    figure.shape([(0.02, 1.46), (0.2, 1.46), (0.16, 0.9), (0.03, 0.9)], coat, 0.8)
    for s in (-1, 1):
        figure.limb([(0.19 * s, 1.42), (0.27 * s, 1.22), (0.25 * s, 1.07)], 0.09, coat, 0.9)
    figure.limb([(0.0, 1.44), (0.0, 1.54)], 0.1, skin, 0.8)
    _head(figure, rng, 0.0, 1.62, rng.integer(0, 1), helmet)
