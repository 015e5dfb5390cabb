"""Confusion matrix of a split, and the scores that are read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from segscape.errors import choice
from segscape.metrics.counting import LABEL_IDS, as_bytes, count_pairs

VOID_MODES = ("ignore", "as_false_positive")


@dataclass  # torchmetrics does not pass frozen ones through
class Scores:
    """Scores of one split, all in 0..1; nan where nothing was there to score.

    Args:
        miou: mean IoU over the classes that occur.
        iou: IoU per class, in the order of the classes; nan for a class that does not occur.
        pixel_accuracy: share of the labelled pixels whose class is right.
        class_accuracy: mean recall over the classes present in the ground truth.
    """

    miou: float
    iou: list[float]
    pixel_accuracy: float
    class_accuracy: float

    def as_keys(self, split: str, class_names: Sequence[str]) -> dict[str, float]:
        """Return the scores under the keys of records, such as `val/miou`, `val/iou/road`.

        Args:
            split: first part of the keys: `val`, `test`, ...
            class_names: one name per class.

        Raises:
            ValueError: not as many names as classes.
        """
        if len(class_names) != len(self.iou):
            raise ValueError(f"{len(class_names)} class names for {len(self.iou)} classes")
        keys = {f"{split}/miou": self.miou}
        keys |= {f"{split}/iou/{c}": iou for c, iou in zip(class_names, self.iou, strict=True)}
        keys[f"{split}/pixel_accuracy"] = self.pixel_accuracy
        keys[f"{split}/class_accuracy"] = self.class_accuracy
        return keys


class ConfusionMatrix(Metric):
    """One int64 confusion matrix over a whole split, summed over processes.

    `IoU(c) = TP / (TP + FP + FN)`. A class occurs when that denominator is not 0: it is in the
    ground truth or is predicted on a pixel that is scored. mIoU is the mean over the classes that
    occur (Cityscapes' own script does the same; PaddleSeg gives the others an IoU of 1).

    Void pixels are those whose label is `ignore_index`. With `void="ignore"` what is predicted
    there does not matter (the Cityscapes protocol). With `void="as_false_positive"` it counts as
    a false positive of the predicted class, as in the published CamVid figures of ESPNet. Both
    accuracies are over labelled pixels in either mode.

    Args:
        num_classes: number of classes, at most 255.
        void: `ignore` or `as_false_positive`.
        ignore_index: label of void pixels, 0..255.
        extra_outputs: further values of a prediction, `num_classes` and above, that are no class: a
            miss of the pixel's class and a false positive of none.

    Raises:
        UserError: an unknown `void`.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    matrix: Tensor

    def __init__(
        self,
        num_classes: int,
        void: str = "ignore",
        ignore_index: int = 255,
        extra_outputs: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        choice("metrics.void", void, VOID_MODES)
        assert 0 < num_classes < LABEL_IDS, num_classes
        assert num_classes <= ignore_index < LABEL_IDS, ignore_index
        self.num_classes = num_classes
        self.outputs = num_classes + extra_outputs
        self.void = void
        self.ignore_index = ignore_index
        # One row per 8-bit label, whatever it means: counting needs no mask and no table, and a
        # label that is neither a class nor void is found at the end, without a check per batch.
        zeros = torch.zeros(LABEL_IDS, self.outputs, dtype=torch.int64)
        self.add_state("matrix", default=zeros, dist_reduce_fx="sum")

    def update(self, prediction: Tensor, label: Tensor, valid: Tensor | None = None) -> None:
        """Count a batch.

        Args:
            prediction: class ids (B, H, W), any integer type.
            label: ground truth (B, H, W), any integer type, same device.
            valid: which images are scored (B,), bool; None for all. A padded duplicate is not.

        Raises:
            ValueError: shapes differ, or ids are out of range.
        """
        prediction, label = as_bytes(prediction, label, valid, self.outputs)
        self.matrix += count_pairs(label, prediction, LABEL_IDS, self.outputs)

    def compute(self) -> Scores:
        """Compute the scores of everything counted so far, over all processes.

        Raises:
            ValueError: a label was neither a class nor `ignore_index`.
        """
        matrix = self.matrix.cpu()
        self._check_labels(matrix)
        counts = matrix[: self.num_classes].double()
        hits, in_truth = counts.diagonal(), counts.sum(1)
        union = in_truth + counts.sum(0)[: self.num_classes] - hits
        if self.void == "as_false_positive":
            union = union + matrix[self.ignore_index, : self.num_classes]
        iou = hits / union  # 0 / 0 = nan: the class does not occur
        recall = hits / in_truth
        return Scores(
            miou=float(iou.nanmean()),
            iou=iou.tolist(),
            pixel_accuracy=float(hits.sum() / in_truth.sum()),
            class_accuracy=float(recall.nanmean()),
        )

    def _check_labels(self, matrix: Tensor) -> None:
        """Raise when pixels carry an id that is neither a class nor void."""
        seen = matrix.sum(1)
        seen[: self.num_classes] = 0
        seen[self.ignore_index] = 0
        strays = seen.nonzero().flatten().tolist()
        if strays:
            raise ValueError(
                f"labels {strays} are neither a class (0..{self.num_classes - 1}) nor void "
                f"({self.ignore_index}); {int(seen.sum())} pixels carry them"
            )
