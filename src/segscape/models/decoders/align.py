"""The decoder of AlignSeg: from the finest level down, every deeper level is brought to stride 4.

Paper: Huang et al., AlignSeg: Feature-Aligned Segmentation Networks, TPAMI 2021, arXiv
2003.00872, as in speedinghzl/AlignSeg. Other pyramids go from deep to shallow; this one starts at
stride 4 and stays there, so every fusion runs at full size. Published with `fusion=align_fa`,
which differs from `align_fa_corrected` in its warp. Normalisation layers end in a leaky ReLU (the
default of InPlaceABN, which the code relies on), those of the encoder in a ReLU.

Size at 256 channels over ResNet-50, without context and fusions: 3 970 688 parameters, 65.178
GMACs at 512x1024 (height x width). AlignSeg with ResNet-50 as a whole has 47 258 707 and 184.689.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import ConvBNAct, init_conv

_STRIDES = (4, 8, 16, 32)


class Refinement(nn.Module):
    """The residual refinement block, RRB: a 1x1 convolution and a narrow residual branch.

    Args:
        in_channels: channels of the input.
        width: channels of the output; the branch has a quarter inside.
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        quarter = max(width // 4, 1)
        self.unify = nn.Conv2d(in_channels, width, 1, bias=False)
        self.narrow = ConvBNAct(width, quarter, 3, act=nn.LeakyReLU(0.01, inplace=True))
        self.widen = nn.Conv2d(quarter, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.act = nn.LeakyReLU(0.01, inplace=True)
        init_conv(self.unify)
        init_conv(self.widen)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, width, H, W)."""
        x = self.unify(x)
        return self.act(self.norm(x + self.widen(self.narrow(x))))


class Align(nn.Module):
    """Refine each level, fuse it into the map at stride 4, refine again; the context comes last.

    Outputs: stride 4 is the last map; the extras `merged8`, `merged16` and `merged32` are the maps
    after the level of that stride, all of the size of stride 4. AlignSeg's auxiliary head reads
    `merged16`.

    Args:
        spec: of the encoder.
        context_channels: channels of the context.
        fusion: makes the fusion of one step from (low, high, out) channels.
        width: channels throughout.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = _STRIDES
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        width: int = 256,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder align")
        self.spec = FeatureSpec({4: width}, {f"merged{s}": (4, width) for s in _STRIDES[1:]})
        channels = [*(spec.channels[stride] for stride in _STRIDES), context_channels]
        self.inputs = nn.ModuleList([Refinement(c, width) for c in channels])
        self.fusions = nn.ModuleList([fusion(width, width, width) for _ in channels[1:]])
        self.outputs = nn.ModuleList([Refinement(width, width) for _ in channels[1:]])

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features by stride, context (B, C, h, w) -> {4: (B, width, H/4, W/4), extras: ...}."""
        first, *levels = [*(features[stride] for stride in _STRIDES), context]
        merged = self.inputs[0](first)
        steps = []
        for index, level in enumerate(levels):
            fused = self.fusions[index](merged, self.inputs[index + 1](level))
            merged = self.outputs[index](fused)
            steps.append(merged)
        return {4: merged, "merged8": steps[0], "merged16": steps[1], "merged32": steps[2]}
