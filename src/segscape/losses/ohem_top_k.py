"""Cross-entropy over the k hardest pixels: what OHEM means outside PaddleSeg.

All of them keep every pixel whose correct class has a probability below a threshold, and the
hardest ones up to a minimum when these are fewer: k = max(number below the threshold, minimum).
They differ in what the minimum is, and in what the sum of the losses is divided by:

| option | after | minimum | divided by |
| --- | --- | --- | --- |
| ohem_stdc | STDC-Seg | 1/16 of the batch's pixels; ignored ones fill up | k |
| ohem_coincheung | CoinCheung/BiSeNet | 1/16 of the labelled pixels | k |
| ohem_per_image | mmsegmentation | a number per image, ranked over the batch | all pixels |
| ohem_torchseg | TorchSeg, SFSegNets | a number per batch, labels at stride 8 (SFSegNets: 1) | k |
| ohem | PaddleSeg | a number per batch, less one | k + 1e-5 of all pixels |

The last is `segscape.losses.ohem`. So TorchSeg's is PaddleSeg's on labels of stride 8, but for one
pixel and the 1e-5. mmsegmentation leaves out the easiest pixel where the minimum asks for all;
here it stays.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from segscape.errors import UserError, choice
from segscape.losses.pixel import weighted_cross_entropy

MINIMA = ("batch", "image", "labelled")
DIVISORS = ("kept", "all")


class OHEMTopK(nn.Module):
    """Mean cross-entropy of the k hardest pixels of a batch (of one process).

    Pixels that tie for the last places share them evenly, so the loss does not depend on the
    order in which a sort leaves equal numbers.

    Args:
        ignore_index: label of the pixels that do not count.
        threshold: pixels whose correct class has a probability below it are hard, 0 to 1.
        min_kept: how many pixels are kept at least: below 1 a share, from 1 on a number.
        min_kept_of: what `min_kept` refers to: `batch`, the number per batch or the share of its
            pixels; `image`, the number per image; `labelled`, the share of the labelled pixels.
        keep_ignored: with fewer labelled pixels than must be kept, ignored ones fill up. They add
            nothing to the sum, but the mean is over them too.
        divide_by: `kept` for the mean over the kept pixels, `all` for the sum over them divided
            by all pixels, so that the loss weighs less the fewer pixels are hard.
        stride: use every stride-th row and column of the label and of the logits only.

    Raises:
        UserError: a setting out of range or unknown, or a number of labelled pixels.
    """

    def __init__(
        self,
        ignore_index: int = 255,
        threshold: float = 0.7,
        min_kept: float = 1 / 16,
        min_kept_of: Literal["batch", "image", "labelled"] = "batch",
        keep_ignored: bool = False,
        divide_by: Literal["kept", "all"] = "kept",
        stride: int = 1,
    ) -> None:
        super().__init__()
        if not 0.0 < threshold <= 1.0:
            raise UserError(f"loss.threshold={threshold} is not a probability in (0, 1]")
        if not min_kept >= 0:
            raise UserError(f"loss.min_kept={min_kept} is negative")
        if stride < 1:
            raise UserError(f"loss.stride={stride} is not a stride", "1 uses every pixel")
        choice("loss.min_kept_of", min_kept_of, MINIMA)
        choice("loss.divide_by", divide_by, DIVISORS)
        if min_kept_of == "labelled" and min_kept >= 1:
            raise UserError(
                f"loss.min_kept={min_kept} is not a share of the labelled pixels",
                "give a number below 1, or loss.min_kept_of=batch",
            )
        self.ignore_index = ignore_index
        self.threshold = threshold
        self.min_kept = min_kept
        self.min_kept_of = min_kept_of
        self.keep_ignored = keep_ignored
        self.divide_by = divide_by
        self.stride = stride

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of logits (B, C, H, W) for labels (B, H, W), int64."""
        if self.stride > 1:
            logits = logits[..., :: self.stride, :: self.stride]
            label = label[..., :: self.stride, :: self.stride]
        return weighted_cross_entropy(logits, label, self.ignore_index, self.weigh)

    @torch.no_grad()
    def weigh(self, p: Tensor, valid: Tensor) -> Tensor:
        """The weight of every pixel's cross-entropy.

        Args:
            p: probability of the correct class (B, H, W); anything where there is no label.
            valid: the pixels with a label (B, H, W), bool.

        Returns:
            Map (B, H, W): 1 / divisor for the kept pixels, 0 for the others, a part of 1 / divisor
            for pixels that tie for the last places.
        """
        labelled = valid.sum()
        wanted = self._wanted(p, labelled)
        limit = self._limit(p, valid, wanted)
        below = valid & (p < limit.clamp(min=self.threshold))
        ties = valid & (p == limit) & (limit >= self.threshold)
        taken = below.sum()
        left = (torch.minimum(wanted, labelled) - taken).clamp(min=0)
        share = left.to(p.dtype) / ties.sum().clamp(min=1)
        if self.divide_by == "all":
            divisor = torch.full_like(taken, p.numel())
        elif self.keep_ignored:
            divisor = torch.maximum(taken, wanted)
        else:
            divisor = taken + left
        return (below + ties * share) / divisor.clamp(min=1).to(p.dtype)

    def _wanted(self, p: Tensor, labelled: Tensor) -> Tensor:
        """How many pixels are kept at least, as a tensor of no dimensions."""
        if self.min_kept_of == "labelled":
            return (labelled * self.min_kept).floor().long()
        return torch.full_like(labelled, self._most(p))

    def _most(self, p: Tensor) -> int:
        """How many pixels are kept at least, if all have a label."""
        if self.min_kept < 1:
            return int(self.min_kept * p.numel())
        images = p.shape[0] if self.min_kept_of == "image" else 1
        return min(int(self.min_kept) * images, p.numel())

    def _limit(self, p: Tensor, valid: Tensor, wanted: Tensor) -> Tensor:
        """The p of the rank `wanted`; anything below the threshold if that many are hard."""
        ranked = torch.where(valid, p, 2.0).flatten()
        if p.device.type == "cpu" and not torch.compiler.is_compiling():
            rank = int(wanted)
            if rank == 0 or int((ranked < self.threshold).sum()) >= rank:
                return ranked.new_zeros(())
            return ranked.kthvalue(rank).values
        # No branch on a figure that is on the GPU: the lowest p, of which there are few, in order.
        lowest = ranked.topk(max(1, self._most(p)), largest=False).values
        limit = lowest[(wanted - 1).clamp(min=0)]
        return torch.where(wanted > 0, limit, 0.0)

    def extra_repr(self) -> str:
        """Describe the settings in the printed module."""
        return (
            f"threshold={self.threshold}, min_kept={self.min_kept} of {self.min_kept_of}, "
            f"divide_by={self.divide_by}, keep_ignored={self.keep_ignored}, stride={self.stride}"
        )
