"""The meanings of OHEM against plain computations, each after the code base that defines it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from segscape.errors import UserError
from segscape.losses.ohem import OHEM
from segscape.losses.ohem_top_k import OHEMTopK

THRESHOLD = 0.7
PIXELS = 2 * 12 * 10
LABELLED = 191


def case(hard: float = 0.5) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels; `hard` is about the share of pixels whose label is drawn."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 5, 12, 10, generator=generator) * 6
    label = torch.randint(0, 5, (2, 12, 10), generator=generator)
    easy = torch.rand(2, 12, 10, generator=generator) >= hard
    label = torch.where(easy, logits.argmax(1), label)
    label.view(-1)[torch.randperm(PIXELS, generator=generator)[: PIXELS - LABELLED]] = 255
    return logits, label


def pixel_losses(logits: torch.Tensor, label: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Cross-entropy of every pixel, 0 where ignored, and where there is a label."""
    scores = np.moveaxis(logits.double().numpy(), 1, -1).reshape(-1, logits.shape[1])
    truth = label.numpy().ravel()
    valid = truth != 255
    log_sum = np.log(np.exp(scores - scores.max(1, keepdims=True)).sum(1)) + scores.max(1)
    losses = log_sum - scores[np.arange(len(truth)), np.where(valid, truth, 0)]
    return np.where(valid, losses, 0.0), valid


def stdc(losses: np.ndarray, valid: np.ndarray, n_min: int) -> float:
    """All losses of the batch sorted, ignored ones with 0; a fixed minimum."""
    ranked = np.sort(losses)[::-1]
    limit = -np.log(THRESHOLD)
    kept = ranked[ranked > limit] if ranked[n_min] > limit else ranked[:n_min]
    return float(kept.mean())


def coincheung(losses: np.ndarray, valid: np.ndarray, part: int) -> float:
    """The minimum is a part of the labelled pixels."""
    hard = losses[losses > -np.log(THRESHOLD)]
    n_min = int(valid.sum()) // part
    return float(np.sort(losses)[::-1][:n_min].mean() if len(hard) < n_min else hard.mean())


def per_image(losses: np.ndarray, valid: np.ndarray, min_kept: int) -> float:
    """Probabilities of the labelled pixels; the minimum times the images; mean over all."""
    p = np.exp(-losses)
    ranked = np.sort(p[valid])
    limit = max(ranked[min(2 * min_kept, len(ranked) - 1)], THRESHOLD)
    return float(losses[valid & (p < limit)].sum() / losses.size)


def torchseg(losses: np.ndarray, valid: np.ndarray, min_kept: int) -> float:
    """Probabilities with 1 where ignored; those up to that of a rank; mean over the kept."""
    p = np.where(valid, np.exp(-losses), 1.0)
    if min_kept > valid.sum():
        return float(losses[valid].mean())
    limit = max(np.sort(p)[min_kept - 1], THRESHOLD)
    return float(losses[valid & (p <= limit)].mean())


CASES: list[tuple[Callable[..., float], dict, float, int]] = [
    (stdc, {"keep_ignored": True}, 15, 15),
    (stdc, {"keep_ignored": True}, 150, 150),
    (stdc, {"keep_ignored": True}, 210, 210),  # more than are labelled
    (stdc, {"keep_ignored": True}, 0.0625, 15),
    (coincheung, {"min_kept_of": "labelled"}, 1 / 16, 16),
    (coincheung, {"min_kept_of": "labelled"}, 0.5, 2),
    (per_image, {"min_kept_of": "image", "divide_by": "all"}, 10, 10),
    (per_image, {"min_kept_of": "image", "divide_by": "all"}, 70, 70),
    (torchseg, {}, 15, 15),
    (torchseg, {}, 150, 150),
    (torchseg, {}, 200, 200),
]


@pytest.mark.parametrize(("rule", "choices", "min_kept", "given"), CASES)
@pytest.mark.parametrize("hard", [0.15, 0.6])  # the rank decides, the threshold decides
@pytest.mark.parametrize("branching", [True, False])
def test_equals_the_rule_of_each_code_base(
    rule: Callable[..., float],
    choices: dict,
    min_kept: float,
    given: int,
    hard: float,
    branching: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, label = case(hard=hard)
    expected = rule(*pixel_losses(logits, label), given)
    criterion = OHEMTopK(min_kept=min_kept, **choices)
    with monkeypatch.context() as patch:
        # the way of GPUs and compiled programs, here on the CPU
        patch.setattr(torch.compiler, "is_compiling", lambda: not branching)
        assert criterion(logits, label).item() == pytest.approx(expected, rel=1e-5)


def test_both_the_rank_and_the_threshold_have_decided() -> None:
    """The cases above reach both branches of every rule."""
    few, many = (np.exp(-pixel_losses(*case(hard=hard))[0]) < THRESHOLD for hard in (0.15, 0.6))
    assert 16 < few.sum() < 95 < many.sum() < 140


def test_the_gradient_is_that_of_the_kept_pixels() -> None:
    logits, label = case(hard=0.15)
    losses, valid = pixel_losses(logits, label)
    kept = valid & (losses >= np.sort(losses)[::-1][79])
    p = np.moveaxis(logits.double().softmax(1).numpy(), 1, -1).reshape(-1, 5)
    p[np.arange(PIXELS), np.where(valid, label.numpy().ravel(), 0)] -= 1
    expected = np.moveaxis((p * kept[:, None] / 80).reshape(2, 12, 10, 5), -1, 1)
    logits.requires_grad_()
    OHEMTopK(min_kept=80)(logits, label).backward()
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-4, atol=1e-8)


def test_pixels_that_tie_share_the_last_places() -> None:
    logits = torch.zeros(1, 2, 2, 3)
    logits[0, 0] = torch.tensor([[3.0, 3.0, 3.0], [3.0, 0.0, 4.0]])
    label = torch.zeros(1, 2, 3, dtype=torch.long)
    p = logits.softmax(1)[:, 0]
    weight = OHEMTopK(min_kept=3).weigh(p, label == 0)
    expected = torch.tensor([[[0.5, 0.5, 0.5], [0.5, 1.0, 0.0]]]) / 3
    torch.testing.assert_close(weight, expected)


def test_a_stride_reads_every_eighth_pixel() -> None:
    logits, label = case()
    apart = OHEMTopK(min_kept=0.25)(logits[..., ::8, ::8].contiguous(), label[..., ::8, ::8])
    torch.testing.assert_close(OHEMTopK(min_kept=0.25, stride=8)(logits, label), apart)


def test_paddlesegs_is_one_pixel_apart() -> None:
    logits, label = case(hard=0.15)
    losses, _ = pixel_losses(logits, label)
    ranked = np.sort(losses)[::-1]
    ours = OHEMTopK(min_kept=79)(logits, label).item()
    assert ours == pytest.approx(ranked[:79].mean(), rel=1e-5)
    paddleseg = OHEM(min_kept=80)(logits, label).item()
    assert paddleseg == pytest.approx(ours / (1 + 1e-5 * PIXELS / 79), rel=1e-5)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"keep_ignored": True},
        {"min_kept_of": "labelled"},
        {"min_kept_of": "image", "divide_by": "all"},
        {"min_kept": 0},
    ],
)
@pytest.mark.parametrize("compiling", [True, False])
def test_a_batch_without_labels_gives_zero(
    choices: dict, compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, label = case()
    logits.requires_grad_()
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: compiling)
        loss = OHEMTopK(**choices)(logits, torch.full_like(label, 255))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None and float(logits.grad.abs().max()) == 0.0


@pytest.mark.parametrize(
    ("option", "pixels", "labelled", "kept"),
    [
        ("ohem_stdc", (16, 512, 1024), None, 524288),  # per GPU of the original
        ("ohem_coincheung", (1, 8, 10), 64, 4),
        ("ohem_per_image", (4, 512, 1024), None, 40000),
        ("ohem_torchseg", (4, 96, 192), None, 4608),  # of 768 x 1536 at stride 8
    ],
)
def test_the_yaml_choices_mean_what_they_are_named_after(
    option: str, pixels: tuple[int, ...], labelled: int | None, kept: int
) -> None:
    path = Path(__file__).parents[2] / "conf" / "loss" / f"{option}.yaml"
    criterion = instantiate(OmegaConf.load(path))
    assert isinstance(criterion, OHEMTopK)
    p = torch.full(pixels, 0.99)
    valid = torch.zeros(pixels, dtype=torch.bool)
    valid.view(-1)[: labelled or valid.numel()] = True
    weight = criterion.weigh(p, valid)
    divisor = p.numel() if criterion.divide_by == "all" else kept
    assert (weight.double().sum() * divisor).item() == pytest.approx(kept, rel=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("rule", "choices", "min_kept", "given"), CASES)
def test_the_gpu_keeps_the_same_pixels(
    rule: Callable[..., float], choices: dict, min_kept: float, given: int
) -> None:
    logits, label = case(hard=0.15)
    criterion = OHEMTopK(min_kept=min_kept, **choices)
    on_gpu = criterion(logits.cuda(), label.cuda()).cpu()
    torch.testing.assert_close(on_gpu, criterion(logits, label))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0.0}, "threshold"),
        ({"min_kept": -1}, "min_kept"),
        ({"stride": 0}, "stride"),
        ({"min_kept_of": "labeled"}, "did you mean loss.min_kept_of=labelled"),
        ({"divide_by": "alll"}, "did you mean loss.divide_by=all"),
        ({"min_kept": 100, "min_kept_of": "labelled"}, "share of the labelled"),
    ],
)
def test_settings_out_of_range(arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        OHEMTopK(**arguments)
