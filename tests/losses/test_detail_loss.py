"""The detail loss against loops over pixels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from segscape.errors import UserError
from segscape.losses.detail import DetailLoss


def label() -> torch.Tensor:
    """Blocks of classes with an ignored patch, 2 x 16 x 20."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.randint(0, 19, (2, 4, 5), generator=generator)
    fine = coarse.repeat_interleave(4, 1).repeat_interleave(4, 2)
    fine[0, 3:7, 9:14] = 255
    fine[1, 11, 6] = 2
    return fine


def edges(ids: np.ndarray, stride: int) -> np.ndarray:
    """One map of the pyramid of one label (H, W), enlarged to its size, as 0 and 1."""
    padded = np.pad(ids.astype(np.float64), 1)
    height, width = ids.shape
    found = np.zeros_like(ids, dtype=np.float64)
    for y in range(height):
        for x in range(width):
            top, left = y // stride * stride, x // stride * stride  # what this pixel repeats
            window = padded[top : top + 3, left : left + 3]
            found[y, x] = max(0.0, 9 * window[1, 1] - window.sum()) > 0.1
    return found


def details(ids: np.ndarray) -> np.ndarray:
    weights = (np.float32(0.6), np.float32(0.3), np.float32(0.1))
    total = sum(
        weight * edges(ids, stride).astype(np.float32)
        for weight, stride in zip(weights, (1, 2, 4), strict=True)
    )
    return (total > np.float32(0.1)).astype(np.float64)


def test_the_target_equals_loops_over_pixels() -> None:
    ids = label()
    target = DetailLoss().target(ids)
    assert target.shape == (2, 1, 16, 20) and target.dtype == torch.float32
    expected = np.stack([details(one.numpy()) for one in ids])
    np.testing.assert_array_equal(target[:, 0].numpy(), expected)
    assert 0.05 < expected.mean() < 0.95


def test_the_loss_equals_the_formula() -> None:
    ids = label()
    logits = torch.randn(2, 1, 16, 20, generator=torch.Generator().manual_seed(0)) * 2
    z = logits[:, 0].double().numpy()
    g = np.stack([details(one.numpy()) for one in ids])
    p = 1 / (1 + np.exp(-z))
    entropy = -(g * np.log(p) + (1 - g) * np.log(1 - p)).mean()
    dice = np.mean(
        [1 - (2 * (a * b).sum() + 1) / (a.sum() + b.sum() + 1) for a, b in zip(p, g, strict=True)]
    )
    assert DetailLoss()(logits, ids).item() == pytest.approx(entropy + dice, rel=1e-5)


def test_only_the_higher_id_is_marked_and_ignored_regions_have_borders() -> None:
    ids = torch.zeros(1, 8, 8, dtype=torch.long)
    assert not DetailLoss().target(ids).any()
    ids[0, 3, 3] = 5
    only = DetailLoss(fusion=(1, 0, 0)).target(ids)
    assert only.nonzero().tolist() == [[0, 0, 3, 3]]
    ids[0, 3, 3] = 255
    assert torch.equal(DetailLoss(fusion=(1, 0, 0)).target(ids), only)


def test_the_frame_of_an_image_is_a_detail() -> None:
    inner = DetailLoss(fusion=(1, 0, 0)).target(torch.ones(1, 6, 6, dtype=torch.long))[0, 0]
    assert inner[1:-1, 1:-1].sum() == 0 and inner.sum() == 20


def test_the_third_map_has_no_effect_with_the_published_weights() -> None:
    ids = label()
    assert torch.equal(DetailLoss((0.6, 0.3, 0.0)).target(ids), DetailLoss().target(ids))
    assert not torch.equal(DetailLoss((0.6, 0.3, 0.2)).target(ids), DetailLoss().target(ids))


def test_odd_sizes_gradients_and_half_precision() -> None:
    ids = label()[:, :13, :17]
    logits = torch.zeros(2, 1, 13, 17, requires_grad=True)
    loss = DetailLoss()(logits, ids)
    loss.backward()
    assert logits.grad is not None and bool((logits.grad != 0).all())
    half = DetailLoss()(torch.zeros(2, 1, 13, 17, dtype=torch.float16), ids)
    torch.testing.assert_close(half, loss.detach())
    assert math.isfinite(DetailLoss()(torch.full((2, 1, 13, 17), 1e4), ids).item())


def test_there_is_nothing_to_train_or_to_save() -> None:
    criterion = DetailLoss()
    assert not list(criterion.parameters()) and not criterion.state_dict()


def test_wrong_uses_are_errors() -> None:
    with pytest.raises(UserError, match="19"):
        DetailLoss()(torch.zeros(1, 19, 4, 4), torch.zeros(1, 4, 4, dtype=torch.long))
    with pytest.raises(UserError, match="2 numbers"):
        DetailLoss(fusion=(0.6, 0.3))
