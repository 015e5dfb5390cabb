"""Boundary IoU against the definition, pixel by pixel and class by class."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segscape.errors import UserError
from segscape.metrics.boundary import BoundaryIoU

CLASSES = 4


def brute_band(region: np.ndarray, elsewhere: np.ndarray, radius: int) -> np.ndarray:
    """The pixels of a region with a pixel of another region in the window around them."""
    band = np.zeros_like(region)
    for y, x in zip(*np.nonzero(region), strict=True):
        window = (
            slice(max(0, y - radius), y + radius + 1),
            slice(max(0, x - radius), x + radius + 1),
        )
        band[y, x] = elsewhere[window].any()
    return band


def brute(predictions: np.ndarray, labels: np.ndarray, radius: int) -> float:
    ious = []
    for c in range(CLASSES):
        hits = union = 0
        for prediction, label in zip(predictions, labels, strict=True):
            known = label != 255
            truth = brute_band(label == c, (label != c) & known, radius)
            predicted = brute_band((prediction == c) & known, (prediction != c) & known, radius)
            hits += int((truth & predicted).sum())
            union += int((truth | predicted).sum())
        if union:
            ious.append(hits / union)
    return float(np.mean(ious)) if ious else math.nan


def blobs(rng: np.random.Generator, shape: tuple[int, ...], cell: int) -> np.ndarray:
    coarse = rng.integers(0, CLASSES, (shape[0], shape[1] // cell + 1, shape[2] // cell + 1))
    return coarse.repeat(cell, 1).repeat(cell, 2)[:, : shape[1], : shape[2]].astype(np.uint8)


@pytest.mark.parametrize(("width", "radius"), [(0.02, 1), (0.06, 3), (0.2, 10), (0.9, 45)])
def test_equals_the_definition(width: float, radius: int) -> None:
    rng = np.random.default_rng(0)
    shape = (3, 30, 40)  # diagonal 50
    label = blobs(rng, shape, 7)
    prediction = np.roll(label, (1, 2), (1, 2))
    prediction[0] = blobs(rng, (1, 30, 40), 5)[0]
    label[:, 10:14, 5:30] = 255
    label[1, :6] = 255
    metric = BoundaryIoU(CLASSES, width=width)
    for part in (slice(0, 1), slice(1, 3)):
        metric.update(torch.from_numpy(prediction[part]).long(), torch.from_numpy(label[part]))
    expected = brute(prediction, label, radius)
    assert 0.02 < expected < 0.98
    assert metric.compute() == pytest.approx(expected, rel=1e-12)


def test_right_on_every_labelled_pixel_is_one() -> None:
    label = torch.from_numpy(blobs(np.random.default_rng(1), (2, 30, 40), 6))
    prediction = label.clone()
    label[:, 4:9] = 255
    prediction[:, 4:9] = 3
    metric = BoundaryIoU(CLASSES)
    metric.update(prediction, label)
    assert metric.compute() == 1.0


def test_neither_the_image_border_nor_void_is_a_boundary() -> None:
    label = torch.zeros(1, 20, 20, dtype=torch.uint8)
    label[:, 8:12] = 255
    metric = BoundaryIoU(CLASSES, width=0.1)
    metric.update(torch.zeros(1, 20, 20, dtype=torch.int64), label)
    assert metric.union.tolist() == [0] * CLASSES
    assert math.isnan(metric.compute())


def test_large_class_ids_do_not_overflow() -> None:
    label = torch.full((1, 10, 10), 253, dtype=torch.uint8)
    label[:, :, :5] = 0
    metric = BoundaryIoU(254)
    metric.update(label.long(), label)
    assert metric.compute() == 1.0
    assert metric.union[[0, 253]].tolist() == [10, 10]


def test_images_that_are_not_valid_do_not_count() -> None:
    label = torch.from_numpy(blobs(np.random.default_rng(2), (2, 30, 40), 6))
    prediction = label.clone()
    prediction[1] = 0
    metric = BoundaryIoU(CLASSES)
    metric.update(prediction, label, torch.tensor([True, False]))
    assert metric.compute() == 1.0


def test_a_width_that_is_no_fraction() -> None:
    with pytest.raises(UserError, match="share of the image diagonal"):
        BoundaryIoU(CLASSES, width=12)
