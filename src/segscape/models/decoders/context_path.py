"""The context path of BiSeNet, with one fusion at stride 8.

Papers: Yu et al., BiSeNet, ECCV 2018, arXiv 1808.00897; Fan et al., STDC-Seg, CVPR 2021,
arXiv 2104.13188. The context climbs from the deepest stride to 16, where the attention-refined
feature is added, and on to 8, where it meets the details: in BiSeNet those of a branch of its own
(the encoder's extra `detail`), in STDC-Seg the encoder's feature at stride 8.

Differences between the public implementations: the maps are enlarged by repetition as in
STDC-Seg and in CoinCheung's BiSeNet; the authors' BiSeNet interpolates bilinearly with aligned
corners. Auxiliary heads read the context after each step: stride 16 and `context8`, which is at
stride 8 before the fusion.

Size with ResNet-18, without the fusion: 607 232 parameters, 2.114 GMACs at 512x1024.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.models.contexts.arm import AttentionRefinement
from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import ConvBNAct, size_of


class ContextPath(nn.Module):
    """Context to stride 16, add, to stride 8, fuse with the details.

    Args:
        spec: of the encoder. Its extra `detail` at stride 8, if there is one, is what the context
            is fused with; otherwise its feature at stride 8 is.
        context_channels: channels of the context, at the encoder's deepest stride.
        fusion: makes the fusion from (low, high, out) channels.
        width: channels of the context on its way.
        out_channels: channels of the fusion's result.

    Raises:
        UserError: the encoder lacks a stride.
    """

    requires: tuple[int, ...] = (8, 16)
    optional_extras: tuple[str, ...] = ("detail",)
    uses: frozenset[str] = frozenset({"context", "fusion"})

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int,
        fusion: FusionFactory,
        width: int = 128,
        out_channels: int = 256,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder context_path")
        self.detail: int | str = "detail" if spec.extras.get("detail", (0, 0))[0] == 8 else 8
        self.to16 = ConvBNAct(context_channels, width, 3)
        self.refine16 = AttentionRefinement(spec.channels[16], width)
        self.to8 = ConvBNAct(width, width, 3)
        self.fusions = nn.ModuleList([fusion(spec.channels_of(self.detail), width, out_channels)])
        self.spec = FeatureSpec({8: out_channels, 16: width}, {"context8": (8, width)})

    def forward(self, features: Features, context: Tensor) -> Features:
        """Features and context (B, C, H/32, W/32) -> {8: ..., 16: ..., "context8": ...}.

        Widths: 8 `out_channels`, 16 and `context8` `width`.
        """
        low = features[self.detail]
        x16 = self.to16(_enlarge(context, size_of(features[16])))
        x8 = self.to8(_enlarge(x16 + self.refine16(features[16]), size_of(low)))
        return {8: self.fusions[0](low, x8), 16: x16, "context8": x8}


def _enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    return x if size_of(x) == size else F.interpolate(x, size=size, mode="nearest")
