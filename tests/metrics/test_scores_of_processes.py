"""Two processes must score a split as one does."""

from __future__ import annotations

import multiprocessing
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

from segscape.metrics.boundary import BoundaryIoU
from segscape.metrics.confusion import ConfusionMatrix

WAIT = timedelta(seconds=180)


def batches() -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Three images; the fourth repeats the first to fill up the second process's batch."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(0, 4, (3, 24, 32), generator=generator)
    prediction = torch.where(
        torch.rand(3, 24, 32, generator=generator) < 0.7, label, label.roll(1, 0)
    )
    label[:, :3] = 255
    order = [[0, 2], [1, 0]]
    valid = [[True, True], [True, False]]
    return [(prediction[i], label[i], torch.tensor(v)) for i, v in zip(order, valid, strict=True)]


def score(rank: int, store: str) -> tuple:
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=WAIT
    )
    try:
        confusion, boundary = ConfusionMatrix(4), BoundaryIoU(4)
        for metric in (confusion, boundary):
            metric.update(*batches()[rank])
        return confusion.compute(), boundary.compute()
    finally:
        dist.destroy_process_group()


def test_two_processes_score_as_one(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    other = multiprocessing.get_context("spawn").Process(target=score, args=(1, store))
    other.start()
    found = score(0, store)
    other.join(WAIT.total_seconds())
    assert other.exitcode == 0
    confusion, boundary = ConfusionMatrix(4), BoundaryIoU(4)
    for prediction, label, valid in batches():
        for metric in (confusion, boundary):
            metric.update(prediction[valid], label[valid])
    assert found == (confusion.compute(), boundary.compute())
    assert 0.3 < found[0].miou < 0.9
