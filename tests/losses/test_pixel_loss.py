from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from segscape.losses.pixel import pixel_cross_entropy


def case(scale: float = 2.0, dtype: torch.dtype = torch.float32) -> tuple:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 5, 9, 7, generator=generator) * scale).to(dtype)
    label = torch.randint(0, 5, (2, 9, 7), generator=generator)
    label[torch.rand(2, 9, 7, generator=generator) < 0.2] = 255
    return logits, label


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("scale", [2.0, 300.0])  # 300: the probabilities underflow
def test_equals_torch_with_its_gradient(memory_format: torch.memory_format, scale: float) -> None:
    logits, label = case(scale)
    upstream = torch.rand(label.shape)
    ours = logits.clone(memory_format=memory_format).requires_grad_()
    theirs = logits.detach().double().requires_grad_()
    loss = pixel_cross_entropy(ours, label, 255)
    expected = F.cross_entropy(theirs, label, ignore_index=255, reduction="none")
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    loss.backward(upstream)
    expected.backward(upstream.double())
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-6)


def test_gradient_by_finite_differences() -> None:
    logits, label = case(dtype=torch.float64)
    logits = logits[:, :, :3, :3].clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: pixel_cross_entropy(x, label[:, :3, :3], 255), (logits,)
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits, label = case(dtype=dtype)
    logits.requires_grad_()
    loss = pixel_cross_entropy(logits, label, 255)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(
        loss, F.cross_entropy(logits.float(), label, ignore_index=255, reduction="none")
    )
    loss.sum().backward()
    assert logits.grad is not None and logits.grad.dtype == dtype


def test_what_the_upstream_gradient_says_about_ignored_pixels_does_not_matter() -> None:
    logits, label = case()
    logits.requires_grad_()
    upstream = torch.where(label == 255, torch.nan, 1.0)
    pixel_cross_entropy(logits, label, 255).backward(upstream)
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.movedim(1, -1)[label == 255].abs().max() == 0


def test_a_label_that_is_no_class_is_an_error() -> None:
    logits, label = case()
    label[0, 0, 0] = 5
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        pixel_cross_entropy(logits, label, 255)
