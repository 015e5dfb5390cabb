"""Counting pairs of class ids, the one operation behind every score."""

from __future__ import annotations

import torch
from torch import Tensor


def count_pairs(rows: Tensor, columns: Tensor, num_rows: int, num_columns: int) -> Tensor:
    """Count how often each (row, column) pair occurs.

    Args:
        rows: integer map of any shape, `0 <= rows < num_rows`.
        columns: integer map of the same shape, `0 <= columns < num_columns`.
        num_rows: number of row ids.
        num_columns: number of column ids.

    Returns:
        Int64 matrix (num_rows, num_columns) on the maps' device.

    Raises:
        ValueError: an id is outside its range.
    """
    # Half the bytes of int64, and the product stays far below 2**31.
    pairs = rows.to(torch.int32).mul_(num_columns).add_(columns)
    size = num_rows * num_columns
    if columns.numel() and not 0 <= int(columns.min()) <= int(columns.max()) < num_columns:
        raise ValueError(
            f"a class id is outside 0..{num_columns - 1}: "
            f"the ids go from {int(columns.min())} to {int(columns.max())}"
        )
    if rows.dtype != torch.uint8 and rows.numel() and int(rows.min()) < 0:
        raise ValueError(f"a label id is negative: {int(rows.min())}")
    counts = torch.bincount(pairs.flatten(), minlength=size)
    if len(counts) > size:
        raise ValueError(f"a label id is above {num_rows - 1}: {int(rows.max())}")
    return counts.view(num_rows, num_columns)


def select_valid(prediction: Tensor, label: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Drop the images that only fill up the last batch of a process.

    Args:
        prediction: class ids (B, H, W).
        label: class ids (B, H, W).
        valid: which images count (B,), or None for all of them.

    Returns:
        Both maps, (B', H, W).

    Raises:
        ValueError: the maps differ in shape.
    """
    if prediction.shape != label.shape:
        raise ValueError(
            f"prediction {tuple(prediction.shape)} and label {tuple(label.shape)} differ in shape"
        )
    if valid is None or bool(valid.all()):
        return prediction, label
    return prediction[valid], label[valid]
