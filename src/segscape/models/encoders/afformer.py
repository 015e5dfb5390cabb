"""AFFormer encoders: pixel descriptors at stride 8 beside prototypes at strides 8, 16 and 32.

Paper: Dong et al., Head-Free Lightweight Semantic Segmentation with Linear Transformer,
AAAI 2023, arXiv 2301.04648. The pixel branch never gets coarser than stride 8, so that a
classifier on its last feature is enough (`decoder=head_free head=afformer`). A few transformer
layers work on the prototypes, a strided copy of it; a stage adds them to its pixels.

As the official code, not as its defaults: the feed-forward has twice the channels
(`mlp_ratio` 2 of every shipped configuration) and there is no stochastic depth (its rate is 0 in
all of them). New is only what is handed out: the prototypes of the last two stages stand as
features at strides 16 and 32, so that pyramid decoders find a pyramid.

Without classifier, as in the official code: tiny 2 032 948 parameters, small 2 228 748, base
2 843 548. With `head=afformer` and 150 classes the networks have 3.079, 3.334 and 4.344 GMACs at
512x512.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from segscape.errors import UserError
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.afformer_blocks import (
    HEADS,
    DepthwiseEmbed,
    PixelDescriptor,
    PrototypeLearning,
)
from segscape.models.encoders.local import load_local
from segscape.models.layers import ConvBNAct, resize, size_of

_STRIDES = ((1, 1), (2, 1), (1, 2), (1, 4))
"""Of the two embeddings of each stage: to its pixels, and from these to its prototypes."""


class AFFormerStage(nn.Module):
    """Pixels and prototypes side by side, added and projected to the width of the next stage.

    Args:
        channels: of the stage.
        out_channels: of the next stage.
        strides: of the embeddings.
        layers: of the transformer; 0 for a stage without.
        mlp_ratio: of its feed-forward.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        strides: tuple[int, int],
        layers: int,
        mlp_ratio: int,
    ) -> None:
        super().__init__()
        self.pixel_embed = DepthwiseEmbed(channels, strides[0])
        self.prototype_embed = DepthwiseEmbed(channels, strides[1])
        self.descriptor = PixelDescriptor(channels)
        self.prototypes = PrototypeLearning(channels, layers, mlp_ratio) if layers else None
        self.aggregate = ConvBNAct(channels, out_channels, 1, act=nn.Hardswish)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> pixels (B, out, H/s, W/s) and prototypes (B, C, H/t, W/t)."""
        pixels = self.pixel_embed(x)
        prototypes = self.prototype_embed(pixels)
        if self.prototypes is None:
            return self.aggregate(self.descriptor(pixels + prototypes)), prototypes
        prototypes = self.prototypes(prototypes)
        pixels = self.descriptor(pixels)
        pixels = pixels + resize(prototypes, size_of(pixels), align_corners=True)
        return self.aggregate(pixels), prototypes


class AFFormer(nn.Module):
    """AFFormer without its classifier.

    The last stage's pixels are keyed by stride 8; those of the two before are the extras `stage1`
    and `stage2`.

    Args:
        widths: of the four stages. tiny (32, 64, 160, 216), small (32, 64, 176, 216), base
            (32, 96, 176, 216).
        layers: of the transformers in stages 1 to 3. tiny and small (2, 4, 2), base (2, 6, 2).
        mlp_ratio: hidden channels of their feed-forward for each channel.
        weights: a local file with the state dict of this encoder or the official ImageNet
            checkpoint, or None.

    Raises:
        UserError: widths that the heads do not divide, or the weights do not fit.
    """

    def __init__(
        self,
        widths: Sequence[int] = (32, 96, 176, 216),
        layers: Sequence[int] = (2, 6, 2),
        mlp_ratio: int = 2,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if len(widths) != 4 or len(layers) != 3:
            raise UserError(
                f"AFFormer has no widths {list(widths)} with layers {list(layers)}",
                "it has four widths (stages 0 to 3) and three numbers of layers (stages 1 to 3)",
            )
        if any(width % HEADS for width in widths):
            raise UserError(
                f"AFFormer cannot have the widths {list(widths)}",
                f"each must be a multiple of {HEADS}, the number of its heads",
            )
        first = widths[0]
        self.stem = nn.Sequential(
            ConvBNAct(3, first // 2, 3, 2, act=nn.Hardswish),
            ConvBNAct(first // 2, first, 3, 2, act=nn.Hardswish),
        )
        after = [*widths[1:], widths[3]]
        self.stages = nn.ModuleList(
            [
                AFFormerStage(width, following, strides, depth, mlp_ratio)
                for width, following, strides, depth in zip(
                    widths, after, _STRIDES, (0, *layers), strict=True
                )
            ]
        )
        self.spec = FeatureSpec(
            {4: after[0], 8: after[3], 16: widths[2], 32: widths[3]},
            {"stage1": (8, after[1]), "stage2": (8, after[2])},
        )
        # As published: any size, all sizes are matched by interpolation.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, "afformer")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {4: (B, C1, H/4, W/4), 8: (B, C3, H/8, W/8), 16: ..., 32: ...}."""
        x = self.stem(image)
        pixels, prototypes = [], []
        for stage in self.stages:
            x, prototype = stage(x)
            pixels.append(x)
            prototypes.append(prototype)
        return {
            4: pixels[0],
            "stage1": pixels[1],
            "stage2": pixels[2],
            8: pixels[3],
            16: prototypes[2],
            32: prototypes[3],
        }
