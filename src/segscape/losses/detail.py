"""Loss of a map of details: STDC's detail guidance.

Fan et al., "Rethinking BiSeNet for Real-time Semantic Segmentation", arXiv 2104.13188. A head with
one map learns where classes meet, from a target that is computed only from the label.

Target, as STDC-Seg computes it:

1. The label as numbers, the ignore id 255 included, is convolved with a Laplacian (8 in the
   centre, -1 around it, zero padding) at strides 1, 2 and 4; below 0 counts as 0.
2. The maps of strides 2 and 4 are enlarged to the label's size (nearest), and each map becomes
   binary: above the threshold 0.1 or not.
3. Their weighted sum with 0.6, 0.3 and 0.1 becomes binary with the same threshold.

What follows from it, and is kept because the published weights were trained so:

- Borders of ignored regions are details like those between two classes.
- Only the side with the higher id is marked, and the frame of the image is, except in class 0.
- A border in the map of stride 4 only gives 0.1, which is not above 0.1: it has no effect. Give
  `fusion=[0.6, 0.3, 0.2]` to have it count.
- STDC-Seg hands the three numbers to its optimiser. Their gradient is zero, but weight decay
  shrinks them over a training; here they are constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segscape.errors import UserError

STRIDES = (1, 2, 4)
DICE_SMOOTH = 1.0


class DetailLoss(nn.Module):
    """Binary cross-entropy plus Dice loss between a map and the details of the label.

    `loss = BCE(z, g) + mean over images of (1 - (2 |p g| + 1) / (|p| + |g| + 1))` with the map z,
    p = sigmoid(z) and the target g; `|.|` is the sum over an image.

    Args:
        fusion: weight of the target's maps of strides 1, 2 and 4.
        threshold: what a pixel of the target must exceed.

    Raises:
        UserError: not three weights.
    """

    laplacian: Tensor

    def __init__(self, fusion: Sequence[float] = (0.6, 0.3, 0.1), threshold: float = 0.1) -> None:
        super().__init__()
        if len(fusion) != len(STRIDES):
            raise UserError(
                f"fusion={list(fusion)} of the detail loss has {len(fusion)} numbers",
                f"give {len(STRIDES)}, one for each of the strides 1, 2 and 4",
            )
        self.fusion = tuple(float(weight) for weight in fusion)
        self.threshold = float(threshold)
        laplacian = torch.full((1, 1, 3, 3), -1.0)
        laplacian[..., 1, 1] = 8.0
        self.register_buffer("laplacian", laplacian, persistent=False)

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        """Return the scalar loss of a map (B, 1, H, W) for labels (B, H, W), int64."""
        if logits.shape[1] != 1:
            raise UserError(
                f"the detail loss takes one map, the head gives {logits.shape[1]}",
                "give that head `head: {_target_: segscape.models.heads.detail.DetailHead}`",
            )
        target = self.target(label)
        # float32 also under autocast: the sums of the Dice loss run over a whole image
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        target = target.to(logits.dtype)
        entropy = F.binary_cross_entropy_with_logits(logits, target)
        return entropy + _dice(logits.sigmoid().flatten(1), target.flatten(1))

    @torch.no_grad()
    def target(self, label: Tensor) -> Tensor:
        """The details of labels (B, H, W): float map (B, 1, H, W) of 0 and 1."""
        ids = label.unsqueeze(1).float()
        laplacian = self.laplacian.float()
        size = (ids.shape[2], ids.shape[3])
        total = torch.zeros_like(ids)
        with torch.autocast(label.device.type, enabled=False):
            for stride, weight in zip(STRIDES, self.fusion, strict=True):
                edges = F.conv2d(ids, laplacian, stride=stride, padding=1)
                found = (edges > self.threshold).to(ids.dtype)
                total += weight * F.interpolate(found, size, mode="nearest")
        return (total > self.threshold).to(ids.dtype)

    def extra_repr(self) -> str:
        """Describe the settings in the printed module."""
        return f"fusion={self.fusion}, threshold={self.threshold}"


def _dice(p: Tensor, g: Tensor) -> Tensor:
    """Mean over images of the Dice loss of two maps (B, pixels)."""
    overlap = (p * g).sum(1)
    return (1 - (2 * overlap + DICE_SMOOTH) / (p.sum(1) + g.sum(1) + DICE_SMOOTH)).mean()
