"""Score a network over a split: whole images, at the size of their labels, one confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from segscape.metrics.boundary import BoundaryIoU
from segscape.metrics.confusion import ConfusionMatrix

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.models.segmenter import Segmenter

AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def choose_device(accelerator: str = "auto") -> torch.device:
    """The device that a trainer with this accelerator would use."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def evaluate(
    network: Segmenter,
    data: SegmentationDataModule,
    split: str,
    *,
    void: str = "ignore",
    device: torch.device | None = None,
    precision: str = "32-true",
    progress: bool = True,
) -> dict[str, Any]:
    """Score `network` on a split.

    Args:
        network: with as many classes as the data set. Where one of its `extra_outputs` wins,
            no class is predicted: a miss of the pixel's class, and a false positive of none.
        data: gives the images and their labels.
        split: train, val or test.
        void: "ignore" or "as_false_positive", see `ConfusionMatrix`.
        device: where to compute; default the first GPU, else the CPU.
        precision: of Lightning's names; "bf16-mixed" and "16-mixed" use autocast.
        progress: show a progress bar.

    Returns:
        The record's keys: `<split>/miou`, `<split>/iou/<class>` and the others.
    """
    device = device or choose_device()
    network = network.to(device).to(memory_format=torch.channels_last).eval()
    outputs = network.num_classes + network.extra_outputs
    confusion = ConfusionMatrix(outputs, void=void).to(device)
    boundary = BoundaryIoU(outputs).to(device)
    dtype = AUTOCAST.get(precision)
    loader = data.eval_loader(split)
    with torch.inference_mode():
        for batch in _shown(loader, f"evaluating {split}", progress):
            images = batch["image"].to(device, non_blocking=True)
            # As in training: the same kernels, so that the same weights give the same score.
            images = images.contiguous(memory_format=torch.channels_last)
            images = network.normalize(images)
            label = batch["label"].to(device, non_blocking=True)
            valid = batch["valid"].to(device)
            with torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None):
                prediction = network(images).argmax(1)
            confusion.update(prediction, label, valid)
            boundary.update(prediction, label, valid)
    scores = confusion.compute()
    # What is no class is counted to be missed, not to be scored.
    scores.iou = scores.iou[: network.num_classes]
    scores.miou = float(torch.tensor(scores.iou, dtype=torch.float64).nanmean())
    keys: dict[str, Any] = scores.as_keys(split, data.classes)
    bands = (boundary.intersection.double() / boundary.union)[: network.num_classes]
    keys[f"{split}/boundary_iou"] = float(bands.nanmean())
    return keys


def _shown(loader: Iterable[Any], title: str, progress: bool) -> Iterable[Any]:
    if not progress:
        return loader
    from rich.progress import track

    return track(loader, title, transient=True)
