"""ENet's decoder: two bottlenecks that unpool, each with regular ones behind it.

Paper: Paszke et al., ENet, arXiv 1606.02147; as in davidtvs/PyTorch-ENet. Where that differs from
the authors' Lua code: the transposed convolution inside is 2x2 (theirs 3x3) and has no bias, and
there is a dropout.

Widths follow from the encoder's indices, so that any encoder with `pool_4` and `pool_8` will do
(`encoder=enet`, `encoder=vgg16_bn`). See `decoders.unpool` about max-unpooling and export.

Size under ENet's encoder: 31 680 parameters, 0.656 GMACs at 512x1024 (height x width).
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.decoders.unpool import unpool
from segscape.models.encoders.enet import Bottleneck, conv_norm
from segscape.models.layers import size_of


class UpBottleneck(nn.Module):
    """A bottleneck with a transposed convolution beside a max-unpooling.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output and of the indices.
        dropout: probability that a channel of the branch is dropped.
    """

    def __init__(self, in_channels: int, out_channels: int, dropout: float) -> None:
        super().__init__()
        inner = max(in_channels // 4, 1)
        self.main = conv_norm(in_channels, out_channels, act=None)
        self.reduce = conv_norm(in_channels, inner, act=nn.ReLU)
        self.up = nn.ConvTranspose2d(inner, inner, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(inner)
        self.inner_act = nn.ReLU()
        self.expand = conv_norm(inner, out_channels, act=None)
        self.dropout = nn.Dropout2d(dropout)
        self.act = nn.ReLU()

    def forward(self, x: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
        """(B, in, h, w) and indices (B, out, h, w) -> (B, out, *size), twice as large."""
        height, width = size
        main = unpool(self.main(x), indices, size)
        # A map of odd size was pooled to one half, rounded up.
        branch = self.up(self.reduce(x))[:, :, :height, :width]
        branch = self.dropout(self.expand(self.inner_act(self.norm(branch))))
        return self.act(main + branch)


class UnpoolENet(nn.Module):
    """From stride 8 over 4 to 2; the last doubling is the head's (`head=enet`).

    Args:
        spec: of the encoder; with the extras `pool_4` and `pool_8`.
        context_channels: not used.
        fusion: not used.
        dropout: probability that a channel of a branch is dropped.

    Raises:
        UserError: the encoder lacks a stride or the indices.
    """

    requires: tuple[int, ...] = (2, 4, 8)
    extras: tuple[str, ...] = ("pool_4", "pool_8")
    uses: frozenset[str] = frozenset()

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int = 0,
        fusion: FusionFactory | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        spec.require(self.requires, "decoder unpool_enet", self.extras)
        half, quarter = (spec.channels_of(name) for name in self.extras)
        self.spec = FeatureSpec({2: half, 4: quarter})
        self.up4 = UpBottleneck(spec.channels[8], quarter, dropout)
        self.stage4 = nn.Sequential(
            *(Bottleneck(quarter, dropout=dropout, act=nn.ReLU) for _ in range(2))
        )
        self.up5 = UpBottleneck(quarter, half, dropout)
        self.stage5 = nn.Sequential(Bottleneck(half, dropout=dropout, act=nn.ReLU))
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor | None = None) -> Features:
        """Features and indices -> {2: (B, C, H/2, W/2), 4: (B, C, H/4, W/4)}."""
        x = self.up4(features[8], features["pool_8"], size_of(features[4]))
        quarter = self.stage4(x)
        x = self.up5(quarter, features["pool_4"], size_of(features[2]))
        return {2: self.stage5(x), 4: quarter}
