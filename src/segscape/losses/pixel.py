"""The weighted sum of every pixel's cross-entropy, which all criteria are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# (p of the correct class, whether there is a label), both (B, H, W) -> weight (B, H, W)
Weigh = Callable[[Tensor, Tensor], Tensor]


def weighted_cross_entropy(
    logits: Tensor, label: Tensor, ignore_index: int, weigh: Weigh
) -> Tensor:
    """Return the sum over pixels of weight * -log p(correct class).

    Args:
        logits: class scores (B, C, H, W) in any memory format; half precisions are computed
            in float32.
        label: class ids (B, H, W), int64.
        ignore_index: the id that stands for "no label".
        weigh: gives the weights, which carry no gradient, from the probability p of the correct
            class and the map of pixels with a label; must be 0 where there is none, and p means
            nothing there.

    Returns:
        Float32 (or float64) scalar.

    Raises:
        RuntimeError, IndexError: torch's own, for a label that is neither a class nor ignored.
    """
    valid = label != ignore_index
    if logits.device.type == "cpu" and not torch.compiler.is_compiling():
        loss: Tensor = _WeightedCrossEntropy.apply(logits, label, valid, weigh)
        return loss
    logits = logits.to(_accurate(logits.dtype))
    losses = F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")
    with torch.no_grad():
        weight = weigh(torch.exp(-losses), valid)
    return (losses * weight).sum()


def _accurate(dtype: torch.dtype) -> torch.dtype:
    """The type to compute in: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


class _WeightedCrossEntropy(torch.autograd.Function):
    """Cross-entropy that keeps p - onehot, from which the gradient is one product away.

    On the CPU, torch's chain of log_softmax and nll_loss writes three tensors of the logits' size
    and takes two exponentials per logit; this one writes two and takes one. It also has
    fewer operations, after each of which the threads synchronise.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, valid: Tensor, weigh: Weigh) -> Tensor:
        dtype = _accurate(logits.dtype)
        difference = torch.softmax(logits, 1, dtype=dtype)
        index = label.masked_fill(~valid, 0).unsqueeze(1)
        p = difference.gather(1, index)
        weight = weigh(p.squeeze(1), valid)
        assert weight.dtype == dtype, weight.dtype
        ctx.save_for_backward(difference, weight)
        ctx.dtype = logits.dtype
        difference.scatter_add_(1, index, difference.new_full((), -1).expand_as(index))
        loss = torch.dot(p.log_().flatten(), weight.flatten()).neg_()
        if not bool(loss.isfinite()):  # some p has underflowed to 0: compute it from the logits
            log_p = torch.log_softmax(logits, 1, dtype=dtype).gather(1, index)
            loss = torch.dot(log_p.flatten(), weight.flatten()).neg_()
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        difference, weight = ctx.saved_tensors
        if grad.item() != 1:
            weight = weight * grad
        return (difference * weight.unsqueeze(1)).to(ctx.dtype), None, None, None
