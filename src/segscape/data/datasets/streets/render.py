"""Procedural street scenes with exact labels: an endless data set that needs no download.

Scene number ``index`` of ``seed`` is drawn from these two numbers only: the same bytes in every
process. Classes and colours are those of CamVid (Brostow et al. 2009) in the order of SegNet.
"""

from __future__ import annotations

import cv2
import numpy as np

from segscape.data.base import Sample
from segscape.data.datasets.camvid_labels import CLASSES, PALETTE
from segscape.data.datasets.streets.canvas import VOID, Canvas
from segscape.data.datasets.streets.ground import light_ground, paint_ground
from segscape.data.datasets.streets.layout import draw_camera, draw_road, furnish
from segscape.data.datasets.streets.light import develop, exposure, paint_sky, weather
from segscape.data.datasets.streets.objects import skyline
from segscape.data.datasets.streets.rng import Rng
from segscape.data.datasets.streets.scene import FLAT, Scene
from segscape.data.datasets.streets.textures import atlas

__all__ = ["CLASSES", "PALETTE", "render"]


def _hood(scene: Scene) -> None:
    """The bonnet of the camera's own car: no class covers it."""
    canvas, rng = scene.canvas, scene.rng
    rise, shift = rng.uniform(0.03, 0.09), rng.uniform(-0.1, 0.1)
    colour = rng.jitter(rng.pick(((40, 44, 52), (150, 152, 156), (90, 30, 32), (40, 60, 100))), 14)
    w, h = canvas.width, canvas.height
    canvas.tone(scene.light.warmth, (0, 0, 0), 0.0)
    for part, shade in ((1.0, 0.55), (0.72, 0.9)):
        canvas.oval(
            (w * (0.5 + shift), h * (1 + 0.01)), (w * 0.62, h * rise * part), colour, VOID, shade
        )


def render(seed: int, index: int, size: tuple[int, int] = (256, 512)) -> Sample:
    """Draw one street.

    Args:
        seed: the set of scenes.
        index: the scene in the set.
        size: height and width in pixels; a larger picture shows the same scene.

    Returns:
        RGB image (H, W, 3) uint8 and label (H, W) uint8 with the ids of `CLASSES`, 255 for void.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"size must be positive, got {height}x{width}")
    rng, textures = Rng(seed, index), atlas()
    canvas = Canvas(height, width)
    road, light, taken = draw_road(rng), weather(rng), exposure(rng)
    camera = draw_camera(rng, canvas, road)
    shade = np.full((height, width), FLAT, np.uint8)
    scene = Scene(canvas, camera, light, road, textures, rng, shade, [])
    paint_sky(canvas, camera, light, textures, rng)
    plan = furnish(scene)
    paint_ground(scene, plan.lawns)
    for cast in plan.shadows:
        cast()
    light_ground(scene)
    skyline(scene)
    for _, draw in plan.things:
        draw()
    if rng.chance(0.12):
        _hood(scene)
    label = np.ascontiguousarray(canvas.pixels[1::2, 1::2, 3])
    image = cv2.resize(canvas.pixels, (width, height), interpolation=cv2.INTER_AREA)
    image = cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
    return Sample(develop(image, taken, textures, rng), label)
