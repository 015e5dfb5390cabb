"""Layout of the streets: what stands where. Everything is drawn from far to near."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from segscape.data.datasets.streets import borders, buildings, objects
from segscape.data.datasets.streets.camera import Camera
from segscape.data.datasets.streets.canvas import Canvas
from segscape.data.datasets.streets.people import cyclist, pedestrian
from segscape.data.datasets.streets.rng import Dice
from segscape.data.datasets.streets.street import Road, Stage
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


def draw_camera(dice: Dice, canvas: Canvas, road: Road) -> Camera:
    """Place the camera in its lane. All its measures are relative to the canvas."""
    height, width = canvas.height, canvas.width
    focal = dice.uniform(1.0, 1.45) * math.sqrt(height * width / 2)
    v = dice.uniform(0.37, 0.51) * height
    u = (0.5 + dice.uniform(-0.13, 0.13)) * width
    tall = dice.uniform(1.25, 2.3)
    bend = dice.uniform(-1.0, 1.0)
    curve = bend**3 * 0.006 if abs(bend) > 0.5 else 0.0  # half of the streets are straight
    roll = dice.uniform(-0.018, 0.018)
    x = road.keep * road.half * dice.uniform(0.25, 0.6)
    if dice.chance(0.12):  # seen from the pavement's edge
        x = road.keep * (road.half + dice.uniform(0.0, 0.8))
    near = 0.55 * focal * tall / max(height - v, 1.0)
    return Camera(focal, u, v, x, tall, curve, roll, near)


def draw_road(dice: Dice) -> Road:
    """Draw the street's measures."""
    junction = None
    if dice.chance(0.3):
        z0 = dice.uniform(11, 40)
        junction = (z0, z0 + dice.uniform(6, 9))
    return Road(
        half=dice.uniform(3.6, 6.4),
        left=dice.uniform(1.2, 2.7),
        right=dice.uniform(1.2, 2.7),
        junction=junction,
        keep=dice.sign(),
    )


def _rows(stage: Stage, plan: Plan, side: int, style: int) -> None:
    """Houses along one side."""
    dice, road = stage.dice, stage.road
    setback = dice.uniform(3.0, 6.0) if style == HOUSES else dice.uniform(0.0, 0.4)
    z = stage.camera.near * 0.5 - dice.uniform(0, 8)
    storeys = {TERRACE: (2, 3), OFFICES: (2, 5), HOUSES: (1, 2)}[style]
    windows, before, space = dice.chance(0.6), 0.0, 1.0
    while z < _REACH:
        bays = dice.integer(*((4, 8) if style == OFFICES else (2, 5))) + int(z / 35)
        length = bays * 2.9
        gap = (
            dice.uniform(2.5, 8)
            if style == HOUSES
            else (dice.uniform(3, 9) if dice.chance(0.1) else 0.0)
        )
        if road.crossed(z - 1.5, z + length + 1.5):
            junction = road.junction
            if junction is not None:
                if z < junction[0] - 5:  # fill up to the corner
                    length = junction[0] - 2 - z
                else:
                    z, space = junction[1] + 2, 1.0
                    continue
        floors = dice.integer(*storeys)
        base = road.edge(side) + setback
        front = base + (dice.uniform(0, 0.8) if dice.chance(0.3) else 0.0)
        house = buildings.design(dice, stage.atlas.facades, side, front, z, length, floors)
        plan.shadows.append(partial(buildings.shadow, stage, house))
        # The nearer house hides this one's gable when it is as high and stands no further back.
        hidden = space == 0.0 and before >= house.height - 0.1
        before, space = house.height if front <= base + 0.41 else 0.0, gap
        wall = side * front
        if stage.seen((wall, z), (wall, z + length), (wall + side * house.depth, z)):
            plan.add(z + length, partial(buildings.draw, stage, house, hidden, windows))
        if style == TERRACE and dice.chance(0.28) and z > stage.camera.near + 1:
            where = z + dice.uniform(0.3, 1.5)
            plan.add(where, partial(objects.wall_sign, stage, side * front, where, side))
        z += length + gap


def _border(stage: Stage, plan: Plan, side: int, style: int) -> None:
    """What separates pavement and gardens: railings, boards, hedges, walls."""
    dice, road = stage.dice, stage.road
    look = (dice.uniform(0.9, 1.5), dice.pick((0.14, 0.18, 0.24)), dice.integer(0, 4))
    x = side * (road.edge(side) + 0.15)
    z = stage.camera.near * 0.6
    kinds = ("rail", "panel", "hedge", "wall", "none", "none")
    kind = dice.pick(("rail", "rail", "panel", "hedge") if style == PARK else kinds)
    while z < 90:
        length = dice.uniform(4, 9)
        if style != PARK or dice.chance(0.2):
            kind = dice.pick(kinds)
        if not road.crossed(z - 1, z + length + 1):
            if kind == "rail":
                pieces = max(1, round(length / 3.5))
                for k in range(pieces):
                    a, b = z + length * k / pieces, z + length * (k + 1) / pieces
                    if stage.seen((x, a), (x, b), reach=0.1):
                        plan.add(b, partial(borders.railing, stage, x, a, b, look))
            elif kind == "panel":
                plan.add(z + length, partial(borders.panels, stage, side, x, z, z + length, look))
            elif kind == "hedge":
                plan.add(
                    z + length,
                    partial(borders.hedge, stage, side, x, z, z + length, dice.uniform(0.9, 2.2)),
                )
            elif kind == "wall":
                plan.add(
                    z + length,
                    partial(
                        borders.garden_wall, stage, side, x, z, z + length, dice.uniform(0.5, 1.4)
                    ),
                )
        z += length + (dice.uniform(1, 3) if style == HOUSES else 0.0)


def _trees(stage: Stage, plan: Plan, side: int, style: int) -> None:
    dice, road = stage.dice, stage.road
    crowns = stage.atlas.crowns
    winter = dice.chance(0.2)
    bare = [c for c in crowns if c.kind == "bare"]
    green = [c for c in crowns if c.kind != "bare"]
    pool = bare if winter else green

    def plant(x: float, z: float, height: float) -> None:
        crown = dice.pick(pool) if dice.chance(0.85) else dice.pick(crowns)
        if z > stage.camera.near + 2 and not road.crossed(z - 0.5, z + 0.5):
            plan.shadows.append(partial(objects.tree_shadow, stage, x, z, height))
            if stage.seen((x, z), reach=0.5 * height):
                plan.add(z, partial(objects.tree, stage, x, z, height, crown))

    edge = road.edge(side)
    if style == PARK:
        z = stage.camera.near + dice.uniform(0, 4)
        while z < _REACH:
            plant(side * (edge + dice.uniform(1.5, 12)), z, dice.uniform(5, 12))
            z += dice.uniform(2, 6) + 0.06 * z
    elif style == HOUSES:
        for _ in range(dice.integer(1, 5)):
            plant(side * (edge + dice.uniform(0.8, 4)), dice.uniform(6, 70), dice.uniform(3.5, 8))
    if style != PARK and dice.chance(0.27):  # an avenue
        z, height = dice.uniform(5, 16), dice.uniform(5, 8.5)
        pace = dice.uniform(8, 16)
        while z < 85:
            plant(side * (road.half + 0.8), z, height * dice.uniform(0.85, 1.15))
            z += pace


def _furniture(stage: Stage, plan: Plan, side: int) -> None:
    """Lamps, signs, signals, bollards and kerbside railings."""
    dice, road = stage.dice, stage.road
    kerb = side * (road.half + 0.45)
    z, pace = dice.uniform(7, 24), dice.uniform(18, 32)
    if dice.chance(0.75):
        while z < 80:
            if stage.seen((kerb, z), reach=3.0):
                plan.add(z, partial(objects.lamp, stage, kerb, z))
            z += pace
    for _ in range(dice.integer(0, 3)):
        z = dice.uniform(6.0, 15.0) if dice.chance(0.4) else dice.uniform(10, 45)
        if not road.crossed(z, z):
            plan.add(z, partial(objects.sign, stage, kerb + side * dice.uniform(0, 0.3), z))
    if road.junction is not None and dice.chance(0.6):
        z = road.junction[0] - dice.uniform(0.3, 1)
        plan.add(z, partial(objects.signal, stage, kerb, z))
    if dice.chance(0.2):
        z, pace = dice.uniform(4, 12), dice.uniform(1.3, 2.4)
        for _ in range(dice.integer(3, 9)):
            plan.add(z, partial(objects.bollard, stage, kerb, z))
            z += pace
    if dice.chance(0.22):  # guard rail at the kerb
        look, z = (dice.uniform(0.95, 1.1), 0.16, dice.pick((1, 1, 0, 2))), dice.uniform(4, 25)
        for _ in range(dice.integer(3, 8)):
            if not road.crossed(z, z + 2.2):
                plan.add(
                    z + 2.2,
                    partial(borders.railing, stage, side * (road.half + 0.3), z, z + 2.2, look),
                )
            z += 2.2
    if dice.chance(0.2):
        z = dice.uniform(4, 20)
        plan.add(z, partial(objects.oddment, stage, kerb + side * dice.uniform(0.2, 1), z))


def _vehicles(stage: Stage, plan: Plan) -> None:
    dice, road = stage.dice, stage.road

    def park(x: float, z: float, heading: float) -> None:
        shape = choose(dice)
        if z - shape.length / 2 > 1.6 + stage.camera.near * 0.5 or abs(x - stage.camera.x) > 2.2:
            if z - shape.length / 2 < 0.8:
                return
            if not stage.seen(
                (x, z - shape.length / 2), (x, z + shape.length / 2), reach=0.6 * shape.length
            ):
                return
            plan.shadows.append(partial(footprint, stage, shape, x, z, heading))
            plan.add(z - shape.length * 0.3, partial(car, stage, shape, x, z, heading))

    for side in (-1, 1):  # parked
        if dice.chance(0.42):
            z = dice.uniform(3, 16)
            while z < 52:
                length = 5.4
                if not road.crossed(z - 4, z + 4) and dice.chance(0.72):
                    heading = 0.0 if side == road.keep else math.pi
                    park(side * (road.half - 1.05), z, heading + dice.uniform(-0.04, 0.04))
                z += length + dice.uniform(0, 1.5)
    if dice.chance(0.7):  # ahead in our lane
        z = dice.uniform(7, 40)
        while z < 66:
            park(
                road.keep * road.half * 0.42 + dice.uniform(-0.3, 0.3), z, dice.uniform(-0.02, 0.02)
            )
            z += dice.uniform(9, 45)
    if dice.chance(0.7):  # oncoming
        z = dice.uniform(8, 45)
        while z < 66:
            park(
                -road.keep * road.half * 0.42 + dice.uniform(-0.3, 0.3),
                z,
                math.pi + dice.uniform(-0.02, 0.02),
            )
            z += dice.uniform(10, 45)
    if road.junction is not None and dice.chance(0.5):
        z = sum(road.junction) / 2
        park(dice.uniform(-9, 9), z, dice.sign() * math.pi / 2)


def _people(stage: Stage, plan: Plan) -> None:
    dice, road = stage.dice, stage.road
    for _ in range(dice.integer(2, 8)):
        side = dice.sign()
        z = dice.uniform(4, 14) if dice.chance(0.45) else dice.uniform(8, 50)
        x = side * (road.half + dice.uniform(0.3, max(0.5, road.pavement(side) - 0.2)))
        if dice.chance(0.1):
            x = dice.uniform(-road.half, road.half)
        if z < stage.camera.near + 1.5:
            continue
        for _ in range(2 if dice.chance(0.3) else 1):
            if not stage.seen((x, z)):
                break
            plan.shadows.append(partial(_figure_shadow, stage, x, z))
            plan.add(z, partial(pedestrian, stage, x, z, dice.chance(0.12)))
            x += dice.sign() * dice.uniform(0.5, 0.8)
            z += dice.uniform(-0.3, 0.3)
    for _ in range(dice.integer(1, 2) if dice.chance(0.6) else 0):
        side, z = dice.sign(), dice.uniform(4.5, 18)
        across = dice.chance(0.3)
        x = (
            dice.uniform(-road.half, road.half)
            if across
            else side * (road.half - dice.uniform(0.5, 1.6))
        )
        plan.shadows.append(partial(_figure_shadow, stage, x, z))
        plan.add(z, partial(cyclist, stage, x, z, across))


def _figure_shadow(stage: Stage, x: float, z: float) -> None:
    dx, dz = stage.light.drift
    tall = 1.6
    if stage.light.direct > 0.3:
        foot = [(x - 0.15, 0.0, z), (x + 0.15, 0.0, z)]
        stage.cast(
            foot + [(px + dx * tall, 0.0, z + dz * tall) for px, _, _ in foot], stage.light.shadow
        )
    stage.cast(
        [
            (x - 0.25, 0, z - 0.15),
            (x + 0.25, 0, z - 0.15),
            (x + 0.25, 0, z + 0.15),
            (x - 0.25, 0, z + 0.15),
        ],
        0.6,
    )


def furnish(stage: Stage) -> Plan:
    """Decide what stands where."""
    dice, plan = stage.dice, Plan()
    first = dice.pick((TERRACE, TERRACE, OFFICES, HOUSES, HOUSES, HOUSES, PARK))
    other = first if dice.chance(0.5) else dice.pick((TERRACE, OFFICES, HOUSES, PARK))
    lawns = []
    for side, style in ((-1, first), (1, other)):
        lawns.append(style == PARK or (style == HOUSES and dice.chance(0.5)))
        if style != PARK:
            _rows(stage, plan, side, style)
        if style in (HOUSES, PARK):
            _border(stage, plan, side, style)
        _trees(stage, plan, side, style)
        _furniture(stage, plan, side)
    plan.lawns = (lawns[0], lawns[1])
    _vehicles(stage, plan)
    _people(stage, plan)
    plan.things.sort(key=lambda thing: -thing[0])
    return plan
