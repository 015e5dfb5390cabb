"""Textures of the streets, drawn once per process: noise, clouds, leaves, facades.

All come from a fixed seed, so every process has the same ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from segscape.data.datasets.streets.canvas import framed
from segscape.data.datasets.streets.facades import Facade, draw_facade
from segscape.data.datasets.streets.rng import Rng

_SEED = 20240607
_FACADES = 32
_CROWNS = 10
_LEAFY, _CONIFER, _BARE = "leafy", "conifer", "bare"


@dataclass(frozen=True)
class Crown:
    """Head of a tree.

    Attributes:
        kind: leafy, conifer or bare.
        levels: mip levels, largest first: picture (h, w, 4) whose last channel is the
            opacity, and (h, w), nonzero where to label; None when that is where it paints.
    """

    kind: str
    levels: tuple[tuple[np.ndarray, np.ndarray | None], ...]


@dataclass(frozen=True)
class Atlas:
    """Everything that is drawn once.

    Attributes:
        ground: (2048, 3072) uint8 around 128, repeated from 1024 on; grain and stains.
        clouds: (256, 512) float32 in 0..1.
        grain: four strengths of noise, (1024, 1024, 3) uint8.
        leaves: foliage of 256 x 512 pixels, `framed`.
        facades: fronts of houses.
        crowns: heads of trees.
    """

    ground: np.ndarray
    clouds: np.ndarray
    grain: tuple[np.ndarray, ...]
    leaves: np.ndarray
    facades: tuple[Facade, ...]
    crowns: tuple[Crown, ...]


def fractal(shape: tuple[int, int], slope: float, generator: np.random.Generator) -> np.ndarray:
    """Seamless noise with a spectrum of 1/f**slope, float32, mean 0 and standard deviation 1."""
    height, width = shape
    frequency = np.hypot(
        np.fft.fftfreq(height)[:, None] * height, np.fft.rfftfreq(width)[None] * width
    )
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(generator.random(shape) - 0.5) / frequency**slope
    noise = np.fft.irfft2(spectrum, s=shape)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32)


def _leaves(generator: np.random.Generator) -> np.ndarray:
    fine, coarse = fractal((256, 256), 0.5, generator), fractal((256, 256), 1.4, generator)
    value = np.clip(0.62 + 0.17 * fine + 0.13 * coarse, 0.12, 1.3)[..., None]
    hue = np.clip(0.5 + 0.25 * coarse, 0, 1)[..., None]
    colour = np.array((70, 96, 42)) * (1 - hue) + np.array((112, 128, 58)) * hue
    leaves = np.clip(colour * value * 1.25, 0, 255).astype(np.uint8)
    return framed(np.hstack((leaves, leaves)))


def _levels(
    picture: np.ndarray, paint: np.ndarray, region: np.ndarray | None = None
) -> tuple[tuple[np.ndarray, np.ndarray | None], ...]:
    sprite = np.dstack((picture, paint))
    levels = [(sprite, region)]
    while levels[-1][0].shape[0] > 24:
        large, mark = levels[-1]
        size = (large.shape[1] // 2, large.shape[0] // 2)
        half = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
        if mark is not None:
            mark = cv2.resize(mark, size, interpolation=cv2.INTER_AREA)
        levels.append((half, mark))
    return tuple(levels)


def _leafy(rng: Rng, generator: np.random.Generator, kind: str) -> Crown:
    """A crown of overlapping clumps, light above and dark below, with a ragged outline."""
    size = 192
    height = np.zeros((size, size), np.float32)
    shade = np.full((size, size), 0.35, np.float32)
    clumps = []
    for number in range(54):
        y = rng.uniform(0.1, 0.9)
        if kind == _CONIFER:  # a spine from top to bottom, then branches around it
            y = 0.1 + 0.8 * number / 54
        reach = (
            0.42 * y if kind == _CONIFER else 0.36 * math.sqrt(max(0.0, 1 - (2 * y - 1) ** 2))
        ) + 0.02
        x = 0.5 + rng.uniform(-reach, reach)
        clumps.append((y + rng.uniform(-0.1, 0.1), x, y, rng.uniform(0.06, 0.13)))
    for _, x, y, r in sorted(clumps, reverse=True):
        r = r * (0.55 + 0.5 * y if kind == _CONIFER else 1.0)
        centre = (int(x * size), int(y * size))
        for step in range(3):
            lift = int(-0.25 * step * r * size)
            bright = 0.42 + 0.2 * step + 0.16 * (1 - y) + rng.uniform(-0.05, 0.05)
            radius = int(r * size * (1 - 0.25 * step))
            cv2.circle(shade, (centre[0] + lift // 2, centre[1] + lift), radius, bright, -1)
        cv2.circle(height, centre, int(r * size), 1.0, -1)
    soft = cv2.GaussianBlur(shade, (0, 0), 2.5)
    fine, edge = fractal((size, size), 0.35, generator), fractal((size, size), 0.8, generator)
    mask = (cv2.GaussianBlur(height, (0, 0), 4) + 0.16 * edge > 0.5).astype(np.uint8)
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    mask = parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))  # no floating leaves
    base = rng.pick(((86, 112, 52), (70, 98, 48), (104, 118, 54), (128, 112, 56), (62, 84, 54)))
    if kind == _CONIFER:
        base = (52, 76, 50)
    value = np.clip(soft * 1.35 + 0.14 * fine, 0.08, 1.6)[..., None]
    picture = np.clip(np.array(base) * value, 0, 255).astype(np.uint8)
    paint = mask.astype(np.uint8) * 255
    return Crown(kind, _levels(picture, paint))


def _bare(rng: Rng, generator: np.random.Generator) -> Crown:
    """Branches without leaves; labelled as one region, as people annotate them."""
    size = 256
    paint = np.zeros((size, size), np.uint8)
    todo = [(size / 2, size - 1.0, math.pi / 2, size * 0.24, 9.0)]
    while todo:
        x, y, angle, length, width = todo.pop()
        x2, y2 = x + length * math.cos(angle), y - length * math.sin(angle)
        cv2.line(
            paint, (int(x), int(y)), (int(x2), int(y2)), 255, max(1, round(width)), cv2.LINE_AA
        )
        if length > 9:
            for turn in (-1, 1, 0)[: 3 if length > 30 else 2]:
                bend = turn * rng.uniform(0.25, 0.6) + rng.uniform(-0.15, 0.15)
                todo.append((x2, y2, angle + bend, length * rng.uniform(0.68, 0.84), width * 0.62))
    mark = cv2.morphologyEx(
        cv2.dilate(paint, np.ones((5, 5), np.uint8)), cv2.MORPH_CLOSE, np.ones((13, 13), np.uint8)
    )
    tint = 1 + 0.12 * fractal((size, size), 0.6, generator)[..., None]
    picture = np.clip(np.array((74, 64, 56)) * tint, 0, 255).astype(np.uint8)
    return Crown(_BARE, _levels(picture, paint, mark))


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """The textures of this process, drawn at the first call (about half a second)."""
    generator = np.random.Generator(np.random.PCG64(_SEED))
    rng = Rng(_SEED)
    fine, coarse = fractal((1024, 1024), 0.35, generator), fractal((1024, 1024), 1.3, generator)
    ground = np.clip(128 * (1 + 0.085 * fine) * (1 + 0.07 * coarse), 0, 255).astype(np.uint8)
    clouds = fractal((256, 512), 1.7, generator)
    clouds = np.clip(0.5 + 0.25 * clouds, 0, 1)
    noise = np.abs(generator.standard_normal((1024, 1024, 3), dtype=np.float32))
    grain = tuple((noise * strength).astype(np.uint8) for strength in (1.5, 3.0, 4.5, 7.0))
    stains = fractal((512, 512), 1.2, generator)
    facades = tuple(draw_facade(rng, stains, number) for number in range(_FACADES))
    crowns = [_leafy(rng, generator, _CONIFER if k % 6 == 5 else _LEAFY) for k in range(_CROWNS)]
    crowns += [_bare(rng, generator) for _ in range(3)]
    ground = np.tile(ground, (2, 3))
    return Atlas(ground, clouds, grain, _leaves(generator), facades, tuple(crowns))
