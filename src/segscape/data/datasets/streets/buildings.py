"""Houses of the streets: textured fronts in perspective, gables, roofs, chimneys, cornices."""

from __future__ import annotations

import math
from dataclasses import dataclass

from segscape.data.datasets.streets.canvas import BUILDING
from segscape.data.datasets.streets.facades import BAY, FLOOR, FLOORS, SPAN, Facade
from segscape.data.datasets.streets.rng import Colour, Rng, colours, tinted
from segscape.data.datasets.streets.scene import Scene

_METRES = 2.9  # width of a bay and height of a floor
_ROOFS = colours("4e5058 784e3e 605650 404248")


@dataclass(frozen=True)
class Building:
    """One house beside the road.

    Attributes:
        side: -1 left, 1 right.
        front: distance of its front from the road's middle, metres.
        z0, z1: near and far end, metres.
        floors: number of floors with the ground floor.
        depth: metres away from the road.
        facade: texture of its front.
        tint: factor per channel of its colours.
        pitched: roof with slopes, or flat.
        roof: colour of the roof.
        offset: first bay of the texture.
    """

    side: int
    front: float
    z0: float
    z1: float
    floors: int
    depth: float
    facade: Facade
    tint: Colour
    pitched: bool
    roof: Colour
    offset: int

    @property
    def height(self) -> float:
        """Metres up to the eaves."""
        return self.floors * _METRES


def design(
    rng: Rng,
    facades: tuple[Facade, ...],
    side: int,
    front: float,
    z0: float,
    length: float,
    floors: int,
) -> Building:
    """Draw the looks of one house."""
    facade = rng.pick(facades)
    if floors > 4 and not facade.tall:
        facade = rng.pick(facades)
    base = rng.uniform(0.78, 1.15)
    tint = (base * rng.uniform(0.94, 1.06), base, base * rng.uniform(0.94, 1.06))
    return Building(
        side=side,
        front=front,
        z0=z0,
        z1=z0 + length,
        floors=floors,
        depth=rng.uniform(7, 13),
        facade=facade,
        tint=tint,
        pitched=floors <= 4 and rng.chance(0.65),
        roof=rng.jitter(rng.pick(_ROOFS), 12),
        offset=rng.integer(0, 5),
    )


def shadow(scene: Scene, house: Building) -> None:
    """Cast the house's shadow onto the ground."""
    if scene.light.shadow > 0.85:  # overcast: no visible shadow
        return
    dx, dz = scene.light.drift
    height = house.height + (2.0 if house.pitched else 0.0)
    x = house.side * house.front
    far = x + house.side * house.depth
    base = [(x, 0.0, house.z0), (x, 0.0, house.z1), (far, 0.0, house.z0), (far, 0.0, house.z1)]
    moved = [(px + height * dx, 0.0, pz + height * dz) for px, _, pz in base]
    if max(p[2] for p in moved) > scene.camera.near and -house.side * dx > -0.05:
        scene.cast(base + moved, scene.light.shadow)
        reach = height * max(0.0, -house.side * dx)
        scene.shaded.append((x, house.z0, house.z1, reach))


def _level(scene: Scene, house: Building, z: float) -> int:
    """Mip level whose pixels are about those of the canvas at a distance."""
    ratio = (BAY / _METRES) / (scene.scale(z) / 2)
    return max(0, min(len(house.facade.levels) - 1, round(math.log2(max(ratio, 1e-3)) - 0.4)))


def _wall(
    scene: Scene,
    house: Building,
    ends: tuple[tuple[float, float], tuple[float, float]],
    shade: float,
    z: float,
) -> None:
    """Drape the front's texture over an upright wall from ends[0] to ends[1], each (x, z)."""
    level = _level(scene, house, z)
    texture, unit = house.facade.levels[level], 1 / 2**level
    bays = max(1, round(math.dist(*ends) / _METRES))
    if bays > SPAN:  # wider than the texture: two parts
        (xa, za), (xb, zb) = ends
        share = (bays // 2) / bays
        middle = xa + (xb - xa) * share, za + (zb - za) * share
        _wall(scene, house, (ends[0], middle), shade, z)
        _wall(scene, house, (middle, ends[1]), shade, z)
        return
    offset = min(house.offset, SPAN - bays)
    left, right = offset * BAY * unit, (offset + bays) * BAY * unit
    low = 0
    while low < house.floors:
        # The lower part has the ground floor; higher parts repeat the upper floors.
        count = min(house.floors - low, FLOORS if low == 0 else FLOORS - 1)
        bottom = (FLOORS if low == 0 else FLOORS - 1) * FLOOR * unit
        top = bottom - count * FLOOR * unit
        source = left, top, right, bottom
        y0, y1 = low * _METRES, (low + count) * _METRES
        quad = scene.camera.wall(*ends, y0, y1)
        scene.canvas.drape(texture, source, quad, BUILDING, house.tint, shade)
        low += count


def _roof(scene: Scene, house: Building, z0: float, hidden: bool) -> None:
    canvas, camera, light = scene.canvas, scene.camera, scene.light
    side, h, z1 = house.side, house.height, house.z1
    x = side * house.front
    ridge = x + side * house.depth * 0.45
    top = h + house.depth * 0.36
    eave = x - side * 0.35
    slope = [(eave, h - 0.1, z0), (eave, h - 0.1, z1), (ridge, top, z1), (ridge, top, z0)]
    canvas.fill(camera.outline(slope), house.roof, BUILDING, light.side(-side * 0.6, 0.8, 0))
    if not hidden:
        far = x + side * house.depth * 0.9
        gable = [(x, h, z0), (far, h, z0), (ridge, top, z0)]
        shade = light.side(0, 0, -1)
        canvas.fill(camera.outline(gable), _paint(house), BUILDING, shade)
    wide, high = 0.5, 1.6
    for z in (z0 + 0.6, z1 - 1.6) if z0 < 45 else ():  # chimneys
        a, b = ridge - wide * side, ridge + wide * side
        front = [
            (a, top - 0.5, z),
            (b, top - 0.5, z),
            (b, top + high - 0.5, z),
            (a, top + high - 0.5, z),
        ]
        cheek = [
            (a, top - 0.5, z),
            (a, top - 0.5, z + 1),
            (a, top + high - 0.5, z + 1),
            (a, top + high - 0.5, z),
        ]
        colour = (112.0, 84.0, 70.0)
        canvas.fill(camera.outline(cheek), colour, BUILDING, light.side(-side, 0, 0))
        canvas.fill(camera.outline(front), colour, BUILDING, light.side(0, 0, -1))


def _paint(house: Building) -> Colour:
    (r, g, b), (tr, tg, tb) = house.facade.wall, house.tint
    return r * tr, g * tg, b * tb


def _cornice(scene: Scene, house: Building, z0: float) -> None:
    x, h = house.side * (house.front - 0.25), house.height
    band = [(x, h - 0.15, z0), (x, h - 0.15, house.z1), (x, h + 0.45, house.z1), (x, h + 0.45, z0)]
    colour = tinted(_paint(house), 1.12, 8)
    shade = scene.light.side(-house.side, 0, 0)
    scene.canvas.fill(scene.camera.outline(band), colour, BUILDING, shade)
    end = [
        (x, h - 0.15, z0),
        (x + house.side * house.depth, h - 0.15, z0),
        (x + house.side * house.depth, h + 0.45, z0),
        (x, h + 0.45, z0),
    ]
    shade = scene.light.side(0, 0, -1)
    scene.canvas.fill(scene.camera.outline(end), colour, BUILDING, shade)


def draw(scene: Scene, house: Building, hidden: bool, windows: bool) -> None:
    """Paint one house.

    Args:
        scene: where.
        house: what.
        hidden: whether the next house covers the gable that faces the camera.
        windows: whether that gable has windows.
    """
    camera, light = scene.camera, scene.light
    z0 = max(house.z0, camera.cut)
    if house.z1 <= z0:
        return
    middle = math.sqrt(z0 * house.z1)
    light.tone(scene.canvas, middle)
    side, x = house.side, house.side * house.front
    far = x + side * house.depth * 0.9
    if house.z0 > camera.near and not hidden:
        facing = light.side(0, 0, -1)
        ends = ((far, z0), (x, z0)) if side < 0 else ((x, z0), (far, z0))
        if windows:
            _wall(scene, house, ends, facing, z0)
        else:
            wall = [(x, 0, z0), (far, 0, z0), (far, house.height, z0), (x, house.height, z0)]
            scene.canvas.fill(camera.outline(wall), _paint(house), BUILDING, facing)
    ends = ((x, z0), (x, house.z1)) if side < 0 else ((x, house.z1), (x, z0))
    if house.pitched:
        _roof(scene, house, z0, hidden)
    _wall(scene, house, ends, light.side(-side, 0, 0), middle)
    if not house.pitched:
        _cornice(scene, house, z0)
