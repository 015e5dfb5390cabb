"""The recipe of most real-time papers: scale, crop, flip, colour jitter."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from segscape.data.base import IGNORE_INDEX, LazySample, Sample, WholeSample
from segscape.data.transforms.base import Others
from segscape.data.transforms.checks import (
    check_scales,
    check_size,
    number,
    require,
    require_probability,
)
from segscape.data.transforms.colour import ColourJitter
from segscape.data.transforms.geometry import Axis, Resampling


class TrainTransform:
    """Random scale, crop, flip and colour jitter of a training sample.

    Args:
        crop: height and width of the result, pixels.
        scale: smallest and largest factor on the size of the image.
        scale_step: factors are drawn from the grid scale[0], scale[0] + scale_step, ... up to
            scale[1] (PaddleSeg's ResizeStepScaling); None draws them continuously.
        flip: probability of a horizontal flip.
        brightness: see `ColourJitter`.
        contrast: see `ColourJitter`.
        saturation: see `ColourJitter`.
        hue: degrees, see `ColourJitter`.
        jitter_probability: of each of the four colour operations.
        pad_value: grey level right of and below an image smaller than the crop (before
            the flip). The label is 255 there.
        antialias: average the pixels under a result pixel when shrinking. Off in the
            recipes of the literature (plain bilinear). The image may be displaced by up
            to half a source pixel.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        crop: Sequence[int],
        scale: Sequence[float] = (0.5, 2.0),
        scale_step: float | None = None,
        flip: float = 0.5,
        brightness: float = 0.5,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 18.0,
        jitter_probability: float = 0.5,
        pad_value: int = 127,
        antialias: bool = False,
    ) -> None:
        self.crop = check_size("augment.crop", crop)
        self.scales = check_scales(scale, scale_step)
        self.stepped = scale_step is not None
        self.flip = require_probability("augment.flip", flip)
        require(
            0 <= number("augment.pad_value", pad_value) <= 255,
            "augment.pad_value",
            pad_value,
            "0 to 255",
        )
        self.pad_value = int(pad_value)
        self.antialias = bool(antialias)
        self.jitter = ColourJitter(brightness, contrast, saturation, hue, jitter_probability)

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transform one sample; every random choice comes from `rng`.

        Args:
            image: RGB, uint8, (H, W, 3).
            label: uint8, (H, W).
            rng: source of the choices.

        Returns:
            image (crop height, crop width, 3) and label (crop height, crop width), uint8.
            The inputs are not modified.
        """
        done = self.apply(WholeSample(Sample(image, label)), rng)
        return done.image, done.label

    def apply(
        self, lazy: LazySample, rng: np.random.Generator, others: Others | None = None
    ) -> Sample:
        """The same, of a sample of which only the pixels that are needed are read.

        Args:
            lazy: the source.
            rng: source of the choices.
            others: draws other samples of the split.
        """
        scale = self._draw_scale(rng)
        rows, columns = (
            Axis.draw(size, scale, crop, rng)
            for size, crop in zip(lazy.size, self.crop, strict=True)
        )
        flip = rng.random() < self.flip
        resample = Resampling(rows, columns, self.antialias)
        part = resample(lazy.window(*resample.window()))
        # Jitter before padding: the grey of the padding stays neutral and does not enter the
        # mean of the contrast (PaddleSeg pads first; the label is ignored there either way).
        image, label = self._pad(self.jitter(part.image, rng), part.label)
        if flip:
            image, label = cv2.flip(image, 1), cv2.flip(label, 1)
        return Sample(np.ascontiguousarray(image), np.ascontiguousarray(label))

    def _draw_scale(self, rng: np.random.Generator) -> float:
        if self.stepped:
            return float(self.scales[rng.integers(len(self.scales))])
        return float(rng.uniform(self.scales[0], self.scales[-1]))

    def _pad(self, image: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        bottom, right = self.crop[0] - label.shape[0], self.crop[1] - label.shape[1]
        if bottom == 0 and right == 0:
            return image, label
        grey = (self.pad_value,) * 3
        constant = cv2.BORDER_CONSTANT
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, constant, value=grey)
        label = cv2.copyMakeBorder(label, 0, bottom, 0, right, constant, value=(IGNORE_INDEX,))
        return image, label
