"""Ground of the streets: carriageway, markings, kerbs, pavements, their light."""

from __future__ import annotations

import cv2
import numpy as np

from segscape.data.datasets.streets.camera import fixed
from segscape.data.datasets.streets.canvas import PAVEMENT, ROAD, TREE
from segscape.data.datasets.streets.rng import Colour, tinted
from segscape.data.datasets.streets.scene import FLAT, Scene

_WHITE: Colour = (214, 214, 208)
_YELLOW: Colour = (206, 166, 62)
_END = 260.0  # metres; farther ground cannot be distinguished from the horizon


def _air(scene: Scene, top: int, height: int) -> np.ndarray:
    """Share of haze of each row of the half canvas, as all of a row is about equally far.

    The first 4 % are left out: they are not visible, and most rows then need no haze at all.
    """
    camera = scene.camera
    rows = 2 * np.arange(top, top + height) + 1 - camera.v
    z = camera.focal * camera.height / np.maximum(rows, 0.5)
    return np.maximum(0.96 - np.exp(-z / scene.light.visibility), 0) / 0.96


def _roughness(scene: Scene, top: int, height: int, width: int) -> np.ndarray:
    """Grain of the ground in perspective (height, width) uint8 around 128, at half the canvas."""
    camera, rng, density, reach = scene.camera, scene.rng, 32.0, 34.0
    out = np.full((height, width), FLAT, np.uint8)
    focal, u, v = camera.focal / 2, camera.u / 2, camera.v / 2
    du, dv = rng.uniform(0, 1024), rng.uniform(0, 900)
    first = max(0, int(v + focal * camera.height / reach) - top)
    if first >= height:
        return out
    row = v - (top + first)  # vanishing row seen from the part's first row
    # From the texture's left edge on: it is large enough, and repeating it takes twice as long.
    step, shift = camera.height * density, u * reach * density / focal + du
    matrix = np.array(
        (
            (step, shift, -u * step - shift * row),
            (0.0, dv, focal * step - dv * row),
            (0.0, 1.0, -row),
        )
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (width, height - first)
    texture = scene.atlas.ground
    out[first:] = cv2.warpPerspective(texture, matrix, size, None, flags, cv2.BORDER_WRAP)
    return out


def light_ground(scene: Scene) -> None:
    """Apply grain, cast shadows and haze to the painted ground."""
    canvas = scene.canvas
    top = min(canvas.height // 2 - 1, max(0, int(scene.camera.v / 2)))
    shade = cv2.blur(scene.shade[top:], (3, 3))
    height, width = shade.shape
    shade = cv2.multiply(shade, _roughness(scene, top, height, width), scale=1 / FLAT)
    air = _air(scene, top, height)
    hazy = int(np.count_nonzero(air))
    if hazy:
        clear = np.rint((1 - air[:hazy, None]) * 255).astype(np.uint8)
        wide = cv2.resize(clear, (width, hazy), interpolation=cv2.INTER_NEAREST)
        shade[:hazy] = cv2.multiply(shade[:hazy], wide, scale=1 / 255)
    # At the final size: light that changes within a pixel is not seen, and this is faster.
    part = canvas.pixels[2 * top :]
    ground = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    cv2.multiply(ground, cv2.merge((shade, shade, shade, shade)), dst=ground, scale=1 / FLAT)
    if hazy:
        colour = np.rint(air[:hazy, None, None] * np.array((*scene.light.haze, 0))).astype(np.uint8)
        veil = cv2.resize(colour, (width, hazy), interpolation=cv2.INTER_NEAREST)
        cv2.add(ground[:hazy], veil, dst=ground[:hazy])
    ground[..., 3] = part[1::2, 1::2, 3]
    canvas.enlarge(ground, 2 * top)


def _dashes(
    scene: Scene, x: float, width: float, length: float, period: float, reach: float
) -> np.ndarray:
    """Outlines (n, 4, 2) of a dashed line along the road."""
    near = scene.camera.near
    start = scene.rng.uniform(0, period) - period
    z0 = np.arange(start, reach, period)
    z1 = z0 + length
    keep = z1 > near
    z0, z1 = np.maximum(z0[keep], near), z1[keep]
    junction = scene.road.junction
    if junction is not None:
        clear = (z1 < junction[0]) | (z0 > junction[1])
        z0, z1 = z0[clear], z1[clear]
    corners = np.zeros((len(z0), 4, 3))
    corners[:, (0, 3), 0] = x - width / 2
    corners[:, (1, 2), 0] = x + width / 2
    corners[:, :2, 2] = z0[:, None]
    corners[:, 2:, 2] = z1[:, None]
    return fixed(scene.camera.points(corners))


def _bands(scene: Scene, x: float, width: float, colour: Colour) -> None:
    """A solid line along the road, interrupted at the junction."""
    pieces = [(0.0, 120.0)]
    if scene.road.junction is not None:
        z0, z1 = scene.road.junction
        pieces = [(0.0, z0 - 1), (z1 + 1, 120.0)]
    for z0, z1 in pieces:
        if z1 > scene.camera.near:
            outline = scene.camera.ground(x - width / 2, x + width / 2, z0, z1)
            scene.canvas.polygon(outline, colour, ROAD)


def _zebra(scene: Scene, z: float) -> None:
    rng, half = scene.rng, scene.road.half
    width = rng.uniform(0.45, 0.6)
    x = np.arange(-half + 0.3, half - width, 2 * width)
    corners = np.zeros((len(x), 4, 3))
    corners[:, (0, 3), 0] = x[:, None]
    corners[:, (1, 2), 0] = x[:, None] + width
    corners[:, :2, 2] = z
    corners[:, 2:, 2] = z + 2.8
    if z > scene.camera.near:
        scene.canvas.polygons(fixed(scene.camera.points(corners)), _WHITE, ROAD)


def _markings(scene: Scene) -> None:
    rng, road, canvas = scene.rng, scene.road, scene.canvas
    worn = rng.uniform(0.72, 1.05)
    white = tinted(_WHITE, worn)
    style = rng.random()
    long = rng.uniform(1.5, 4.0)
    if style < 0.75:
        canvas.polygons(_dashes(scene, 0, 0.14, long, long * rng.uniform(2, 3), 110), white, ROAD)
    elif style < 0.92:
        _bands(scene, 0.0, 0.13, white)
        if rng.chance(0.5):
            _bands(scene, 0.3, 0.13, white)
    edge = rng.random()
    for side in (-1, 1):
        if edge < 0.3:
            for inset in (0.3, 0.55):
                _bands(scene, side * (road.half - inset), 0.09, _YELLOW)
        elif edge < 0.5:
            _bands(scene, side * (road.half - 0.4), 0.12, white)
        elif edge < 0.6:
            rows = _dashes(scene, side * (road.half - 2.1), 0.1, 0.9, 1.8, 70)
            canvas.polygons(rows, white, ROAD)
    if road.junction is not None:
        z = road.junction[0] - 1.2
        x0, x1 = (0.1, road.half) if road.keep > 0 else (-road.half, -0.1)
        if z > scene.camera.near:
            canvas.polygon(scene.camera.ground(x0, x1, z, z + 0.4), white, ROAD)
        if rng.chance(0.5) and z > scene.camera.near + 5:
            _zebra(scene, z - 4.2)
    elif rng.chance(0.22):
        _zebra(scene, rng.uniform(7, 30))


def _patches(scene: Scene) -> None:
    """Tar patches, manholes and seams: they only change the ground's shade."""
    rng, half = scene.rng, scene.road.half
    for _ in range(rng.integer(0, 4)):
        x, z = rng.uniform(-half, half), rng.uniform(3, 40)
        w, d = rng.uniform(0.4, 2.4), rng.uniform(0.8, 9)
        scene.cast(
            [(x, 0, z), (x + w, 0, z), (x + w, 0, z + d), (x, 0, z + d)], rng.uniform(0.78, 0.94)
        )
    for _ in range(rng.integer(0, 3)):
        x, z = rng.uniform(-half, half), rng.uniform(3, 25)
        angles = np.linspace(0, 2 * np.pi, 9)[:-1]
        ring = [(x + 0.33 * float(np.cos(a)), 0.0, z + 0.33 * float(np.sin(a))) for a in angles]
        scene.cast(ring, 0.6)


def _joints(scene: Scene, side: int) -> None:
    """Joints between the slabs of a pavement."""
    camera, road = scene.camera, scene.road
    x0, x1 = side * (road.half + 0.2), side * road.edge(side)
    z = np.arange(camera.near, 26, scene.rng.pick((0.6, 0.9, 1.2)))
    lines = np.full((len(z), 2, 3), 0.12)
    lines[:, 0, 0], lines[:, 1, 0] = x0, x1
    lines[:, :, 2] = z[:, None]
    along = np.full((2, 6, 3), 0.12)
    along[:, :, 0] = np.linspace(x0, x1, 4)[1:3, None]
    along[:, :, 2] = np.geomspace(camera.near, 40, 6)
    for group in (lines, along):
        points = list(fixed(camera.points(group) * 0.5))
        cv2.polylines(scene.shade, points, False, 104, 1, cv2.LINE_8, 4)


def _lanes(scene: Scene) -> None:
    """Coloured lanes and a worn surface at the sides."""
    rng, road = scene.rng, scene.road
    kind = rng.random()
    if kind < 0.12:  # bus or cycle lane
        side = rng.sign()
        width = rng.uniform(1.4, 3.0)
        colour = rng.jitter(rng.pick(((126, 82, 74), (92, 112, 88), (86, 92, 118))), 8)
        x0, x1 = sorted((side * (road.half - width), side * road.half))
        scene.canvas.polygon(scene.camera.ground(x0, x1, 0, 120), colour, ROAD)
    gutter = tinted(rng.jitter((96, 96, 96), 10), 0.82)
    for side in (-1, 1):
        x0, x1 = sorted((side * (road.half - 0.25), side * road.half))
        scene.canvas.polygon(scene.camera.ground(x0, x1, 0, 90), gutter, ROAD)


def _sides(scene: Scene, lawns: tuple[bool, bool], asphalt: Colour) -> None:
    """Terrain, pavement and kerb on both sides; the crossing street goes through all of them."""
    canvas, camera, road, rng = scene.canvas, scene.camera, scene.road, scene.rng
    slab = rng.jitter(
        rng.pick(((150, 146, 140), (132, 130, 128), (166, 150, 138), (118, 116, 116))), 12
    )
    kerb = rng.jitter((170, 168, 164), 14)
    for side, lawn in zip((-1, 1), lawns, strict=True):
        outer = side * 400.0
        colour, kind = (rng.jitter((92, 112, 58), 16), TREE) if lawn else (slab, PAVEMENT)
        x0, x1 = sorted((side * road.edge(side), outer))
        canvas.polygon(camera.ground(x0, x1, 0, _END), colour, kind)
        x0, x1 = sorted((side * road.half, side * road.edge(side)))
        canvas.polygon(camera.ground(x0, x1, 0, _END, 0.12), slab, PAVEMENT)
        x0, x1 = sorted((side * (road.half - 0.01), side * (road.half + 0.16)))
        canvas.polygon(camera.ground(x0, x1, 0, 120, 0.06), kerb, PAVEMENT)
        _joints(scene, side)
    if road.junction is not None:
        canvas.polygon(camera.ground(-300, 300, *road.junction), asphalt, ROAD)


def paint_ground(scene: Scene, lawns: tuple[bool, bool]) -> None:
    """Paint everything that is flat, without light; `light_ground` follows after the shadows."""
    canvas, camera, rng, light = scene.canvas, scene.camera, scene.rng, scene.light
    light.tone(canvas, 0.01)
    tone = rng.uniform(76, 138)
    asphalt: Colour = rng.jitter((tone, tone, tone * 1.02), 5)
    top = max(0, int(camera.v))
    w, h = canvas.width, canvas.height
    canvas.fill([(0, top), (w, top), (w, h), (0, h)], asphalt, ROAD)
    _sides(scene, lawns, asphalt)
    _lanes(scene)
    _markings(scene)
    _patches(scene)
