"""The Lovász-softmax against the definition of the Lovász extension, on few pixels."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch

from segscape.errors import UserError
from segscape.losses.cross_entropy import CrossEntropy
from segscape.losses.lovasz import CrossEntropyLovasz, LovaszSoftmax

CLASSES = 3


def case() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight pixels in two images; class 2 does not occur, one pixel is ignored."""
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(2, CLASSES, 2, 2, generator=generator) * 2
    return logits, torch.tensor([[[0, 1], [1, 255]], [[0, 0], [1, 0]]])


def jaccard(wrong: set[int], inside: set[int]) -> float:
    """The Jaccard loss when the pixels `wrong` are predicted wrongly."""
    union = wrong | inside
    return len(wrong) / len(union) if union else 0.0


def pixels(logits: torch.Tensor, label: torch.Tensor, number: int) -> tuple[np.ndarray, set[int]]:
    """Errors of the labelled pixels for a class, and which of them are of the class."""
    p = np.moveaxis(logits.double().softmax(1).numpy(), 1, -1).reshape(-1, CLASSES)
    truth = label.numpy().ravel()
    p, truth = p[truth != 255], truth[truth != 255]
    inside = truth == number
    return np.abs(inside - p[:, number]), set(np.flatnonzero(inside).tolist())


def by_integral(errors: np.ndarray, inside: set[int]) -> float:
    """The integral over t of the loss of the set of pixels with an error above t."""
    total, levels = 0.0, [0.0, *sorted(errors)]
    for low, high in pairwise(levels):
        wrong = set(np.flatnonzero(errors >= high).tolist())
        total += (high - low) * jaccard(wrong, inside)
    return total


def by_permutations(errors: np.ndarray, inside: set[int]) -> float:
    """The largest weighted sum of increments over all orders: the closure of a submodular set
    function is the maximum over the vertices of its base polytope."""

    def value(order: tuple[int, ...]) -> float:
        losses = [jaccard(set(order[:i]), inside) for i in range(len(order) + 1)]
        return sum(errors[p] * (b - a) for p, (a, b) in zip(order, pairwise(losses), strict=True))

    return max(value(order) for order in permutations(range(len(errors))))


@pytest.mark.parametrize("extension", [by_integral, by_permutations])
@pytest.mark.parametrize(("classes", "counted"), [("present", [0, 1]), ("all", [0, 1, 2])])
def test_equals_the_lovasz_extension(extension: object, classes: str, counted: list[int]) -> None:
    logits, label = case()
    expected = np.mean([extension(*pixels(logits, label, number)) for number in counted])  # type: ignore[operator]
    loss = LovaszSoftmax(classes=classes)(logits, label)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_per_image_is_the_mean_of_the_images() -> None:
    logits, label = case()
    criterion = LovaszSoftmax()
    apart = [criterion(logits[i : i + 1], label[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(
        LovaszSoftmax(per_image=True)(logits, label), torch.stack(apart).mean()
    )
    assert float(LovaszSoftmax(per_image=True)(logits, label)) != float(criterion(logits, label))


def test_of_certain_predictions_it_is_one_minus_the_mean_iou() -> None:
    generator = torch.Generator().manual_seed(1)
    label = torch.randint(0, CLASSES, (2, 9, 7), generator=generator)
    wrong = torch.rand(2, 9, 7, generator=generator) < 0.3
    guess = torch.where(wrong, (label + 1) % CLASSES, label)
    label[0, :2] = 255
    logits = torch.nn.functional.one_hot(guess, CLASSES).movedim(-1, 1) * 200.0
    valid = label != 255
    ious = []
    for number in range(CLASSES):
        a, b = (guess == number) & valid, label == number
        ious.append(float((a & b).sum() / (a | b).sum()))
    assert LovaszSoftmax()(logits, label).item() == pytest.approx(1 - np.mean(ious), abs=1e-6)


def test_the_gradient_is_that_of_the_differences() -> None:
    logits, label = case()
    numeric = torch.zeros_like(logits, dtype=torch.float64)
    criterion = LovaszSoftmax()
    for index in np.ndindex(*logits.shape):
        for sign in (1, -1):
            moved = logits.double()
            moved[index] += sign * 1e-6
            numeric[index] += sign * criterion(moved, label) / 2e-6
    exact = logits.double().requires_grad_()
    criterion(exact, label).backward()
    torch.testing.assert_close(exact.grad, numeric, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("criterion", [LovaszSoftmax(), LovaszSoftmax(classes="all")])
def test_a_batch_without_labels_gives_zero(criterion: LovaszSoftmax) -> None:
    logits, label = case()
    logits.requires_grad_()
    loss = criterion(logits, torch.full_like(label, 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and float(logits.grad.abs().max()) == 0.0


def test_alignseg_adds_it_to_the_cross_entropy() -> None:
    logits, label = case()
    expected = CrossEntropy()(logits, label) + 0.8 * LovaszSoftmax()(logits, label)
    torch.testing.assert_close(CrossEntropyLovasz()(logits, label), expected)


def test_half_precision_is_computed_in_float32() -> None:
    logits, label = case()
    half = logits.half()
    torch.testing.assert_close(
        LovaszSoftmax()(half, label), LovaszSoftmax()(half.float(), label), rtol=0, atol=0
    )


def test_settings_out_of_range() -> None:
    with pytest.raises(UserError, match="classes=some"):
        LovaszSoftmax(classes="some")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="lovasz_weight"):
        CrossEntropyLovasz(lovasz_weight=-1)
