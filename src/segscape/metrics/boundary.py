"""Boundary IoU: overlap of the bands along the edges of the regions."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from segscape.errors import UserError
from segscape.metrics.counting import as_bytes, count_pairs


class BoundaryIoU(Metric):
    """Boundary IoU (Cheng et al., CVPR 2021, arXiv 2103.16562), extended to semantic maps.

    The band of a class is the set of its pixels within d pixels (Chebyshev distance) of a pixel of
    another class; d is `width` times the image diagonal, rounded, at least 1.
    `IoU(c) = |band of truth ∩ band of prediction| / |union of both|`, with the pixels of both
    summed over the split in int64; the score is the mean over the classes with a band in either.

    Two choices differ from instance masks. The border of the image is not a boundary: a region
    that is cut off by it does not end there. Void pixels (labels that are no class) are taken out
    of both maps like the outside of the image: they are not scored and make no boundary, so that
    a prediction that is right on every labelled pixel scores 1.

    Args:
        num_classes: number of classes, at most 254.
        width: band width as a fraction of the image diagonal.
        extra_outputs: further values of a prediction, `num_classes` and above, that are no class.

    Raises:
        UserError: a width that is not in (0, 1).
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    intersection: Tensor
    union: Tensor

    def __init__(
        self, num_classes: int, width: float = 0.02, extra_outputs: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 < width < 1:
            raise UserError(f"width={width} is not a share of the image diagonal between 0 and 1")
        assert 0 < num_classes + extra_outputs < 255, (num_classes, extra_outputs)
        self.num_classes = num_classes
        self.outputs = num_classes + extra_outputs
        self.width = width
        zeros = torch.zeros(self.outputs, dtype=torch.int64)
        self.add_state("intersection", default=zeros.clone(), dist_reduce_fx="sum")
        self.add_state("union", default=zeros.clone(), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor, valid: Tensor | None = None) -> None:
        """Count a batch.

        Args:
            prediction: class ids (B, H, W), any integer type.
            label: ground truth (B, H, W), any integer type, same device.
            valid: which images are scored (B,), bool; None for all.

        Raises:
            ValueError: shapes differ, or ids are out of range.
        """
        prediction, label = as_bytes(prediction, label, valid, self.outputs)
        radius = max(1, round(self.width * math.hypot(*label.shape[-2:])))
        void = label >= self.outputs
        outside = self.outputs  # row and column of the pixels that are in no band
        truth = label.masked_fill(~boundary_band(label, void, radius), outside)
        predicted = prediction.masked_fill(~boundary_band(prediction, void, radius), outside)
        counts = count_pairs(truth, predicted, outside + 1, outside + 1)
        hits = counts.diagonal()
        self.intersection += hits[:outside]
        self.union += (counts.sum(0) + counts.sum(1) - hits)[:outside]

    def compute(self) -> float:
        """Return the mean over the classes with a band; nan when there is none."""
        return float((self.intersection.double() / self.union)[: self.num_classes].nanmean())


def boundary_band(label: Tensor, void: Tensor, radius: int) -> Tensor:
    """Mark the pixels within `radius` of a pixel of another class.

    A pixel is marked when the largest and the smallest class id in the square window around it
    differ; that needs no loop over classes.

    Args:
        label: class ids (B, H, W), uint8, 0..254 where not void.
        void: pixels without a class (B, H, W), bool.
        radius: half the window's side, in pixels: the window has `2 * radius + 1`.

    Returns:
        Bool map (B, H, W), False on void pixels.
    """
    # Both extremes as maxima, with 0 for "no class": the largest id + 1, and 255 - the smallest.
    stack = torch.stack((label + 1, 255 - label)).masked_fill_(void, 0)
    largest, smallest = _window_max(_window_max(stack, radius, -2), radius, -1)
    # Modulo 256 the sum is largest id - smallest id.
    return ((largest + smallest) != 0).logical_and_(~void)


def _window_max(maps: Tensor, radius: int, dim: int) -> Tensor:
    """Maximum over a centred window of `2 * radius + 1` along one dimension.

    Windows double in length with every step: log2(window) comparisons per pixel.
    """
    pad = (radius, radius) if dim == -1 else (0, 0, radius, radius)
    maps = F.pad(maps, pad)
    length, window = 1, 2 * radius + 1
    while length < window:
        step = min(length, window - length)
        remaining = maps.shape[dim] - step
        maps = torch.maximum(maps.narrow(dim, 0, remaining), maps.narrow(dim, step, remaining))
        length += step
    return maps
