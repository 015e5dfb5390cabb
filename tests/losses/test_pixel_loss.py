from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from segscape.losses.pixel import weighted_cross_entropy


def case(scale: float = 2.0, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels and pixel weights."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(2, 5, 9, 7, generator=generator) * scale).to(dtype)
    label = torch.randint(0, 5, (2, 9, 7), generator=generator)
    label[torch.rand(2, 9, 7, generator=generator) < 0.2] = 255
    return logits, label, torch.rand(2, 9, 7, generator=generator)


def ours(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    return weighted_cross_entropy(
        logits, label, 255, lambda p, valid: torch.where(valid, weight, 0).to(p.dtype)
    )


def theirs(logits: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    losses = F.cross_entropy(logits.double(), label, ignore_index=255, reduction="none")
    return (losses * weight).sum()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("scale", [2.0, 300.0])  # 300: probabilities underflow
@pytest.mark.parametrize("compiling", [False, True])
def test_equals_torch_with_its_gradient(
    memory_format: torch.memory_format,
    scale: float,
    compiling: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logits, label, weight = case(scale)
    one = logits.clone(memory_format=memory_format).requires_grad_()
    other = logits.double().requires_grad_()
    with monkeypatch.context() as patch:
        patch.setattr(torch.compiler, "is_compiling", lambda: compiling)
        loss = ours(one, label, weight)
    expected = theirs(other, label, weight)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    (3 * loss).backward()
    (3 * expected).backward()
    torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-5, atol=1e-6)
    assert one.grad.movedim(1, -1)[label == 255].abs().max() == 0


def test_gradient_by_finite_differences() -> None:
    logits, label, weight = case(dtype=torch.float64)
    logits = logits[:, :, :3, :3].clone().requires_grad_()
    label, weight = label[:, :3, :3], weight[:, :3, :3]
    assert torch.autograd.gradcheck(lambda x: ours(x, label, weight), (logits,))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_computed_in_float32(dtype: torch.dtype) -> None:
    logits, label, weight = case(dtype=dtype)
    logits.requires_grad_()
    loss = ours(logits, label, weight)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, theirs(logits, label, weight).float())
    loss.backward()
    assert logits.grad is not None and logits.grad.dtype == dtype


def test_the_weights_are_given_the_probability_of_the_correct_class() -> None:
    logits, label, _ = case()
    seen: list[tuple[Tensor, Tensor]] = []

    def weigh(p: Tensor, valid: Tensor) -> Tensor:
        seen.append((p.clone(), valid.clone()))
        return torch.zeros_like(p)

    assert weighted_cross_entropy(logits, label, 255, weigh).item() == 0.0
    (p, valid) = seen[0]
    assert torch.equal(valid, label != 255)
    every = logits.softmax(1).movedim(1, -1)[valid]
    torch.testing.assert_close(p[valid], every[torch.arange(len(every)), label[valid]])


def test_a_backward_pass_can_be_repeated() -> None:
    logits, label, weight = case()
    logits.requires_grad_()
    loss = ours(logits, label, weight)
    first = torch.autograd.grad(loss, logits, retain_graph=True)
    assert torch.equal(first[0], torch.autograd.grad(loss, logits)[0])


def test_a_label_that_is_no_class_is_an_error() -> None:
    logits, label, weight = case()
    label[0, 0, 0] = 5
    with pytest.raises((IndexError, RuntimeError), match="out of bounds"):
        ours(logits, label, weight)
