"""FCN-8s: class scores at strides 32, 16 and 8, interpolated and added.

Paper: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, arXiv
1411.4038; weights of wkentaro/pytorch-fcn, which has the layers of the authors' Caffe network.

Differences from both:

- Their transposed convolutions hold fixed bilinear kernels. Inside a map that is the bilinear
  interpolation with which the maps are doubled here; at its border theirs fade to zero.
- They pad the image by 100 pixels and crop the sums, so that cells of stride 32 start 3 pixels
  before the image; here every convolution pads itself and cells start with the image. With their
  weights, an image shifted by these 3 pixels gives their logits, except for the 250 pixels at the
  border. At 512x1024 the padding would cost half as much work again.

A network with 19 classes has 134 353 017 parameters, 221.660 GMACs at 512x1024 (height x width).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import resize, size_of


class Score(nn.Conv2d):
    """A 1x1 classifier whose bias is added apart.

    oneDNN's bfloat16 gradient of the bias, from 4096 channels to fewer than 16, writes beyond its
    memory on CPUs with AMX (torch 2.15): training ended in "corrupted double-linked list".

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__(in_channels, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> scores (B, num_classes, h, w)."""
        assert self.bias is not None
        scores = F.conv2d(x, self.weight)
        return scores + self.bias.to(scores.dtype)[:, None, None]


class FCN8s(nn.Module):
    """Score the context and two finer features, add from deep to shallow.

    Args:
        spec: of the encoder.
        context_channels: channels of the context, at the encoder's stride 32.
        fusion: not used: the scores are added.
        num_classes: number of classes.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (8, 16, 32)
    uses: frozenset[str] = frozenset({"context"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory | None = None,
        num_classes: int = 19,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder fcn8s")
        self.spec = FeatureSpec(dict.fromkeys(self.requires, num_classes))
        self.score_context = Score(context_channels, num_classes)
        self.scores = nn.ModuleList(
            [Score(spec.channels[stride], num_classes) for stride in self.requires[:-1]]
        )
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride, context (B, C, H/32, W/32) -> {8: (B, classes, H/8, W/8), ...}."""
        coarse = self.score_context(context)
        middle = self._add(self.scores[1](features[16]), coarse)
        return {8: self._add(self.scores[0](features[8]), middle), 16: middle, 32: coarse}

    @staticmethod
    def _add(low: Tensor, high: Tensor) -> Tensor:
        """Low (B, C, H, W) and high (B, C, H/2, W/2), where H/2 is rounded up."""
        (height, width), (rows, columns) = size_of(low), size_of(high)
        # Doubled and cropped, not resized: cells stay where they are when H is odd.
        return low + resize(high, (2 * rows, 2 * columns))[:, :, :height, :width]
