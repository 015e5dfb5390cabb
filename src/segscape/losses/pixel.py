"""Cross-entropy of every pixel, the quantity that the criteria average."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def pixel_cross_entropy(logits: Tensor, label: Tensor, ignore_index: int) -> Tensor:
    """Return -log p(correct class) of every pixel, 0 where the label is ignored.

    Args:
        logits: class scores (B, C, H, W) in any memory format; half precisions are computed
            in float32.
        label: class ids (B, H, W), int64.
        ignore_index: the id that stands for "no label".

    Returns:
        Float32 (or float64) map (B, H, W).

    Raises:
        RuntimeError, IndexError: torch's own, for a label that is neither a class nor ignored.
    """
    if logits.device.type == "cpu" and not torch.compiler.is_compiling():
        loss: Tensor = _SoftmaxCrossEntropy.apply(logits, label, ignore_index)
        return loss
    logits = logits.to(_accurate(logits.dtype))
    return F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")


def _accurate(dtype: torch.dtype) -> torch.dtype:
    """The type to compute in: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


class _SoftmaxCrossEntropy(torch.autograd.Function):
    """Cross-entropy that keeps p rather than log p: one pass over (B, C, H, W) less each way.

    On the CPU, torch's chain of log_softmax and nll_loss writes three tensors of the logits' size
    and takes two exponentials per logit; this one writes two (p and the gradient) and takes one.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, label: Tensor, ignore_index: int) -> Tensor:
        dtype = _accurate(logits.dtype)
        p = torch.softmax(logits, 1, dtype=dtype)
        valid = label != ignore_index
        index = label.masked_fill(~valid, 0).unsqueeze(1)
        loss = p.gather(1, index)
        if loss.numel() and bool(loss.min() < torch.finfo(dtype).tiny):
            # p has underflowed somewhere (a loss above 87): take the way round. Not the rule.
            loss = torch.log_softmax(logits, 1, dtype=dtype).gather(1, index)
        else:
            loss.log_()
        ctx.save_for_backward(p, index, valid)
        ctx.dtype = logits.dtype
        return loss.squeeze(1).neg_().masked_fill_(~valid, 0)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        p, index, valid = ctx.saved_tensors
        # where, not a product: an ignored pixel may carry an infinite or missing figure.
        grad = torch.where(valid, grad, 0).unsqueeze(1)
        logits_grad = (p * grad).scatter_add_(1, index, grad.neg())
        return logits_grad.to(ctx.dtype), None, None
