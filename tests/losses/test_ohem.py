"""OHEM against a plain computation that ranks all pixels, in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segscape.errors import UserError
from segscape.losses.ohem import OHEM


def case(scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 5, 12, 10, generator=generator) * scale
    label = torch.randint(0, 5, (2, 12, 10), generator=generator)
    easy = torch.rand(2, 12, 10, generator=generator) < 0.5
    label = torch.where(easy, logits.argmax(1), label)
    label.view(-1)[torch.randperm(240, generator=generator)[:49]] = 255
    return logits, label


def reference(
    logits: torch.Tensor, label: torch.Tensor, threshold: float, min_kept: int
) -> tuple[float, np.ndarray, str]:
    """The loss, its gradient, and what decided which pixels are kept."""
    scores = np.moveaxis(logits.double().numpy(), 1, -1).reshape(-1, logits.shape[1])
    truth = label.numpy().ravel()
    scores = scores - scores.max(1, keepdims=True)
    p_all = np.exp(scores)
    p_all /= p_all.sum(1, keepdims=True)
    valid = truth != 255
    rows = np.arange(len(truth))
    classes = np.where(valid, truth, 0)
    p = np.where(valid, p_all[rows, classes], 2.0)
    log_p = scores[rows, classes] - np.log(np.exp(scores).sum(1))
    kept, why = valid, "all"
    if 0 < min_kept < valid.sum():
        ranked = np.sort(p)[min_kept - 1]
        why = "rank" if ranked > threshold else "threshold"
        kept = valid & (p < max(threshold, ranked))
    loss = np.where(kept, -log_p, 0.0).mean() / (kept.mean() + 1e-5)
    gradient = p_all.copy()
    gradient[rows, classes] -= 1
    gradient *= (kept / (kept.mean() + 1e-5) / len(truth))[:, None]
    shape = (logits.shape[0], *logits.shape[2:], logits.shape[1])
    return float(loss), np.moveaxis(gradient.reshape(shape), -1, 1), why


@pytest.mark.parametrize(
    ("threshold", "min_kept", "decides"),
    [
        (0.7, 5, "threshold"),
        (0.7, 1, "threshold"),
        (0.05, 60, "rank"),
        (0.7, 180, "rank"),
        (0.7, 10_000, "all"),  # more than there are pixels
        (0.7, 192, "all"),  # more than are labelled
        (0.7, 0, "all"),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_equals_a_ranking_of_all_pixels(
    threshold: float, min_kept: int, decides: str, memory_format: torch.memory_format
) -> None:
    logits, label = case()  # 191 labelled pixels
    expected, gradient, why = reference(logits, label, threshold, min_kept)
    assert why == decides
    logits = logits.clone(memory_format=memory_format).requires_grad_()
    loss = OHEM(threshold=threshold, min_kept=min_kept)(logits, label)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    np.testing.assert_allclose(logits.grad.numpy(), gradient, rtol=1e-4, atol=1e-8)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("threshold", "min_kept"), [(0.7, 5), (0.05, 60), (0.7, 10_000), (0.7, 0)])
def test_the_gpu_keeps_the_same_pixels(threshold: float, min_kept: int) -> None:
    logits, label = case()
    criterion = OHEM(threshold=threshold, min_kept=min_kept)
    on_gpu = criterion(logits.cuda(), label.cuda()).cpu()
    torch.testing.assert_close(on_gpu, criterion(logits, label))


def test_the_selection_without_branches_keeps_the_same_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The way of GPUs and compiled programs, here on the CPU."""
    logits, label = case()
    for threshold, min_kept in [(0.7, 5), (0.05, 60), (0.7, 180), (0.7, 192), (0.7, 10_000)]:
        criterion = OHEM(threshold=threshold, min_kept=min_kept)
        expected = criterion(logits, label)
        with monkeypatch.context() as patch:
            patch.setattr(torch.compiler, "is_compiling", lambda: True)
            torch.testing.assert_close(criterion(logits, label), expected)


def test_as_many_labelled_pixels_as_must_be_kept_are_all_kept() -> None:
    logits, label = case()
    expected = OHEM(min_kept=0)(logits, label)
    torch.testing.assert_close(OHEM(min_kept=191)(logits, label), expected)
    assert float(OHEM(min_kept=190)(logits, label)) != float(expected)


def test_a_fraction_is_of_all_pixels_of_the_batch() -> None:
    logits, label = case()
    torch.testing.assert_close(
        OHEM(threshold=0.05, min_kept=0.25)(logits, label),
        OHEM(threshold=0.05, min_kept=60)(logits, label),
    )
    assert OHEM().rank(4 * 1024 * 512) == 131072  # PP-LiteSeg on Cityscapes, per GPU


@pytest.mark.parametrize("min_kept", [1 / 16, 0, 1000])
def test_a_batch_without_labels_gives_zero(min_kept: float) -> None:
    logits, label = case()
    logits.requires_grad_()
    loss = OHEM(min_kept=min_kept)(logits, torch.full_like(label, 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and float(logits.grad.abs().max()) == 0.0


def test_pixels_that_are_certain_leave_finite_figures() -> None:
    logits, label = case(scale=500.0)
    logits.requires_grad_()
    loss = OHEM()(logits, label)
    loss.backward()
    assert logits.grad is not None
    assert torch.isfinite(loss) and torch.isfinite(logits.grad).all()
    assert loss.item() == pytest.approx(reference(logits.detach(), label, 0.7, 15)[0], rel=1e-4)


@pytest.mark.parametrize("arguments", [{"threshold": 0.0}, {"threshold": 1.2}, {"min_kept": -1}])
def test_settings_out_of_range(arguments: dict) -> None:
    with pytest.raises(UserError, match=next(iter(arguments))):
        OHEM(**arguments)
