"""Lovász-softmax: a convex surrogate of the mean IoU.

Berman, Rannen Triki and Blaschko, "The Lovász-Softmax loss", arXiv 1705.08790. For a class c with
the set Y of its pixels, predicting the pixels M wrongly costs the Jaccard loss
`D(M) = |M| / |Y union M|`, a submodular function of M. Its Lovász extension takes errors between
0 and 1 instead of a set: with the pixels in falling order of their error m, it is
`sum_i m_i (D({1..i}) - D({1..i-1}))`. The error of a pixel is 1 - p(c) in Y and p(c) elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.losses.cross_entropy import CrossEntropy


class LovaszSoftmax(nn.Module):
    """Mean over classes of the Lovász extension of their Jaccard losses.

    Args:
        ignore_index: label of the pixels that do not count.
        classes: the mean is over the classes that are `present` in the labels, or over `all`.
        per_image: one loss per image and their mean, instead of one over the pixels of the batch.

    Raises:
        UserError: an unknown choice of classes.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        classes: Literal["present", "all"] = "present",
        per_image: bool = False,
    ) -> None:
        super().__init__()
        if classes not in ("present", "all"):
            raise UserError(f"loss.classes={classes} is not known", "choices: present, all")
        self.ignore_index = ignore_index
        self.classes = classes
        self.per_image = per_image

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C, H, W) for labels (B, H, W), int64."""
        # float32 also under autocast: the ranks decide over the gradients
        p = torch.softmax(logits, 1, dtype=torch.promote_types(logits.dtype, torch.float32))
        if self.per_image:
            pairs = zip(p.split(1), label.split(1), strict=True)
            return torch.stack([self._of(*pair) for pair in pairs]).mean()
        return self._of(p, label)

    def _of(self, p: Tensor, label: Tensor) -> Tensor:
        """The loss over all pixels of probabilities (B, C, H, W) and labels (B, H, W)."""
        losses, present = zip(*self._per_class(p, label), strict=True)
        loss, counted = torch.stack(losses), torch.stack(present).to(p.dtype)
        if self.classes == "all":
            counted = torch.ones_like(counted)
        return (loss * counted).sum() / counted.sum().clamp(min=1)

    def _per_class(self, p: Tensor, label: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (loss, whether the class occurs) of every class; one at a time is in memory."""
        valid = (label != self.ignore_index).flatten()
        for number in range(p.shape[1]):
            inside = (label == number).flatten()
            errors = (inside.to(p.dtype) - p[:, number].flatten()).abs()
            # Ignored pixels are sorted behind all others and then count with error 0.
            ranked, order = torch.where(valid, errors, -1.0).sort(descending=True)
            steps = jaccard_steps(inside[order], valid[order])
            yield torch.dot(ranked.clamp(min=0), steps.to(p.dtype)), inside.any()

    def extra_repr(self) -> str:
        """Describe the settings in the printed module."""
        return (
            f"ignore_index={self.ignore_index}, classes={self.classes}, per_image={self.per_image}"
        )


@torch.no_grad()
def jaccard_steps(inside: Tensor, valid: Tensor) -> Tensor:
    """By how much each further pixel raises the Jaccard loss, when it is wrong like those before.

    Args:
        inside: whether each pixel is of the class, in falling order of the errors (N,), bool.
        valid: whether it has a label (N,), bool.

    Returns:
        `D({1..i}) - D({1..i-1})` for i = 1..N, float64: the differences are of large counts.
    """
    total = inside.sum()
    outside = (valid & ~inside).cumsum(0)
    # wrong pixels of the class leave the intersection, wrong pixels of others join the union
    intersection = total - inside.cumsum(0)
    union = total + outside
    loss = 1 - intersection.double() / union.clamp(min=1)
    return torch.diff(loss, prepend=loss.new_zeros(1))


class CrossEntropyLovasz(nn.Module):
    """Cross-entropy plus weighted Lovász-softmax.

    With a weight of 0.8 this is what AlignSeg's published training uses for its main head under
    the flag `ohem`, which mines nothing; its auxiliary head has plain cross-entropy.

    Args:
        ignore_index: label of the pixels that do not count.
        lovasz_weight: weight of the Lovász-softmax.
        class_weights: of the cross-entropy, see `CrossEntropy`.
        classes: of the Lovász-softmax, see `LovaszSoftmax`.

    Raises:
        UserError: a negative weight; see the two losses.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        lovasz_weight: float = 0.8,
        class_weights: Sequence[float] | str | None = None,
        classes: Literal["present", "all"] = "present",
    ) -> None:
        super().__init__()
        if not lovasz_weight >= 0:
            raise UserError(f"loss.lovasz_weight={lovasz_weight} is negative")
        self.lovasz_weight = lovasz_weight
        self.cross_entropy = CrossEntropy(ignore_index, class_weights)
        self.lovasz = LovaszSoftmax(ignore_index, classes)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C, H, W) for labels (B, H, W), int64."""
        entropy: Tensor = self.cross_entropy(logits, label)
        return entropy + self.lovasz_weight * self.lovasz(logits, label)
