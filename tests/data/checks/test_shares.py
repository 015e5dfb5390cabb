"""Shares of the classes, counted over every sample or over an even choice of them."""

from __future__ import annotations

import numpy as np

from segscape.data.base import Sample
from segscape.data.checks.shares import class_shares


class Labels:
    classes = ("a", "b")
    palette = ((0, 0, 0), (1, 1, 1))
    ignore_index = 255

    def __init__(self, labels: list[list[int]]) -> None:
        self.labels = labels
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Sample:
        self.asked.append(index)
        label = np.array([self.labels[index]], np.uint8)
        return Sample(np.zeros((*label.shape, 3), np.uint8), label)

    def name(self, index: int) -> str:
        return str(index)


def test_void_does_not_count() -> None:
    assert class_shares(Labels([[0, 0, 255], [1, 0, 255]])) == [0.75, 0.25]
    assert class_shares(Labels([[255, 255]])) == [0.0, 0.0]


def test_a_limit_spreads_over_the_split() -> None:
    labels = Labels([[0]] * 10)
    class_shares(labels, limit=3)
    assert labels.asked == [0, 3, 6]
