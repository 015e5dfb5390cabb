"""Borders of the streets: hedges, railings one can see through, boarded fences, low walls."""

from __future__ import annotations

import math

import numpy as np

from segscape.data.datasets.streets.canvas import BUILDING, FENCE, TREE
from segscape.data.datasets.streets.rng import colours
from segscape.data.datasets.streets.scene import Scene

_RAILS = colours("303434 969896 3c5446 ceccc6 70563e")
_BOARDS = colours("7c6044 624e3e 927a5c 747068 584636")
_LEAVES = 42  # pixels of the foliage's texture per metre


def hedge(scene: Scene, side: int, x: float, z0: float, z1: float, height: float) -> None:
    """A clipped hedge along the road: its near end and its flank."""
    rng, camera = scene.rng, scene.camera
    base = rng.uniform(0.6, 1.0)
    tint = (base * rng.uniform(0.85, 1.1), base, base * rng.uniform(0.8, 1.1))
    z0 = max(z0, camera.cut)
    if z1 <= z0:
        return
    scene.lit(x, math.sqrt(z0 * z1))
    for end, shade in (
        ((x + side * 0.9, z0), scene.light.side(0, 0, -1)),
        ((x, z1), scene.light.side(-side, 0, 0)),
    ):
        across, down = math.dist((x, z0), end) * _LEAVES, height * _LEAVES
        source = 0.0, 0.0, across, down
        quad = camera.wall((x, z0), end, 0, height)
        scene.canvas.drape(scene.atlas.leaves, source, quad, TREE, tint, shade * 0.9 + 0.1)


def _bars(z0: float, z1: float, gap: float) -> np.ndarray:
    """Places (n,) of bars along the road; they stay where they are when z0 is cut."""
    return np.arange(math.ceil(z0 / gap) * gap, z1, gap)


def railing(scene: Scene, x: float, z0: float, z1: float, look: tuple[float, float, int]) -> None:
    """A stretch of railings that one can see through; the label is the whole stretch.

    Args:
        scene: where.
        x: lateral place, metres.
        z0: near end, metres.
        z1: far end, metres.
        look: height in metres, metres between bars, number of the colour.
    """
    canvas, camera = scene.canvas, scene.camera
    height, gap, number = look
    z0 = max(z0, camera.cut)
    if z1 <= z0:
        return
    scene.lit(x, math.sqrt(z0 * z1))
    colour, scale = _RAILS[number], scene.scale(z1)
    canvas.region(camera.wall((x, z0), (x, z1), 0, height), FENCE)
    bars = camera.posts(x, _bars(z0, z1, gap), 0.08, height)
    canvas.strokes(bars, 0.035 * scale, colour, FENCE, 0.85)
    for y in (0.14, height * 0.92):
        a, b = camera.point(x, y, z0), camera.point(x, y, z1)
        canvas.stroke(a, b, 0.05 * scale, colour, FENCE)


def panels(
    scene: Scene, side: int, x: float, z0: float, z1: float, look: tuple[float, float, int]
) -> None:
    """A closed fence of boards; the arguments are those of `railing`."""
    canvas, camera = scene.canvas, scene.camera
    height, _, number = look
    z0 = max(z0, camera.cut)
    if z1 <= z0:
        return
    scene.lit(x, math.sqrt(z0 * z1))
    height *= 1.3
    colour, shade = _BOARDS[number], scene.light.side(-side, 0, 0)
    canvas.fill(camera.wall((x, z0), (x, z1), 0, height), colour, FENCE, shade)
    seams = camera.posts(x, _bars(z0, z1, 0.3), 0.0, height)
    canvas.strokes(seams, 1, colour, FENCE, shade * 0.72)


def garden_wall(scene: Scene, side: int, x: float, z0: float, z1: float, height: float) -> None:
    """A low wall, labelled as building as CamVid's walls are."""
    rng, camera = scene.rng, scene.camera
    colour = rng.jitter(rng.pick(((136, 92, 74), (166, 158, 144), (128, 122, 114))), 14)
    z0 = max(z0, camera.cut)
    if z1 <= z0:
        return
    scene.lit(x, math.sqrt(z0 * z1))
    a, b = (x, z0), (x, z1)
    shade = scene.light.side(-side, 0, 0)
    scene.canvas.fill(camera.wall(a, b, 0, height), colour, BUILDING, shade)
    scene.canvas.fill(camera.wall(a, b, height - 0.08, height), colour, BUILDING, 1.1)
