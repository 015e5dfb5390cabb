"""Cross-entropy of every pixel, the quantity that the criteria average."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def pixel_cross_entropy(logits: Tensor, label: Tensor, ignore_index: int) -> Tensor:
    """Return -log p(correct class) of every pixel, 0 where the label is ignored.

    Args:
        logits: class scores (B, C, H, W) in any memory format; half precisions are computed
            in float32.
        label: class ids (B, H, W), int64.
        ignore_index: the id that stands for "no label".

    Returns:
        Float32 (or float64) map (B, H, W).
    """
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    return F.cross_entropy(logits, label, ignore_index=ignore_index, reduction="none")
