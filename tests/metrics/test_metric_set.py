"""Metrics of the user beside the standard ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassF1Score

from segscape.errors import UserError
from segscape.metrics.boundary import BoundaryIoU
from segscape.metrics.confusion import ConfusionMatrix
from segscape.metrics.metric_set import MetricSet

LABEL = torch.tensor([[[0, 0, 1, 1], [2, 2, 255, 1]], [[0, 1, 2, 0], [1, 1, 1, 1]]])
PREDICTION = torch.tensor([[[0, 1, 1, 1], [2, 0, 2, 1]], [[2, 2, 2, 2], [2, 2, 2, 2]]])
CLASSES = ("sky", "road", "tree")


class Counted(Metric):
    """Pixels seen, under two keys."""

    seen: Tensor

    def __init__(self, answer: Any = None) -> None:
        super().__init__()
        self.answer = answer
        self.add_state("seen", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor) -> None:
        self.seen += label.numel()

    def compute(self) -> Any:
        return {"pixels": self.seen, "twice": 2 * self.seen} if self.answer is None else self.answer


def test_every_kind_of_value_has_its_keys() -> None:
    f1 = MulticlassF1Score(3, average="none", ignore_index=255)
    metrics = MetricSet({"confusion": ConfusionMatrix(3), "counted": Counted(), "f1": f1}, CLASSES)
    assert "f1" not in metrics.state_dict()
    for valid in ([True, False], [False, False]):
        metrics.add(PREDICTION, LABEL, torch.tensor(valid))
    scores = metrics.scores("test")
    # Only the first image is scored: sky 1 of 3, road 3 of 4, tree 1 of 2.
    assert scores["test/iou/sky"] == pytest.approx(1 / 3)
    assert scores["test/iou/road"] == pytest.approx(3 / 4)
    assert scores["test/iou/tree"] == pytest.approx(1 / 2)
    assert scores["test/counted/pixels"] == 8 and scores["test/counted/twice"] == 16
    for name, iou in (("sky", 1 / 3), ("road", 3 / 4), ("tree", 1 / 2)):
        assert scores[f"test/f1/{name}"] == pytest.approx(2 * iou / (1 + iou))
    metrics.reset()
    metrics.add(PREDICTION, LABEL, torch.tensor([False, True]))
    assert metrics.scores("val")["val/counted/pixels"] == 8


def test_double_precision_stays() -> None:
    exact = 1 / 3
    assert MetricSet({"mine": Counted(exact)}, CLASSES).scores("val") == {"val/mine": exact}


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"confusion": ConfusionMatrix(3), "miou": Counted(0.5)}, "val/miou"),
        ({"loss": Counted(0.5)}, "val/loss"),
        ({"mine": Counted(torch.zeros(2))}, "shape"),
        # Its labels go up to 1, those of the data to 2.
        ({"f1": MulticlassF1Score(2, ignore_index=255)}, "metrics.f1 cannot score"),
    ],
)
def test_what_cannot_be_recorded_is_found_before_the_training(
    metrics: dict[str, Metric], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        MetricSet(metrics, CLASSES)


def test_outputs_that_are_no_class_are_misses() -> None:
    label = torch.tensor([[[0, 0, 1, 1, 255]]])
    prediction = torch.tensor([[[0, 2, 1, 1, 2]]])
    confusion = ConfusionMatrix(2, extra_outputs=1)
    confusion.update(prediction, label)
    scores = confusion.compute()
    assert scores.iou == [1 / 2, 1.0] and scores.miou == 3 / 4 and scores.pixel_accuracy == 3 / 4
    whole, cut = BoundaryIoU(2), BoundaryIoU(2, extra_outputs=1)
    whole.update(label.clamp(max=1), label)
    cut.update(label.clamp(max=1), label)
    assert whole.compute() == cut.compute() == 1.0
