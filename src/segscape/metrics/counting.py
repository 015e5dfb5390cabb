"""Counting pairs of class ids, the one operation behind every score."""

from __future__ import annotations

import torch
from torch import Tensor

LABEL_IDS = 256  # label maps are 8-bit images


def as_bytes(
    prediction: Tensor, label: Tensor, valid: Tensor | None, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Check a batch, and bring it to 8 bits: an eighth of the memory traffic of int64.

    Args:
        prediction: class ids (B, H, W), any integer type.
        label: class ids (B, H, W), any integer type.
        valid: which images count (B,), or None for all of them. Those that only fill up the last
            batch of a process do not.
        num_classes: number of classes.

    Returns:
        Prediction and label of the images that count, uint8 (B', H, W).

    Raises:
        ValueError: the maps differ in shape, a prediction is no class, or a label has no place in
            8 bits.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and label {tuple(label.shape)} differ in shape"
        )
    if valid is not None and not bool(valid.all()):
        prediction, label = prediction[valid], label[valid]
    _check_range("prediction", prediction, num_classes)
    if label.dtype != torch.uint8:
        _check_range("label", label, LABEL_IDS)
    return prediction.to(torch.uint8), label.to(torch.uint8)


def _check_range(what: str, ids: Tensor, size: int) -> None:
    if ids.numel() == 0:
        return
    low, high = (int(extreme) for extreme in ids.aminmax())
    if low < 0 or high >= size:
        raise ValueError(f"the ids of the {what} go from {low} to {high}, outside 0..{size - 1}")


def count_pairs(rows: Tensor, columns: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """Count how often each (row, column) pair occurs.

    Args:
        rows: uint8 map of any shape, ids below `num_rows`.
        columns: uint8 map of the same shape, ids below `num_columns`.
        num_rows: number of row ids.
        num_columns: number of column ids.

    Returns:
        Int64 matrix (num_rows, num_columns) on the maps' device.
    """
    pairs = rows.to(torch.int32).mul_(num_columns).add_(columns)
    counts = torch.bincount(pairs.flatten(), minlength=num_rows * num_columns)
    return counts.view(num_rows, num_columns)
