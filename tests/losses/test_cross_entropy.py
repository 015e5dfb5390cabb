from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from segscape.errors import UserError
from segscape.losses.cross_entropy import CrossEntropy


def case() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 4, 6, 5, generator=generator) * 3
    label = torch.randint(0, 4, (2, 6, 5), generator=generator)
    label[:, :2] = 255
    return logits, label


def by_hand(logits: torch.Tensor, label: torch.Tensor, weights: list[float]) -> float:
    """The weighted mean, pixel by pixel."""
    scores = logits.double().numpy()
    total, weight = 0.0, 0.0
    for b, y, x in np.ndindex(*label.shape):
        c = int(label[b, y, x])
        if c == 255:
            continue
        row = scores[b, :, y, x]
        total += weights[c] * (np.log(np.exp(row).sum()) - row[c])
        weight += weights[c]
    return total / weight


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0, 1.0]])
def test_equals_a_loop_over_pixels(weights: list[float] | None) -> None:
    logits, label = case()
    loss = CrossEntropy(class_weights=weights)(logits, label)
    assert loss.item() == pytest.approx(by_hand(logits, label, weights or [1.0] * 4), rel=1e-5)


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.1, 1.0]])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_equals_torch(weights: list[float] | None, smoothing: float) -> None:
    logits, label = case()
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = CrossEntropy(class_weights=weights, label_smoothing=smoothing)(ours, label)
    expected = nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights),
        ignore_index=255,
        label_smoothing=smoothing,
    )(theirs, label)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(
    "criterion",
    [CrossEntropy(), CrossEntropy(class_weights=[1, 2, 3, 4]), CrossEntropy(label_smoothing=0.1)],
)
def test_a_batch_without_labels_gives_zero(criterion: CrossEntropy) -> None:
    logits, label = case()
    logits.requires_grad_()
    loss = criterion(logits, torch.full_like(label, 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and float(logits.grad.abs().max()) == 0.0


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.1, 1.0]])
def test_float64_stays_float64(weights: list[float] | None) -> None:
    logits, label = case()
    loss = CrossEntropy(class_weights=weights)(logits.double(), label)
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(by_hand(logits, label, weights or [1.0] * 4), rel=1e-7)


def test_another_ignore_index() -> None:
    logits, label = case()
    moved = torch.where(label == 255, -1, label)
    torch.testing.assert_close(
        CrossEntropy(ignore_index=-1)(logits, moved), CrossEntropy()(logits, label)
    )


def test_weights_are_no_part_of_the_state() -> None:
    assert CrossEntropy(class_weights=[1.0, 2.0]).state_dict() == {}


def test_too_few_weights_are_reported_with_both_numbers() -> None:
    logits, label = case()
    with pytest.raises(UserError, match=r"class_weights has 3 numbers.*4 classes"):
        CrossEntropy(class_weights=[1, 1, 1])(logits, label)


@pytest.mark.parametrize("arguments", [{"class_weights": [1.0, -1.0]}, {"label_smoothing": 1.5}])
def test_settings_out_of_range(arguments: dict) -> None:
    with pytest.raises(UserError, match=next(iter(arguments))):
        CrossEntropy(**arguments)
