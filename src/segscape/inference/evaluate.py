"""Score a network over a split: whole images, at the size of their labels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

from segscape import build
from segscape.runs.device import AUTOCAST, choose_device

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.models.segmenter import Segmenter


def evaluate(
    network: Segmenter,
    data: SegmentationDataModule,
    split: str,
    *,
    metrics: Mapping[str, Any],
    device: torch.device | None = None,
    precision: str = "32-true",
    progress: bool = True,
) -> dict[str, float]:
    """Score `network` on a split.

    Args:
        network: with as many classes as the data set.
        data: gives the images and their labels.
        split: train, val or test.
        metrics: the group `metrics` of a configuration.
        device: where to compute; default the first GPU, else the CPU.
        precision: of Lightning's names; "bf16-mixed" and "16-mixed" use autocast.
        progress: show a progress bar.

    Returns:
        The record's keys: `<split>/miou`, `<split>/iou/<class>` and the others.
    """
    device = device or choose_device()
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    scored = build.metrics(metrics, network, data.classes).to(device)
    dtype = AUTOCAST.get(precision)
    loader = data.eval_loader(split)
    with torch.inference_mode():
        for batch in _shown(loader, f"evaluating {split}", progress):
            images = batch["image"].to(device, non_blocking=True)
            # As in training: the same kernels, so that the same weights give the same score.
            images = images.contiguous(memory_format=torch.channels_last)
            images = network.normalize(images)
            label = batch["label"].to(device, non_blocking=True).long()
            valid = batch["valid"].to(device)
            with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                prediction = network(images).argmax(1)
            scored.add(prediction, label, valid)
    return scored.scores(split)


def _shown(loader: Iterable[Any], title: str, progress: bool) -> Iterable[Any]:
    if not progress:
        return loader
    from rich.progress import track

    return track(loader, title, transient=True)
