"""Cross-entropy over the hard pixels of a batch (online hard example mining)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.losses.pixel import weighted_cross_entropy

NORMALISER_EPS = 1e-5


class OHEM(nn.Module):
    """Cross-entropy over hard pixels, with the semantics of PaddleSeg's `OhemCrossEntropyLoss`.

    Five code bases mean five things by OHEM (what is sorted, per image or per batch, what
    becomes of ignored pixels). This is PaddleSeg's, with which PP-LiteSeg was trained:

    - The pixels of the whole batch (of one process) are ranked by p, the softmax probability of
      their correct class, hardest first; ignored pixels rank last.
    - With fewer labelled pixels than `min_kept`, or exactly as many, all of them are kept.
    - Otherwise those with `p < max(threshold, p of rank min_kept)` are kept. The comparison is
      strict, so `min_kept - 1` pixels remain when the rank decides, and fewer on ties.
    - `loss = mean(kept * ce) / (mean(kept) + 1e-5)`, both means over all pixels of the batch,
      ignored ones included.

    Args:
        ignore_index: label of the pixels that do not count.
        threshold: pixels whose correct class has a probability below it are hard, 0 to 1.
        min_kept: how many pixels are hard at least: below 1 a fraction of the batch's pixels
            (B * H * W), from 1 on a number of pixels, 0 to switch the mining off.

    Raises:
        UserError: a threshold outside (0, 1] or a negative `min_kept`.
    """

    def __init__(
        self, ignore_index: int = 255, threshold: float = 0.7, min_kept: float = 1 / 16
    ) -> None:
        super().__init__()
        if not 0.0 < threshold <= 1.0:
            raise UserError(f"loss.threshold={threshold} is not a probability in (0, 1]")
        if not min_kept >= 0:
            raise UserError(
                f"loss.min_kept={min_kept} is negative",
                "give a fraction of the batch's pixels (< 1) or a number of pixels",
            )
        self.ignore_index = ignore_index
        self.threshold = threshold
        self.min_kept = min_kept

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C, H, W) for labels (B, H, W), int64."""
        return weighted_cross_entropy(logits, label, self.ignore_index, self._weigh)

    def _weigh(self, p: Tensor, valid: Tensor) -> Tensor:
        kept = self.kept(p, valid)
        # mean(kept * ce) / (mean(kept) + eps), with both means' division by the pixels cancelled.
        return kept * (kept.sum().to(p.dtype) + NORMALISER_EPS * kept.numel()).reciprocal()

    @torch.no_grad()
    def kept(self, p: Tensor, valid: Tensor) -> Tensor:
        """Select the pixels that count.

        Args:
            p: probability of the correct class (B, H, W); anything where there is no label.
            valid: the pixels with a label (B, H, W), bool.

        Returns:
            Boolean map (B, H, W).
        """
        rank = self.rank(p.numel())
        if rank == 0:
            return valid
        hard = (p < self.threshold).logical_and_(valid)
        if p.device.type == "cpu" and not torch.compiler.is_compiling():
            if hard.sum() >= rank:  # the p of that rank is below the threshold: no need to find it
                return hard
            limit = _ranked(p, valid).kthvalue(rank).values
        else:
            # No branch on a figure that is on the GPU, and topk spreads over its blocks where
            # kthvalue uses one.
            limit = _ranked(p, valid).topk(rank, largest=False, sorted=False).values.amax()
        return valid & ((p < limit.clamp(min=self.threshold)) | (valid.sum() <= rank))

    def rank(self, pixels: int) -> int:
        """Return `min_kept` as a number of pixels, of the given number in all."""
        wanted = self.min_kept * pixels if self.min_kept < 1 else self.min_kept
        return min(int(wanted), pixels)

    def extra_repr(self) -> str:
        """Describe the settings in the printed module."""
        return (
            f"ignore_index={self.ignore_index}, threshold={self.threshold}, "
            f"min_kept={self.min_kept}"
        )


def _ranked(p: Tensor, valid: Tensor) -> Tensor:
    """All p in a row, with the pixels without a label last in rank."""
    return torch.where(valid, p, 1.0).flatten()
