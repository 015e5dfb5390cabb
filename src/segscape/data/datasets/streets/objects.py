"""Things that stand beside the road: trees, hedges, fences, poles, lamps, signs, odd objects."""

from __future__ import annotations

import math

import numpy as np

from segscape.data.datasets.streets.camera import Point, fixed
from segscape.data.datasets.streets.canvas import BUILDING, POLE, SIGN, TREE, VOID
from segscape.data.datasets.streets.rng import Colour, colours
from segscape.data.datasets.streets.scene import Scene
from segscape.data.datasets.streets.textures import Crown

_STEEL = colours("767a7c 54585a 3a3e3e 989a98 424e46")


def column(
    scene: Scene, x: float, z: float, y0: float, y1: float, width: float, colour: Colour
) -> None:
    """An upright pole with a lit and a dark side."""
    canvas = scene.canvas
    pixels = max(2.0, width * scene.scale(z))
    (u0, v0), (u1, v1) = scene.at(x, y0, z), scene.at(x, y1, z)
    half = pixels / 2
    canvas.fill([(u0 - half, v0), (u0 + half, v0), (u1 + half, v1), (u1 - half, v1)], colour, POLE)
    if pixels > 4:
        side = 1 if scene.light.sun[0] < 0 else -1
        inner, outer = side * half * 0.2, side * half
        edge = [(u0 + inner, v0), (u0 + outer, v0), (u1 + outer, v1), (u1 + inner, v1)]
        canvas.fill(edge, colour, POLE, 0.68)


def lamp(scene: Scene, x: float, z: float) -> None:
    """A street light with its arm over the road."""
    rng, canvas = scene.rng, scene.canvas
    height, colour = rng.uniform(6, 9.5), rng.jitter(rng.pick(_STEEL), 8)
    width, classic, reach = rng.uniform(0.1, 0.16), rng.chance(0.3), rng.uniform(0.9, 2.2)
    scene.lit(x, z, 0.9)
    scale = scene.scale(z)
    if classic:
        height *= 0.62
        column(scene, x, z, 0.0, height, width, colour)
        u, v = scene.at(x, height + 0.2, z)
        canvas.fill(
            [
                (u - 0.14 * scale, v + 0.25 * scale),
                (u + 0.14 * scale, v + 0.25 * scale),
                (u + 0.24 * scale, v - 0.3 * scale),
                (u - 0.24 * scale, v - 0.3 * scale),
            ],
            (206, 204, 190),
            POLE,
        )
        return
    column(scene, x, z, 0.0, height * 0.35, width * 1.25, colour)
    column(scene, x, z, 0.0, height, width, colour)
    inward = -math.copysign(reach, x)
    a, b = scene.at(x, height - 0.05, z), scene.at(x + inward, height + 0.25, z)
    canvas.stroke(a, b, 0.1 * scale, colour, POLE)
    c = scene.at(x + inward * 1.35, height + 0.22, z)
    canvas.stroke(b, c, 0.17 * scale, (176, 178, 176), POLE)


_RED, _WHITE, _BLUE = (196.0, 38.0, 40.0), (232.0, 232.0, 228.0), (36.0, 78.0, 168.0)
_INK = (40.0, 40.0, 44.0)


def _ring(u: float, v: float, count: int, radius: float, turn: float) -> list[Point]:
    """Corners of a regular polygon, the first one on top when turn is 0."""
    angles = [k * 2 * math.pi / count + turn for k in range(count)]
    return [(u + radius * math.sin(a), v - radius * math.cos(a)) for a in angles]


def _block(u: float, v: float, half_width: float, half_height: float) -> list[Point]:
    """Corners of an upright rectangle around a pixel."""
    w, h = half_width, half_height
    return [(u - w, v - h), (u + w, v - h), (u + w, v + h), (u - w, v + h)]


def _board(scene: Scene, u: float, v: float, r: float) -> None:
    """A rectangular sign with lines of text."""
    rng, canvas = scene.rng, scene.canvas
    wide, high = rng.uniform(0.9, 2.0) * r, rng.uniform(0.8, 1.3) * r
    colours = (_BLUE, (34.0, 104.0, 70.0), _WHITE, (224.0, 184.0, 50.0), (110.0, 74.0, 50.0))
    colour = rng.jitter(rng.pick(colours), 12)
    canvas.fill(_block(u, v, wide, high), colour, SIGN)
    ink = _WHITE if sum(colour) < 420 else _INK
    for row in (-0.4, 0.1, 0.55):
        y, end = v + row * high, u + wide * rng.uniform(0.1, 0.7)
        canvas.stroke((u - wide * 0.7, y), (end, y), 0.16 * r, ink, SIGN)


def _plate(scene: Scene, x: float, y: float, z: float, size: float) -> None:
    """A traffic sign's plate around a height."""
    rng, canvas = scene.rng, scene.canvas
    kind, (u, v) = rng.random(), scene.at(x, y, z)
    r = size / 2 * scene.scale(z)
    if kind < 0.3:  # prohibition
        canvas.oval((u, v), (r, r), _RED, SIGN)
        canvas.oval((u, v), (r * 0.72, r * 0.72), _WHITE, SIGN)
        canvas.fill(_block(u, v, r * 0.4, r * 0.16), _INK, SIGN)
    elif kind < 0.42:  # command
        canvas.oval((u, v), (r, r), _BLUE, SIGN)
        canvas.stroke((u, v + r * 0.5), (u, v - r * 0.5), r * 0.3, _WHITE, SIGN)
    elif kind < 0.65:  # warning or give way
        turn = math.pi if rng.chance(0.3) else 0.0
        canvas.fill(_ring(u, v, 3, r * 1.2, turn), _RED, SIGN)
        canvas.fill(_ring(u, v, 3, r * 0.72, turn), _WHITE, SIGN)
    elif kind < 0.73:  # stop
        canvas.fill(_ring(u, v, 8, r * 1.08, math.pi / 8), _RED, SIGN)
        canvas.stroke((u - r * 0.6, v), (u + r * 0.6, v), r * 0.3, _WHITE, SIGN)
    elif kind < 0.8:  # no parking
        canvas.oval((u, v), (r, r), _RED, SIGN)
        canvas.oval((u, v), (r * 0.8, r * 0.8), _BLUE, SIGN)
        d = r * 0.55
        canvas.stroke((u - d, v - d), (u + d, v + d), r * 0.22, _RED, SIGN)
    else:
        _board(scene, u, v, r)


def sign(scene: Scene, x: float, z: float) -> None:
    """One or two traffic signs on a thin pole."""
    rng = scene.rng
    height, size, two = rng.uniform(2.1, 3.0), rng.uniform(0.66, 1.05), rng.chance(0.3)
    scene.lit(x, z)
    column(scene, x, z, 0.0, height + size / 2, 0.09, rng.jitter((146, 148, 148), 16))
    _plate(scene, x, height, z, size)
    if two:
        _plate(scene, x, height - size * 1.05, z, size * 0.8)


def signal(scene: Scene, x: float, z: float) -> None:
    """A traffic light on a pole."""
    rng, canvas = scene.rng, scene.canvas
    scene.lit(x, z)
    colour = rng.jitter((58, 60, 60), 12)
    column(scene, x, z, 0.0, 3.2, 0.13, colour)
    scale, (u, v) = scene.scale(z), scene.at(x, 2.85, z)
    w, h = 0.21 * scale, 0.55 * scale
    canvas.fill(
        [(u - w, v - h), (u + w, v - h), (u + w, v + h), (u - w, v + h)], (34, 36, 36), SIGN
    )
    on = rng.integer(0, 2)
    for place, colour in enumerate(
        ((236.0, 50.0, 40.0), (240.0, 170.0, 40.0), (70.0, 220.0, 130.0))
    ):
        glow = 1.0 if place == on else 0.3
        canvas.oval((u, v + (place - 1) * 0.35 * scale), (w * 0.6, w * 0.6), colour, SIGN, glow)


def bollard(scene: Scene, x: float, z: float) -> None:
    """A short post."""
    rng = scene.rng
    scene.lit(x, z)
    column(
        scene,
        x,
        z,
        0.0,
        1.0,
        0.16,
        rng.jitter(rng.pick(((48, 50, 52), (170, 168, 160), (96, 98, 100))), 10),
    )


def wall_sign(scene: Scene, x: float, z: float, side: int) -> None:
    """A board that hangs from a house's front over the pavement."""
    rng = scene.rng
    y, wide, high = rng.uniform(2.9, 3.8), rng.uniform(0.7, 1.2), rng.uniform(0.6, 1.3)
    colour = rng.jitter(
        rng.pick(
            (
                (150, 34, 34),
                (30, 70, 130),
                (230, 226, 216),
                (40, 96, 64),
                (226, 180, 50),
                (44, 42, 46),
            )
        ),
        18,
    )
    scene.lit(x, z)
    inner = x - side * wide
    points = np.array(scene.camera.wall((x, z), (inner, z), y, y + high))
    scene.canvas.fill(points, colour, SIGN)
    middle = points.mean(axis=0)
    ink = (238.0, 234.0, 224.0) if sum(colour) < 400 else (44.0, 40.0, 44.0)
    scene.canvas.fill(middle + (points - middle) * (0.62, 0.3), ink, SIGN)


def tree(scene: Scene, x: float, z: float, height: float, crown: Crown) -> None:
    """A tree with its trunk."""
    rng, canvas = scene.rng, scene.canvas
    tint = rng.uniform(0.7, 1.25)
    colours = (tint * rng.uniform(0.86, 1.2), tint, tint * rng.uniform(0.8, 1.2))
    spread, flip = height * rng.uniform(0.62, 0.92), rng.chance(0.5)
    start = (
        0.0
        if crown.kind == "bare"
        else height * (0.1 if crown.kind == "conifer" else rng.uniform(0.22, 0.36))
    )
    if crown.kind == "conifer":
        spread *= 0.6
    scene.lit(x, z, 0.82 + 0.18 * min(1.0, scene.light.direct))
    scale = scene.scale(z)
    if crown.kind != "bare":
        wide = height * 0.022 + 0.06
        (u0, v0), (u1, v1) = scene.at(x, 0, z), scene.at(x, start + 0.25 * height, z)
        a, b = max(wide * 1.3 * scale, 1.5), max(wide * 0.7 * scale, 1.0)
        bark = rng.jitter((84, 70, 58), 16)
        canvas.fill([(u0 - a, v0), (u0 + a, v0), (u1 + b, v1), (u1 - b, v1)], bark, TREE)
        canvas.fill([(u0, v0), (u0 + a, v0), (u1 + b, v1), (u1, v1)], bark, TREE, 0.7)
    u, top = scene.at(x, height, z)
    bottom = scene.at(x, start, z)[1]
    half = spread * scale / 2
    rows = (bottom - top) / 2 / crown.levels[0][0].shape[0]
    level = max(0, min(len(crown.levels) - 1, int(math.log2(max(1e-3, 1 / max(rows, 1e-3))) + 0.5)))
    picture, region = crown.levels[level]
    canvas.stamp(picture, region, (u - half, top, u + half, bottom), TREE, colours, flip)


def tree_shadow(scene: Scene, x: float, z: float, height: float) -> None:
    """The blob that a crown casts on the ground."""
    if scene.light.shadow > 0.85:  # overcast: no visible shadow
        return
    dx, dz = scene.light.drift
    middle, radius = height * 0.62, height * 0.3
    cx, cz = x + dx * middle, z + dz * middle
    ring = [
        (
            cx + radius * math.cos(a) + dx * radius * 0.4 * math.sin(a),
            0.0,
            cz + radius * math.sin(a),
        )
        for a in (0.0, 0.7, 1.4, 2.1, 2.8, 3.5, 4.2, 4.9, 5.6)
    ]
    if cz > scene.camera.near:
        scene.cast(ring, 0.35 + 0.65 * scene.light.shadow)


def oddment(scene: Scene, x: float, z: float) -> None:
    """A bin, box or bench that no class covers."""
    rng, camera = scene.rng, scene.camera
    wide, high = rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.2)
    colour = rng.jitter(rng.pick(((52, 74, 58), (44, 46, 50), (96, 74, 52), (130, 60, 50))), 14)
    scene.lit(x, z)
    scene.canvas.fill(camera.wall((x, z), (x + wide, z), 0, high), colour, VOID, 0.9)
    scene.canvas.fill(camera.ground(x, x + wide, z, z + 0.6, high), colour, VOID, 1.15)


def skyline(scene: Scene) -> None:
    """Far houses and trees at the horizon."""
    rng, camera, canvas = scene.rng, scene.camera, scene.canvas
    far = 150.0
    scene.light.tone(canvas, far)
    reach = 1.4 * canvas.width / camera.focal * far
    x = (
        -reach / 2
        + camera.x
        - camera.curve * far * far
        + (canvas.width / 2 - camera.u) / camera.focal * far
    )
    end = x + reach
    while x < end:
        wide = rng.uniform(9, 34)
        if rng.chance(0.6):
            high = rng.uniform(5, 17)
            colour = rng.jitter(
                rng.pick(((150, 120, 104), (176, 170, 160), (128, 128, 130), (120, 92, 80))), 18
            )
            body = camera.wall((x, far), (x + wide, far), -2, high)
            canvas.fill(body, colour, BUILDING, 0.8)
            if rng.chance(0.5):
                roof = [(x, high, far), (x + wide, high, far), (x + wide / 2, high + 4, far)]
                canvas.fill(camera.outline(roof), (92, 84, 84), BUILDING, 0.9)
        else:
            high = rng.uniform(4, 12)
            colour = rng.jitter((74, 88, 52), 16)
            steps = [k * math.pi / 6 for k in range(7)]
            crown = [
                (
                    x + wide * (0.5 - 0.62 * math.cos(a)),
                    high * (0.3 + math.sin(a) * rng.uniform(0.5, 0.75)),
                    far,
                )
                for a in steps
            ]
            crown += [(x + wide * 1.1, -2.0, far), (x - wide * 0.1, -2.0, far)]
            canvas.polygons([fixed(camera.outline(crown))], colour, TREE)
        x += wide * rng.uniform(0.7, 1.05)
