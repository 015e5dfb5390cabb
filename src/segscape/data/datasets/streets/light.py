"""Light of the streets: sun, sky, haze, shadows on the ground, and the exposure of the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from segscape.data.datasets.streets.camera import Camera
from segscape.data.datasets.streets.canvas import SKY, Canvas
from segscape.data.datasets.streets.rng import Colour, Rng
from segscape.data.datasets.streets.textures import Atlas


@dataclass
class Light:
    """Illumination of one scene.

    Attributes:
        sun: unit vector towards the sun (x right, y up, z forward).
        ambient, direct: strength of the sky's and of the sun's light.
        warmth: colour of the light, factor per channel.
        haze: colour of the air.
        visibility: metres after which haze makes up 63 %.
        zenith, cloud: colours of the sky.
        cover: 0 clear to 1 overcast.
    """

    sun: tuple[float, float, float]
    ambient: float
    direct: float
    warmth: Colour
    haze: Colour
    visibility: float
    zenith: Colour
    cloud: Colour
    cover: float

    @property
    def drift(self) -> tuple[float, float]:
        """Metres (x, z) by which a shadow moves on the ground per metre of height."""
        x, y, z = self.sun
        return -x / y, -z / y

    @property
    def shadow(self) -> float:
        """Factor of the light that is left in a cast shadow."""
        return self.ambient / (self.ambient + self.direct * self.sun[1])

    def side(self, x: float, y: float, z: float) -> float:
        """Light on a surface with the given unit normal, 1 being that of flat ground in the sun."""
        facing = x * self.sun[0] + y * self.sun[1] + z * self.sun[2]
        # Walls see half of the sky, but also light from the ground and from each other.
        sky = self.ambient * (0.92 + 0.08 * y)
        return (sky + self.direct * max(0.0, facing)) / (self.ambient + self.direct * self.sun[1])

    def tone(self, canvas: Canvas, z: float, shade: float = 1.0) -> None:
        """Set the canvas' tone for a thing at a distance of z metres."""
        share = 1.0 - math.exp(-z / self.visibility)
        r, g, b = self.warmth
        canvas.tone((r * shade, g * shade, b * shade), self.haze, share)


def weather(rng: Rng) -> Light:
    """Draw the time of day and the weather."""
    azimuth = rng.uniform(0, 2 * math.pi)
    height = math.radians(rng.uniform(18, 62))
    sun = (
        math.cos(height) * math.sin(azimuth),
        math.sin(height),
        math.cos(height) * math.cos(azimuth),
    )
    kind = rng.random()
    if kind < 0.42:  # clear or fair
        cover = rng.uniform(0.0, 0.45)
        zenith, cloud = rng.jitter((92, 142, 204), 22), (246.0, 248.0, 250.0)
        haze = rng.jitter((196, 212, 228), 14)
        ambient, direct, warmth = 0.58, 0.72, (1.0, 0.99, 0.96)
        visibility = rng.uniform(220, 900)
    elif kind < 0.74:  # overcast
        cover = rng.uniform(0.75, 1.0)
        tone = rng.uniform(165, 250)
        zenith, cloud = (tone * 0.78, tone * 0.82, tone * 0.88), (tone, tone, tone * 1.01)
        haze = rng.jitter((tone * 0.92, tone * 0.93, tone * 0.95), 6)
        ambient, direct, warmth = 0.9, 0.12, (0.97, 1.0, 1.03)
        visibility = rng.uniform(120, 500)
    elif kind < 0.88:  # low sun
        cover = rng.uniform(0.1, 0.6)
        zenith, cloud = rng.jitter((120, 140, 180), 14), (255.0, 226.0, 190.0)
        haze = rng.jitter((236, 206, 168), 12)
        ambient, direct, warmth = 0.55, 0.85, (1.07, 0.97, 0.84)
        visibility = rng.uniform(140, 500)
    else:  # mist or white-out
        cover = 1.0
        tone = rng.uniform(205, 250)
        zenith, cloud = (tone, tone, tone), (tone + 5, tone + 5, tone + 5)
        haze = (tone, tone, tone)
        ambient, direct, warmth = 0.95, 0.06, (1.0, 1.0, 1.0)
        visibility = rng.uniform(55, 150)
    return Light(sun, ambient, direct, warmth, haze, visibility, zenith, cloud, cover)


def paint_sky(canvas: Canvas, camera: Camera, light: Light, atlas: Atlas, rng: Rng) -> None:
    """Sky with gradient and clouds down to the horizon, and a little below it."""
    rows, columns = 48, 128  # clouds are soft: a small picture, enlarged
    bottom = min(canvas.height, max(2, int(camera.v + 0.06 * canvas.height)))
    high = rng.integer(0, atlas.clouds.shape[0] - rows)
    left = rng.integer(0, atlas.clouds.shape[1] - columns)
    cloud = atlas.clouds[high : high + rows, left : left + columns]
    # Clouds lie flatter and thinner towards the horizon.
    level = np.linspace(0.0, 1.0, rows, dtype=np.float32)[:, None]
    density = np.clip((cloud - (1.0 - light.cover)) * 4.0, 0.0, 1.0) * (1.0 - 0.5 * level**3)
    clear, white = 1.0 - density, density * (0.88 + 0.12 * cloud)
    high_up, low_down = 1.0 - level**1.5, level**1.5
    planes = [np.full((rows, columns), SKY, np.uint8)] * 4
    for k in range(3):
        blue = light.zenith[k] * high_up + light.haze[k] * low_down
        pixels = blue * clear + light.cloud[k] * white
        planes[k] = np.clip(pixels, 0, 255).astype(np.uint8)
    small = cv2.merge(planes)
    size = (canvas.width // 2, (bottom + 1) // 2)
    half = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    canvas.enlarge(half, 0)


@dataclass(frozen=True)
class Exposure:
    """What the camera does: drawn before the scene so that it does not depend on its content."""

    gain: float
    temperature: float
    saturation: float
    gamma: float
    blur: float
    noise: int


def exposure(rng: Rng) -> Exposure:
    """Draw exposure, white balance, softness and noise."""
    gain = rng.uniform(0.92, 1.24)
    if rng.chance(0.1):  # under-exposed, as at dusk
        gain = rng.uniform(0.55, 0.75)
    return Exposure(
        gain=gain,
        temperature=rng.uniform(-0.07, 0.07),
        saturation=rng.uniform(0.75, 1.2),
        gamma=rng.uniform(0.85, 1.2),
        blur=rng.uniform(0.35, 0.9) if rng.chance(0.5) else 0.0,
        noise=rng.integer(0, 3),
    )


def develop(image: np.ndarray, taken: Exposure, atlas: Atlas, rng: Rng) -> np.ndarray:
    """Turn the painted picture (H, W, 3) into the camera's, uint8 of the same shape."""
    keep, grey = taken.saturation, (1.0 - taken.saturation)
    matrix = np.eye(3) * keep + grey * np.array((0.3, 0.59, 0.11))
    matrix *= taken.gain * np.array((1 + taken.temperature, 1.0, 1 - taken.temperature))[:, None]
    image = cv2.transform(image, matrix)
    if taken.blur:
        image = cv2.GaussianBlur(image, (3, 3), taken.blur)
    curve = 255.0 * (np.arange(256) / 255.0) ** taken.gamma
    image = cv2.LUT(image, np.rint(curve).astype(np.uint8))
    height, width = image.shape[:2]
    for step in (cv2.add, cv2.subtract):
        grain = atlas.grain[taken.noise]
        top, left = rng.integer(0, 255), rng.integer(0, 255)
        if height + 255 <= grain.shape[0] and width + 255 <= grain.shape[1]:
            grain = grain[top : top + height, left : left + width]
        else:  # larger than the atlas: repeat it, it is seamless enough for noise
            rows = np.arange(top, top + height) % grain.shape[0]
            columns = np.arange(left, left + width) % grain.shape[1]
            grain = grain[rows[:, None], columns]
        image = step(image, grain)
    return image
