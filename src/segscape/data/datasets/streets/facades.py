"""Fronts of houses as textures: bays of windows, shops, doors, bricks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from segscape.data.datasets.streets.canvas import framed
from segscape.data.datasets.streets.rng import Colour, Rng, colours, tinted

BAY = FLOOR = 64  # pixels of one bay (width) and one floor (height) at the finest level
BAYS, FLOORS = 6, 5
SPAN = 8  # bays that can be draped in one piece

_BRICK, _RENDER, _STONE, _CONCRETE, _GLASS, _IVY = range(6)
_WALLS: dict[int, tuple[Colour, ...]] = {
    _BRICK: colours("8a5442 9c6c54 784a3e b69c74 a48a68 6e5a50"),
    _RENDER: colours("d6cebe e2ded6 c4b69c ceb096 b0bec8 bc9682"),
    _STONE: colours("b0a692 968e82 beb4a0"),
    _CONCRETE: colours("808082 929290 6c6e72"),
    _GLASS: colours("54626c 46505c 6e7c82"),
    _IVY: colours("4a5c34"),
}
_KINDS = (_BRICK, _BRICK, _BRICK, _RENDER, _RENDER, _STONE, _CONCRETE, _GLASS)


@dataclass(frozen=True)
class Facade:
    """Front of BAYS x FLOORS cells, ground floor at the bottom.

    Attributes:
        levels: mip levels, largest first; every level halves both sides. SPAN cells wide, as the
            first ones are repeated, and `framed`.
        wall: mean colour of the wall, for gables, chimneys and the like.
        tall: True for kinds that also suit high houses.
    """

    levels: tuple[np.ndarray, ...]
    wall: Colour
    tall: bool


def _box(picture: np.ndarray, x0: float, y0: float, x1: float, y1: float, colour: Colour) -> None:
    cv2.rectangle(picture, (round(x0), round(y0)), (round(x1) - 1, round(y1) - 1), colour, -1)


def _pane(rng: Rng, height: int, width: int) -> np.ndarray:
    """A window's glass: dark, with the sky in its upper part, sometimes curtains or a lamp."""
    dark = rng.jitter((44, 50, 58), 16)
    sky = rng.uniform(0.15, 1.0)
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None, None] ** 1.6
    pane = np.array(dark, np.float32) + sky * ramp * np.array((88, 100, 112), np.float32)
    pane = np.repeat(pane, width, axis=1)
    style = rng.random()
    if style < 0.22:  # curtains
        side = max(1, int(width * rng.uniform(0.12, 0.3)))
        cloth = rng.jitter((186, 180, 168), 30)
        pane[:, :side] = cloth
        pane[:, -side:] = cloth
    elif style < 0.36:  # blind
        pane[: int(height * rng.uniform(0.25, 0.8))] = rng.jitter((196, 192, 182), 24)
    elif style < 0.42:  # lit
        pane[:] = pane * 0.4 + np.array((150, 120, 70), np.float32)
    return np.clip(pane, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class _Style:
    """Shape of a front's windows, in parts of a cell."""

    left: float
    top: float
    right: float
    bottom: float
    frame: Colour
    bars: int
    sill: Colour
    arch: bool


def _window(cell: np.ndarray, style: _Style, rng: Rng) -> None:
    x0, x1 = round(style.left * BAY), round(style.right * BAY)
    y0, y1 = round(style.top * FLOOR), round(style.bottom * FLOOR)
    _box(cell, x0 - 3, y0 - 3, x1 + 3, y1 + 2, tinted(style.sill, 0.8))  # lintel's edge
    _box(cell, x0 - 2, y0 - 2, x1 + 2, y1 + 2, style.frame)
    cell[y0:y1, x0:x1] = _pane(rng, y1 - y0, x1 - x0)
    middle = (x0 + x1) // 2
    if style.bars >= 1:
        _box(cell, middle - 1, y0, middle + 1, y1, style.frame)
    if style.bars >= 2:
        _box(cell, x0, (y0 + y1) // 2 - 1, x1, (y0 + y1) // 2 + 1, style.frame)
    _box(cell, x0, y0, x1, y0 + 2, (28, 28, 32))  # the reveal's shadow
    _box(cell, x0 - 4, y1 + 1, x1 + 4, y1 + 4, style.sill)


def _door(cell: np.ndarray, rng: Rng) -> None:
    colour = rng.pick(
        ((60, 30, 28), (28, 52, 44), (30, 40, 76), (110, 74, 46), (40, 40, 44), (120, 30, 34))
    )
    x0 = rng.integer(18, 24)
    _box(cell, x0 - 3, 10, x0 + 23, FLOOR, (200, 196, 188))
    _box(cell, x0, 13, x0 + 20, FLOOR, colour)
    _box(cell, x0 + 3, 14, x0 + 17, 22, (70, 80, 90))
    _box(cell, x0, FLOOR - 3, x0 + 20, FLOOR, (120, 118, 114))


def _shop(strip: np.ndarray, rng: Rng) -> None:
    """Two bays of a shop: board with letters, large panes, a door."""
    width = strip.shape[1]
    board = rng.jitter(
        rng.pick(
            (
                (32, 60, 120),
                (150, 34, 34),
                (36, 92, 60),
                (60, 56, 60),
                (210, 170, 50),
                (226, 222, 214),
                (96, 40, 90),
            )
        ),
        18,
    )
    _box(strip, 0, 0, width, FLOOR, rng.jitter((60, 56, 54), 20))
    _box(strip, 0, 2, width, 15, board)
    ink = (240, 236, 226) if sum(board) < 420 else (40, 40, 44)
    x = rng.integer(8, 22)
    while x < width - 24:  # letters
        letter = rng.integer(3, 6)
        _box(strip, x, 5, x + letter, 12, ink)
        x += letter + rng.integer(2, 4)
        if rng.chance(0.15):
            x += 10
    panes = rng.integer(2, 4)
    step = (width - 6) / panes
    for number in range(panes):
        left, right = 4 + number * step, 4 + (number + 1) * step - 4
        pane = _pane(rng, FLOOR - 26, int(right - left))
        strip[18 : FLOOR - 8, int(left) : int(left) + pane.shape[1]] = pane
        for _ in range(3):  # goods
            gx = rng.uniform(left, right - 8)
            gy = rng.uniform(30, FLOOR - 20)
            _box(strip, gx, gy, gx + rng.uniform(3, 8), FLOOR - 9, rng.jitter((140, 120, 110), 70))
    if rng.chance(0.35):  # awning
        cloth = rng.jitter(
            rng.pick(((150, 40, 40), (40, 90, 60), (200, 190, 170), (40, 60, 110))), 20
        )
        _box(strip, 0, 15, width, 26, cloth)
        for x in range(0, width, 12):
            _box(strip, x, 15, x + 6, 26, tinted(cloth, 1.35, 20))


def _wall(rng: Rng, kind: int, colour: Colour, stains: np.ndarray) -> np.ndarray:
    height, width = FLOORS * FLOOR, BAYS * BAY
    top, left = rng.integer(0, 512 - height), rng.integer(0, 512 - width)
    rough = 1 + 0.035 * stains[top : top + height, left : left + width, None]
    wall = np.array(colour, np.float32) * rough
    if kind == _BRICK:
        rows = np.arange(height) // 4
        wall[np.arange(height) % 4 == 0] *= 0.86
        offset = (np.arange(width)[None] + 4 * (rows % 2)[:, None]) // 8
        tile = (offset * 7919 + rows[:, None] * 104729) % 97 / 97.0
        wall *= (0.9 + 0.2 * tile[..., None]).astype(np.float32)
    elif kind == _STONE:
        wall[np.arange(height) % 16 < 2] *= 0.88
        blocks = (np.arange(width)[None] + 16 * (np.arange(height) // 16 % 2)[:, None]) % 32 < 2
        wall[blocks] *= 0.9
    elif kind == _CONCRETE:
        wall[:, np.arange(width) % BAY < 2] *= 0.8
        wall[np.arange(height) % FLOOR < 2] *= 0.8
    elif kind == _IVY:
        noise = stains[:height, :width, None]
        wall *= 1 + 0.22 * noise
    return np.clip(wall, 0, 255).astype(np.uint8)


def _style(rng: Rng, kind: int, colour: Colour) -> _Style:
    pale = (224.0, 222.0, 214.0)
    frame = pale if rng.chance(0.65) else rng.jitter((62, 58, 58), 20)
    sill = pale if rng.chance(0.5) else tinted(colour, 0.8)
    if kind == _GLASS:
        return _Style(0.04, 0.06, 0.96, 0.82, tinted(colour, 0.6), 1, colour, False)
    if kind == _CONCRETE:
        return _Style(0.08, 0.25, 0.92, 0.72, frame, 2, colour, False)
    half = rng.uniform(0.14, 0.26)
    top = rng.uniform(0.16, 0.28)
    return _Style(
        0.5 - half, top, 0.5 + half, rng.uniform(0.72, 0.86), frame, rng.integer(0, 2), sill, False
    )


def draw_facade(rng: Rng, stains: np.ndarray, number: int) -> Facade:
    """Draw one front.

    Args:
        rng: random numbers.
        stains: seamless noise (512, 512) with standard deviation 1.
        number: its place in the atlas; spreads the kinds evenly.
    """
    kind = _IVY if number % 16 == 15 else _KINDS[number % len(_KINDS)]
    colour = rng.jitter(rng.pick(_WALLS[kind]), 14)
    wall = _wall(rng, kind, colour, stains)
    style = _style(rng, kind, colour)
    cells = []
    for _ in range(4):
        cell = np.zeros((FLOOR, BAY, 3), np.uint8)
        _window(cell, style, rng)
        cells.append(cell)
    for floor in range(FLOORS - 1):
        for bay in range(BAYS):
            y, x = floor * FLOOR, bay * BAY
            target = wall[y : y + FLOOR, x : x + BAY]
            cell = rng.pick(cells)
            cv2.copyTo(cell, np.where(cell.any(axis=2), 255, 0).astype(np.uint8), target)
        if kind in (_RENDER, _STONE) and floor % 2 == 0:
            _box(wall, 0, floor * FLOOR, BAYS * BAY, floor * FLOOR + 4, tinted(colour, 1.12))
    ground = wall[(FLOORS - 1) * FLOOR :]
    shops = number % 3 != 2 and kind != _IVY
    for bay in range(0, BAYS, 2):
        if shops and rng.chance(0.85):
            _shop(ground[:, bay * BAY : (bay + 2) * BAY], rng)
            continue
        _door(ground[:, bay * BAY : (bay + 1) * BAY], rng)
        cell = rng.pick(cells)
        target = ground[:, (bay + 1) * BAY : (bay + 2) * BAY]
        cv2.copyTo(cell, np.where(cell.any(axis=2), 255, 0).astype(np.uint8), target)
    ground[-5:] = ground[-5:] // 2
    levels = [np.hstack((wall, wall[:, : (SPAN - BAYS) * BAY]))]
    for _ in range(4):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    tall = kind in (_CONCRETE, _GLASS, _STONE, _BRICK)
    return Facade(tuple(framed(level) for level in levels), colour, tall)
