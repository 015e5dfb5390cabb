"""The recipes of real-time papers: scale, crop, flip, colour, and mixtures of such crops."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import cv2
import numpy as np

from segscape.data.base import IGNORE_INDEX, LazySample, Sample, WholeSample
from segscape.data.transforms.base import Others
from segscape.data.transforms.checks import (
    check_size,
    number,
    require,
    require_flag,
    require_probability,
)
from segscape.data.transforms.colour import Blur, make_colour
from segscape.data.transforms.geometry import Axis, Resampling
from segscape.data.transforms.mixing import Mixing
from segscape.data.transforms.placement import Placement, resolved
from segscape.data.transforms.rotation import Rotation
from segscape.data.transforms.scaling import Scaling


class TrainTransform:
    """Random scale, rotation, crop, flip, colour and mixture of a training sample.

    Args:
        crop: height and width of the result, pixels.
        scale: smallest and largest factor on the size of the image.
        scale_step: factors are drawn from the grid scale[0], scale[0] + scale_step, ... up to
            scale[1] (PaddleSeg's ResizeStepScaling); None draws them continuously.
        scale_draw: uniform | log_uniform, see `Scaling`.
        short_side: factors refer to the image resized to this short side; see `Scaling`.
        long_side: limit of that resizing.
        small: pad | enlarge, how an image smaller than the crop is treated.
        rotation: the image is turned by -x..+x degrees about its centre; 0 turns it off.
        rotation_probability: of a rotation.
        flip: probability of a horizontal flip.
        colour: paddleseg | stdc (`ColourJitter`) | mmseg (`PhotoMetricDistortion`) | none.
        brightness: amount, see the class of the colour; None: as published.
        contrast: amount; None: as published.
        saturation: amount; None: as published.
        hue: amount in degrees; None: as published.
        jitter_probability: of each of the four colour operations; None: as published.
        blur: probability of a Gaussian blur.
        blur_kernel: see `Blur`.
        blur_sigma: see `Blur`.
        max_class_share: see `Placement`.
        rare_probability: of a crop around a pixel of a rare class.
        rare_classes: auto, or names or ids; see `Placement` and, for copy_paste, `Mixing`.
        mix: none | cutmix | classmix | copy_paste | mosaic, see `Mixing`.
        mix_probability: of a mixture.
        pad_value: grey level right of and below an image smaller than the crop (before
            the flip), and beside a rotated one. The label is 255 there.
        antialias: average the pixels under a result pixel when shrinking. Off in the
            recipes of the literature (plain bilinear).

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        crop: Sequence[int],
        scale: Sequence[float] = (0.5, 2.0),
        scale_step: float | None = None,
        scale_draw: str = "uniform",
        short_side: int | None = None,
        long_side: int | None = None,
        small: str = "pad",
        rotation: float = 0.0,
        rotation_probability: float = 0.5,
        flip: float = 0.5,
        colour: str = "paddleseg",
        brightness: float | None = None,
        contrast: float | None = None,
        saturation: float | None = None,
        hue: float | None = None,
        jitter_probability: float | None = None,
        blur: float = 0.0,
        blur_kernel: int = 5,
        blur_sigma: Sequence[float] | None = None,
        max_class_share: float = 1.0,
        rare_probability: float = 0.0,
        rare_classes: str | Sequence[str | int] = "auto",
        mix: str = "none",
        mix_probability: float = 0.5,
        pad_value: int = 127,
        antialias: bool = False,
    ) -> None:
        self.crop = check_size("augment.crop", crop)
        self.scaling = Scaling(scale, scale_step, scale_draw, short_side, long_side, small)
        turned = 0 <= number("augment.rotation", rotation) <= 180
        require(turned, "augment.rotation", rotation, "degrees from 0 to 180")
        self.rotation = float(rotation)
        self.turns = require_probability("augment.rotation_probability", rotation_probability)
        self.placement = Placement(max_class_share, rare_probability, rare_classes)
        self.flip = require_probability("augment.flip", flip)
        self.colour = make_colour(colour, brightness, contrast, saturation, hue, jitter_probability)
        self.blur = Blur(blur, blur_kernel, blur_sigma)
        self.mixing = Mixing(mix, mix_probability, self.crop)
        grey = 0 <= number("augment.pad_value", pad_value) <= 255
        require(grey, "augment.pad_value", pad_value, "0 to 255")
        self.pad_value = int(pad_value)
        self.antialias = require_flag("augment.antialias", antialias)

    def for_classes(self, classes: Sequence[str]) -> TrainTransform:
        """The same for a data set with these classes: names become ids.

        Raises:
            UserError: a class that the data set does not have.
        """
        done = copy.copy(self)
        done.placement = copy.copy(self.placement)
        done.placement.rare_classes = resolved(
            "augment.rare_classes", self.placement.rare_classes, classes
        )
        return done

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
        """The same for a sample of which only the needed pixels are read.

        Args:
            lazy: the source.
            rng: source of the choices.
            others: draws the samples that are mixed into this one; None: this sample itself.
        """
        partners = others if others is not None else lambda rng: lazy
        done = self.mixing(lazy, rng, partners, self._cut, self.placement.rare_classes)
        return Sample(np.ascontiguousarray(done.image), np.ascontiguousarray(done.label))

    def _cut(
        self,
        lazy: LazySample,
        crop: tuple[int, int],
        rng: np.random.Generator,
        around: bool = False,
    ) -> Sample | None:
        """A part of a sample at the crop's size; with `around` it shows a rare class, or None."""
        scale = self.scaling.draw(lazy.size, crop, rng)
        degrees = self.draw_angle(rng)
        height, width = (Axis.whole(size, scale) for size in lazy.size)
        whole = self._view(height, width, degrees)
        if around:
            wanted = self.placement.rare_classes
            found = self.placement.around_class(lazy, whole, crop, rng, wanted)
            if found is None:
                return None
            rows, columns = found
        else:
            rows, columns = self.placement.draw(lazy, whole, crop, rng)
        flip = rng.random() < self.flip
        resample = self._view(rows, columns, degrees)
        part = resample(lazy.window(*resample.window()))
        # Colour before padding: the grey of the padding stays neutral and does not affect the
        # mean of the contrast (PaddleSeg pads first; the label is ignored there in both cases).
        image, label = self._pad(self.blur(self.colour(part.image, rng), rng), part.label, crop)
        if flip:
            image, label = cv2.flip(image, 1), cv2.flip(label, 1)
        return Sample(image, label)

    def draw_angle(self, rng: np.random.Generator) -> float:
        """The rotation of a sample, degrees; 0 for none."""
        if self.rotation == 0 or rng.random() >= self.turns:
            return 0.0
        return float(rng.uniform(-self.rotation, self.rotation))

    def _view(self, rows: Axis, columns: Axis, degrees: float) -> Resampling | Rotation:
        if degrees == 0:
            return Resampling(rows, columns, self.antialias)
        return Rotation(rows, columns, degrees, self.antialias, self.pad_value)

    def _pad(
        self, image: np.ndarray, label: np.ndarray, crop: tuple[int, int]
    ) -> tuple[np.ndarray, np.ndarray]:
        bottom, right = crop[0] - label.shape[0], crop[1] - label.shape[1]
        if bottom == 0 and right == 0:
            return image, label
        grey = (self.pad_value,) * 3
        constant = cv2.BORDER_CONSTANT
        image = cv2.copyMakeBorder(image, 0, bottom, 0, right, constant, value=grey)
        label = cv2.copyMakeBorder(label, 0, bottom, 0, right, constant, value=(IGNORE_INDEX,))
        return image, label
