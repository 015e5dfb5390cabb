"""Scores against cases worked out by hand and an independent numpy computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segscape.errors import UserError
from segscape.metrics.confusion import ConfusionMatrix, Scores


def scores(prediction: list, label: list, classes: int = 3, void: str = "ignore") -> Scores:
    metric = ConfusionMatrix(classes, void=void)
    metric.update(torch.tensor([prediction]), torch.tensor([label], dtype=torch.uint8))
    return metric.compute()


# label 0 0 1 1 void; class 2 does not occur in the labels.
LABEL = [[0, 0, 0, 1, 1, 255]]


def test_by_hand_with_void_ignored() -> None:
    found = scores([[0, 0, 1, 1, 1, 2]], LABEL)
    assert found.iou[:2] == [2 / 3, 2 / 3]
    assert math.isnan(found.iou[2])  # predicted on void only: does not occur
    assert found.miou == pytest.approx(2 / 3)
    assert found.pixel_accuracy == pytest.approx(4 / 5)
    assert found.class_accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_by_hand_with_void_as_false_positive() -> None:
    found = scores([[0, 0, 1, 1, 1, 0]], LABEL, void="as_false_positive")
    assert found.iou[:2] == [2 / 4, 2 / 3]  # the union of class 0 has the void pixel
    assert math.isnan(found.iou[2])
    assert found.pixel_accuracy == pytest.approx(4 / 5)
    absent = scores([[0, 0, 1, 1, 1, 2]], LABEL, void="as_false_positive")
    assert absent.iou[2] == 0.0  # now its union is the void pixel
    assert absent.miou == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_a_class_that_is_only_predicted_occurs() -> None:
    found = scores([[0, 0, 2, 1, 1, 0]], LABEL)
    assert found.iou == [2 / 3, 1.0, 0.0]
    assert found.class_accuracy == pytest.approx((2 / 3 + 1) / 2)  # recall: not in the labels


def test_nothing_to_score_is_nan() -> None:
    found = scores([[0, 1]], [[255, 255]])
    figures = [found.miou, *found.iou, found.pixel_accuracy, found.class_accuracy]
    assert all(math.isnan(figure) for figure in figures)


@pytest.mark.parametrize("void", ["ignore", "as_false_positive"])
@pytest.mark.parametrize("dtypes", [(torch.int64, torch.uint8), (torch.uint8, torch.int64)])
def test_equals_sets_of_pixels_in_numpy(void: str, dtypes: tuple) -> None:
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 2, 3, 4, 255], size=(5, 17, 13))
    prediction = np.where(rng.random(label.shape) < 0.6, label, rng.integers(0, 7, label.shape))
    prediction[prediction == 255] = 6
    metric = ConfusionMatrix(8, void=void)
    for part in (slice(0, 2), slice(2, 5)):
        metric.update(
            torch.from_numpy(prediction[part]).to(dtypes[0]),
            torch.from_numpy(label[part]).to(dtypes[1]),
        )
    found = metric.compute()
    labelled = label != 255
    scored = labelled if void == "ignore" else np.ones_like(labelled)
    iou, recall = [], []
    for c in range(8):
        truth, predicted = label == c, (prediction == c) & scored
        union = (truth | predicted).sum()
        iou.append((truth & predicted).sum() / union if union else math.nan)
        if truth.any():
            recall.append((prediction[truth] == c).mean())
    np.testing.assert_allclose(found.iou, iou, rtol=1e-12)
    assert found.miou == pytest.approx(np.nanmean(iou), rel=1e-12)
    assert found.pixel_accuracy == pytest.approx((prediction == label)[labelled].mean())
    assert found.class_accuracy == pytest.approx(np.mean(recall))


def test_images_that_are_not_valid_do_not_count() -> None:
    prediction = torch.tensor([[[0, 1]], [[1, 0]]])
    label = torch.tensor([[[0, 1]], [[0, 1]]])
    metric = ConfusionMatrix(2)
    metric.update(prediction, label, torch.tensor([True, False]))
    assert metric.compute().miou == 1.0
    metric.update(prediction, label, torch.tensor([False, False]))
    assert metric.compute().pixel_accuracy == 1.0


def test_counts_are_exact_beyond_float32() -> None:
    metric = ConfusionMatrix(2)
    metric.update(torch.zeros(1, 1, 3, dtype=torch.int64), torch.tensor([[[0, 0, 1]]]))
    assert metric.matrix.dtype == torch.int64
    metric.matrix *= 2**40
    metric.update(torch.ones(1, 1, 1, dtype=torch.int64), torch.zeros(1, 1, 1, dtype=torch.int64))
    assert metric.matrix[:2].tolist() == [[2**41, 1], [2**40, 0]]


def test_keys_of_records() -> None:
    found = scores([[0, 0, 1, 1, 1, 2]], LABEL)
    keys = found.as_keys("val", ["sky", "road", "car"])
    assert list(keys) == [
        "val/miou",
        "val/iou/sky",
        "val/iou/road",
        "val/iou/car",
        "val/pixel_accuracy",
        "val/class_accuracy",
    ]
    assert keys["val/iou/road"] == 2 / 3
    with pytest.raises(ValueError, match="2 class names for 3 classes"):
        found.as_keys("val", ["sky", "road"])


def test_ids_that_mean_nothing_are_named() -> None:
    with pytest.raises(ValueError, match=r"labels \[3, 40\] are neither a class"):
        scores([[0, 0, 0, 0]], [[3, 40, 0, 255]])
    with pytest.raises(ValueError, match=r"prediction go from 0 to 3"):
        scores([[0, 3]], [[0, 0]])
    metric = ConfusionMatrix(3)
    with pytest.raises(ValueError, match=r"label go from -1 to 0"):
        metric.update(torch.zeros(1, 1, 2, dtype=torch.int64), torch.tensor([[[-1, 0]]]))
    with pytest.raises(ValueError, match="differ in shape"):
        metric.update(torch.zeros(1, 1, 2, dtype=torch.int64), torch.tensor([[[0]]]))


def test_an_unknown_void_mode_names_the_nearest() -> None:
    with pytest.raises(UserError, match=r"(?s)void=ignored.*did you mean metrics.void=ignore"):
        ConfusionMatrix(3, void="ignored")
