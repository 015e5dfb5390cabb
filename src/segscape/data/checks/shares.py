"""How often each class occurs in a split."""

from __future__ import annotations

import numpy as np

from segscape.data.base import SegmentationDataset, open_sample
from segscape.data.checks.samples import count_ids


def class_shares(dataset: SegmentationDataset, limit: int = 200) -> list[float]:
    """Share of the labelled pixels of each class.

    Args:
        dataset: the split.
        limit: read at most so many samples, spread evenly over the split.

    Returns:
        One share per class, 0..1; they add up to 1 unless nothing is labelled.
    """
    count = min(limit, len(dataset))
    total = np.zeros(256, np.int64)
    for position in range(count):
        # Only the label: decoding the image would take most of the time.
        total += count_ids(open_sample(dataset, position * len(dataset) // count).label())
    counts = total[: len(dataset.classes)]
    return [float(share) for share in counts / max(int(counts.sum()), 1)]
