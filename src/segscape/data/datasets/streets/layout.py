"""Layout of the streets: the places of all things, which are drawn from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from segscape.data.datasets.streets import borders, buildings, objects
from segscape.data.datasets.streets.camera import Camera
from segscape.data.datasets.streets.canvas import Canvas
from segscape.data.datasets.streets.people import cyclist, pedestrian
from segscape.data.datasets.streets.rng import Rng
from segscape.data.datasets.streets.scene import Road, Scene
from segscape.data.datasets.streets.traffic import car, choose, footprint

TERRACE, OFFICES, HOUSES, PARK = range(4)
_REACH = 118.0  # metres; beyond this the skyline closes the view


@dataclass
class Plan:
    """Things to draw: (distance, call) for the painting, calls for the shadows before it.

    Attributes:
        things: sorted by distance before they are drawn.
        shadows: drawn onto the ground first.
        lawns: whether the terrain behind each pavement (left, right) is grass.
    """

    things: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    shadows: list[Callable[[], None]] = field(default_factory=list)
    lawns: tuple[bool, bool] = (False, False)

    def add(self, z: float, call: Callable[[], None]) -> None:
        """Add a thing at a distance of z metres."""
        self.things.append((z, call))


def draw_camera(rng: Rng, canvas: Canvas, road: Road) -> Camera:
    """Place the camera in its lane. All its measures are relative to the canvas."""
    height, width = canvas.height, canvas.width
    focal = rng.uniform(1.0, 1.45) * math.sqrt(height * width / 2)
    v = rng.uniform(0.37, 0.51) * height
    u = (0.5 + rng.uniform(-0.13, 0.13)) * width
    tall = rng.uniform(1.25, 2.3)
    bend = rng.uniform(-1.0, 1.0)
    curve = bend**3 * 0.006 if abs(bend) > 0.5 else 0.0  # half of the streets are straight
    roll = rng.uniform(-0.018, 0.018)
    x = road.keep * road.half * rng.uniform(0.25, 0.6)
    if rng.chance(0.12):  # seen from the pavement's edge
        x = road.keep * (road.half + rng.uniform(0.0, 0.8))
    near = 0.55 * focal * tall / max(height - v, 1.0)
    return Camera(focal, u, v, x, tall, curve, roll, near)


def draw_road(rng: Rng) -> Road:
    """Draw the street's measures."""
    junction = None
    if rng.chance(0.3):
        z0 = rng.uniform(11, 40)
        junction = (z0, z0 + rng.uniform(6, 9))
    return Road(
        half=rng.uniform(3.6, 6.4),
        left=rng.uniform(1.2, 2.7),
        right=rng.uniform(1.2, 2.7),
        junction=junction,
        keep=rng.sign(),
    )


def _rows(scene: Scene, plan: Plan, side: int, style: int) -> None:
    """Houses along one side."""
    rng, road = scene.rng, scene.road
    setback = rng.uniform(3.0, 6.0) if style == HOUSES else rng.uniform(0.0, 0.4)
    z = scene.camera.near * 0.5 - rng.uniform(0, 8)
    storeys = {TERRACE: (2, 3), OFFICES: (2, 5), HOUSES: (1, 2)}[style]
    windows, before, space = rng.chance(0.6), 0.0, 1.0
    while z < _REACH:
        bays = rng.integer(*((4, 8) if style == OFFICES else (2, 5))) + int(z / 35)
        length = bays * 2.9
        gap = (
            rng.uniform(2.5, 8)
            if style == HOUSES
            else (rng.uniform(3, 9) if rng.chance(0.1) else 0.0)
        )
        if road.crossed(z - 1.5, z + length + 1.5):
            junction = road.junction
            if junction is not None:
                if z < junction[0] - 5:  # fill up to the corner
                    length = junction[0] - 2 - z
                else:
                    z, space = junction[1] + 2, 1.0
                    continue
        floors = rng.integer(*storeys)
        base = road.edge(side) + setback
        front = base + (rng.uniform(0, 0.8) if rng.chance(0.3) else 0.0)
        house = buildings.design(rng, scene.atlas.facades, side, front, z, length, floors)
        plan.shadows.append(partial(buildings.shadow, scene, house))
        # The nearer house hides this one's gable when it is as high and stands no further back.
        hidden = space == 0.0 and before >= house.height - 0.1
        before, space = house.height if front <= base + 0.41 else 0.0, gap
        wall = side * front
        if scene.seen((wall, z), (wall, z + length), (wall + side * house.depth, z)):
            plan.add(z + length, partial(buildings.draw, scene, house, hidden, windows))
        if style == TERRACE and rng.chance(0.28) and z > scene.camera.near + 1:
            where = z + rng.uniform(0.3, 1.5)
            plan.add(where, partial(objects.wall_sign, scene, side * front, where, side))
        z += length + gap


def _border(scene: Scene, plan: Plan, side: int, style: int) -> None:
    """Railings, boards, hedges or walls between pavement and gardens."""
    rng, road = scene.rng, scene.road
    look = (rng.uniform(0.9, 1.5), rng.pick((0.14, 0.18, 0.24)), rng.integer(0, 4))
    x = side * (road.edge(side) + 0.15)
    z = scene.camera.near * 0.6
    kinds = ("rail", "panel", "hedge", "wall", "none", "none")
    kind = rng.pick(("rail", "rail", "panel", "hedge") if style == PARK else kinds)
    while z < 90:
        length = rng.uniform(4, 9)
        if style != PARK or rng.chance(0.2):
            kind = rng.pick(kinds)
        if not road.crossed(z - 1, z + length + 1):
            if kind == "rail":
                pieces = max(1, round(length / 3.5))
                for k in range(pieces):
                    a, b = z + length * k / pieces, z + length * (k + 1) / pieces
                    if scene.seen((x, a), (x, b), reach=0.1):
                        plan.add(b, partial(borders.railing, scene, x, a, b, look))
            elif kind == "panel":
                plan.add(z + length, partial(borders.panels, scene, side, x, z, z + length, look))
            elif kind == "hedge":
                plan.add(
                    z + length,
                    partial(borders.hedge, scene, side, x, z, z + length, rng.uniform(0.9, 2.2)),
                )
            elif kind == "wall":
                plan.add(
                    z + length,
                    partial(
                        borders.garden_wall, scene, side, x, z, z + length, rng.uniform(0.5, 1.4)
                    ),
                )
        z += length + (rng.uniform(1, 3) if style == HOUSES else 0.0)


def _trees(scene: Scene, plan: Plan, side: int, style: int) -> None:
    rng, road = scene.rng, scene.road
    crowns = scene.atlas.crowns
    winter = rng.chance(0.2)
    bare = [c for c in crowns if c.kind == "bare"]
    green = [c for c in crowns if c.kind != "bare"]
    pool = bare if winter else green

    def plant(x: float, z: float, height: float) -> None:
        crown = rng.pick(pool) if rng.chance(0.85) else rng.pick(crowns)
        if z > scene.camera.near + 2 and not road.crossed(z - 0.5, z + 0.5):
            plan.shadows.append(partial(objects.tree_shadow, scene, x, z, height))
            if scene.seen((x, z), reach=0.5 * height):
                plan.add(z, partial(objects.tree, scene, x, z, height, crown))

    edge = road.edge(side)
    if style == PARK:
        z = scene.camera.near + rng.uniform(0, 4)
        while z < _REACH:
            plant(side * (edge + rng.uniform(1.5, 12)), z, rng.uniform(5, 12))
            z += rng.uniform(2, 6) + 0.06 * z
    elif style == HOUSES:
        for _ in range(rng.integer(1, 5)):
            plant(side * (edge + rng.uniform(0.8, 4)), rng.uniform(6, 70), rng.uniform(3.5, 8))
    if style != PARK and rng.chance(0.27):  # an avenue
        z, height = rng.uniform(5, 16), rng.uniform(5, 8.5)
        pace = rng.uniform(8, 16)
        while z < 85:
            plant(side * (road.half + 0.8), z, height * rng.uniform(0.85, 1.15))
            z += pace


def _furniture(scene: Scene, plan: Plan, side: int) -> None:
    """Lamps, signs, signals, bollards and kerbside railings."""
    rng, road = scene.rng, scene.road
    kerb = side * (road.half + 0.45)
    z, pace = rng.uniform(7, 24), rng.uniform(18, 32)
    if rng.chance(0.75):
        while z < 80:
            if scene.seen((kerb, z), reach=3.0):
                plan.add(z, partial(objects.lamp, scene, kerb, z))
            z += pace
    for _ in range(rng.integer(0, 3)):
        z = rng.uniform(6.0, 15.0) if rng.chance(0.4) else rng.uniform(10, 45)
        if not road.crossed(z, z):
            plan.add(z, partial(objects.sign, scene, kerb + side * rng.uniform(0, 0.3), z))
    if road.junction is not None and rng.chance(0.6):
        z = road.junction[0] - rng.uniform(0.3, 1)
        plan.add(z, partial(objects.signal, scene, kerb, z))
    if rng.chance(0.2):
        z, pace = rng.uniform(4, 12), rng.uniform(1.3, 2.4)
        for _ in range(rng.integer(3, 9)):
            plan.add(z, partial(objects.bollard, scene, kerb, z))
            z += pace
    if rng.chance(0.22):  # guard rail at the kerb
        look, z = (rng.uniform(0.95, 1.1), 0.16, rng.pick((1, 1, 0, 2))), rng.uniform(4, 25)
        for _ in range(rng.integer(3, 8)):
            if not road.crossed(z, z + 2.2):
                plan.add(
                    z + 2.2,
                    partial(borders.railing, scene, side * (road.half + 0.3), z, z + 2.2, look),
                )
            z += 2.2
    if rng.chance(0.2):
        z = rng.uniform(4, 20)
        plan.add(z, partial(objects.oddment, scene, kerb + side * rng.uniform(0.2, 1), z))


def _vehicles(scene: Scene, plan: Plan) -> None:
    rng, road = scene.rng, scene.road

    def park(x: float, z: float, heading: float) -> None:
        shape = choose(rng)
        if z - shape.length / 2 > 1.6 + scene.camera.near * 0.5 or abs(x - scene.camera.x) > 2.2:
            if z - shape.length / 2 < 0.8:
                return
            if not scene.seen(
                (x, z - shape.length / 2), (x, z + shape.length / 2), reach=0.6 * shape.length
            ):
                return
            plan.shadows.append(partial(footprint, scene, shape, x, z, heading))
            plan.add(z - shape.length * 0.3, partial(car, scene, shape, x, z, heading))

    for side in (-1, 1):  # parked
        if rng.chance(0.42):
            z = rng.uniform(3, 16)
            while z < 52:
                length = 5.4
                if not road.crossed(z - 4, z + 4) and rng.chance(0.72):
                    heading = 0.0 if side == road.keep else math.pi
                    park(side * (road.half - 1.05), z, heading + rng.uniform(-0.04, 0.04))
                z += length + rng.uniform(0, 1.5)
    if rng.chance(0.7):  # ahead in our lane
        z = rng.uniform(7, 40)
        while z < 66:
            park(road.keep * road.half * 0.42 + rng.uniform(-0.3, 0.3), z, rng.uniform(-0.02, 0.02))
            z += rng.uniform(9, 45)
    if rng.chance(0.7):  # oncoming
        z = rng.uniform(8, 45)
        while z < 66:
            park(
                -road.keep * road.half * 0.42 + rng.uniform(-0.3, 0.3),
                z,
                math.pi + rng.uniform(-0.02, 0.02),
            )
            z += rng.uniform(10, 45)
    if road.junction is not None and rng.chance(0.5):
        z = sum(road.junction) / 2
        park(rng.uniform(-9, 9), z, rng.sign() * math.pi / 2)


def _people(scene: Scene, plan: Plan) -> None:
    rng, road = scene.rng, scene.road
    for _ in range(rng.integer(2, 8)):
        side = rng.sign()
        z = rng.uniform(4, 14) if rng.chance(0.45) else rng.uniform(8, 50)
        x = side * (road.half + rng.uniform(0.3, max(0.5, road.pavement(side) - 0.2)))
        if rng.chance(0.1):
            x = rng.uniform(-road.half, road.half)
        if z < scene.camera.near + 1.5:
            continue
        for _ in range(2 if rng.chance(0.3) else 1):
            if not scene.seen((x, z)):
                break
            plan.shadows.append(partial(_figure_shadow, scene, x, z))
            plan.add(z, partial(pedestrian, scene, x, z, rng.chance(0.12)))
            x += rng.sign() * rng.uniform(0.5, 0.8)
            z += rng.uniform(-0.3, 0.3)
    for _ in range(rng.integer(1, 2) if rng.chance(0.6) else 0):
        side, z = rng.sign(), rng.uniform(4.5, 18)
        across = rng.chance(0.3)
        x = (
            rng.uniform(-road.half, road.half)
            if across
            else side * (road.half - rng.uniform(0.5, 1.6))
        )
        plan.shadows.append(partial(_figure_shadow, scene, x, z))
        plan.add(z, partial(cyclist, scene, x, z, across))


def _figure_shadow(scene: Scene, x: float, z: float) -> None:
    dx, dz = scene.light.drift
    tall = 1.6
    if scene.light.direct > 0.3:
        foot = [(x - 0.15, 0.0, z), (x + 0.15, 0.0, z)]
        scene.cast(
            foot + [(px + dx * tall, 0.0, z + dz * tall) for px, _, _ in foot], scene.light.shadow
        )
    scene.cast(
        [
            (x - 0.25, 0, z - 0.15),
            (x + 0.25, 0, z - 0.15),
            (x + 0.25, 0, z + 0.15),
            (x - 0.25, 0, z + 0.15),
        ],
        0.6,
    )


def furnish(scene: Scene) -> Plan:
    """Place everything that stands in the scene."""
    rng, plan = scene.rng, Plan()
    first = rng.pick((TERRACE, TERRACE, OFFICES, HOUSES, HOUSES, HOUSES, PARK))
    other = first if rng.chance(0.5) else rng.pick((TERRACE, OFFICES, HOUSES, PARK))
    lawns = []
    for side, style in ((-1, first), (1, other)):
        lawns.append(style == PARK or (style == HOUSES and rng.chance(0.5)))
        if style != PARK:
            _rows(scene, plan, side, style)
        if style in (HOUSES, PARK):
            _border(scene, plan, side, style)
        _trees(scene, plan, side, style)
        _furniture(scene, plan, side)
    plan.lawns = (lawns[0], lawns[1])
    _vehicles(scene, plan)
    _people(scene, plan)
    plan.things.sort(key=lambda thing: -thing[0])
    return plan
