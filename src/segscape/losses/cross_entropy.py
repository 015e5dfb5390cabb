"""Cross-entropy over the labelled pixels of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.losses.pixel import weighted_cross_entropy


class CrossEntropy(nn.Module):
    """Mean cross-entropy over the labelled pixels, weighted by class on request.

    The mean is `sum(w[y] * ce) / sum(w[y])` over the pixels that have a label, as in
    `torch.nn.CrossEntropyLoss`; a batch without a single label gives 0 (torch: nan).

    Args:
        ignore_index: label of the pixels that do not count.
        class_weights: one weight per class, or None for equal weights. In yaml also the name of
            a rule of `segscape.losses.class_weights`, which is applied to the training split.
        label_smoothing: share of the target that is spread evenly over the classes, 0 to 1.

    Raises:
        UserError: the weights are negative, or not as many as there are classes; a label
            smoothing outside 0..1.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        class_weights: Sequence[float] | str | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing <= 1.0:
            raise UserError(f"loss.label_smoothing={label_smoothing} is outside 0..1")
        if isinstance(class_weights, str):
            raise UserError(
                f"loss.class_weights={class_weights} is the name of a rule",
                "apply it: segscape.losses.class_weights.class_weights(rule, shares)",
            )
        if class_weights is not None and any(not weight >= 0 for weight in class_weights):
            raise UserError(f"loss.class_weights has a negative weight: {list(class_weights)}")
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing
        self.class_weights: Tensor | None
        weights = None if class_weights is None else torch.tensor([float(w) for w in class_weights])
        # Not persistent: the configuration holds the weights, and checkpoints stay equal without.
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C, H, W) for labels (B, H, W), int64."""
        weights = self._weights_for(logits)
        if self.label_smoothing > 0:
            return self._smoothed(logits, label, weights)

        def share(p: Tensor, valid: Tensor) -> Tensor:
            weight = _pixel_weights(label, valid, weights)
            total = weight.sum().to(p.dtype)
            return weight.to(p.dtype) / torch.where(total > 0, total, torch.ones_like(total))

        return weighted_cross_entropy(logits, label, self.ignore_index, share)

    def _smoothed(self, logits: Tensor, label: Tensor, weights: Tensor | None) -> Tensor:
        """The same mean, with torch's pixel losses."""
        losses = F.cross_entropy(
            logits.to(torch.promote_types(logits.dtype, torch.float32)),
            label,
            weight=weights,
            ignore_index=self.ignore_index,
            reduction="none",
            label_smoothing=self.label_smoothing,
        )
        total = _pixel_weights(label, label != self.ignore_index, weights).sum()
        return losses.sum() / torch.where(total > 0, total, torch.ones_like(total))

    def _weights_for(self, logits: Tensor) -> Tensor | None:
        """The class weights, checked against the number of classes in the logits."""
        if self.class_weights is not None and len(self.class_weights) != logits.shape[1]:
            raise UserError(
                f"loss.class_weights has {len(self.class_weights)} numbers, "
                f"but the model has {logits.shape[1]} classes",
                "give one weight per class, in the order of the data set's classes",
            )
        return self.class_weights

    def extra_repr(self) -> str:
        """Describe the settings in the printed module."""
        return f"ignore_index={self.ignore_index}, label_smoothing={self.label_smoothing}"


def _pixel_weights(label: Tensor, valid: Tensor, weights: Tensor | None) -> Tensor:
    """The weight of every pixel's class (B, H, W), 0 where there is no label."""
    if weights is None:
        return valid
    return weights[label.masked_fill(~valid, 0)] * valid
