"""Any decoder of segmentation-models-pytorch, on any encoder.

segmentation-models-pytorch (Iakubovskii) builds its decoders with its own encoders; here they read
any encoder. Their layers, widths and initialisation are those of its models, the head is not: smp
puts a bare convolution behind most of them, which is `head=conv1x1` where its kernel is 1x1.

Differences: smp reads the encoder to stride 32, or 16 with dilated layers; here the encoder's
deepest stride decides (to 32), and U-Nets drop their deepest levels with it. A stride 2 that the
encoder does not give is left out, as smp does for its transformers. DPT gets a pyramid instead of
the tokens of a plain transformer. The decoders double sizes, so features of an odd image are
continued at the right and the bottom until they match, and the result is cropped back.

Size behind ResNet-18 at 512x1024 (height x width), without head: Unet 3 151 552 parameters and
24.159 GMACs, DeepLabV3Plus 1 152 528 and 3.219.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from segscape.errors import unknown
from segscape.models.contracts import Features, FeatureSpec, FusionFactory
from segscape.models.layers import size_of

_DEEPEST = 32
"""The coarsest stride of the decoders that read a pyramid."""

_UNET_WIDTHS = (256, 128, 64, 32, 16)
"""Of U-Nets at strides 16 to 1."""

_DPT_WIDTHS = (256, 512, 1024, 1024)
"""Of DPT at strides 4 to 32."""

_PAN_SIDE = 8
"""What the attention of PAN halves three times."""


@dataclass(frozen=True)
class _Kind:
    """What a decoder reads and gives.

    Attributes:
        make: builds it from the channels at strides 1, 2, 4, ...; 0 where it reads nothing.
        stride: of its output; None for that of the deepest feature.
        channels: of its output.
        reads: "pyramid" (all strides from 4 on), "ends" (4 and the deepest) or "deepest".
        least: the deepest stride may not be finer than this.
    """

    make: Callable[[list[int]], nn.Module]
    stride: int | None
    channels: int
    reads: str = "pyramid"
    least: int = 8

    def strides(self, spec: FeatureSpec) -> tuple[int, ...]:
        """What it requires of an encoder with these features."""
        if self.reads == "deepest":
            return (spec.deepest,)
        if self.reads == "ends":
            return (4, max(spec.deepest, self.least))
        deepest = min(max(spec.deepest, self.least), _DEEPEST)
        return tuple(stride for stride in (4, 8, 16, 32) if stride < 2 * deepest)


class SmpDecoder(nn.Module):
    """A decoder of segmentation-models-pytorch.

    Which strides it reads depends on its name: PSPNet and DeepLabV3 only the encoder's deepest
    (they are meant for a dilated encoder), DeepLabV3Plus that and 4, FPN 4 to 32, the others 4 to
    the deepest.

    Args:
        spec: of the encoder.
        context_channels: not used.
        fusion: not used.
        name: of smp's model: Unet, UnetPlusPlus, MAnet, Linknet, FPN, PSPNet, DeepLabV3,
            DeepLabV3Plus, PAN, UPerNet, Segformer or DPT.

    Raises:
        UserError: an unknown name, or the encoder lacks a stride.
    """

    requires: tuple[int, ...] = ()
    uses: frozenset[str] = frozenset()

    def __init__(
        self,
        spec: FeatureSpec,
        context_channels: int = 0,
        fusion: FusionFactory | None = None,
        name: str = "Unet",
    ) -> None:
        super().__init__()
        if name not in _KINDS:
            raise unknown(f"decoder smp does not know {name!r}", name, _KINDS)
        from segmentation_models_pytorch.base.initialization import initialize_decoder

        kind = _KINDS[name]
        self.requires = kind.strides(spec)
        spec.require(self.requires, f"decoder smp ({name})")
        # Stride 2 is read where there is one; smp's own transformers do not have it either.
        optional = (2,) if kind.reads == "pyramid" and 2 in spec.channels else ()
        self._reads = (*optional, *self.requires)
        deepest = self.requires[-1]
        powers = [2**level for level in range(deepest.bit_length()) if 2**level < deepest]
        self._levels = [deepest] if kind.reads == "deepest" else [*powers, deepest]
        self.body = kind.make([spec.channels[s] if s in self._reads else 0 for s in self._levels])
        initialize_decoder(self.body)
        self.spec = FeatureSpec({kind.stride or deepest: kind.channels})
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor | None = None) -> Features:
        """Features by stride -> {stride: (B, C, H/stride, W/stride)}.

        Where the stride is finer than those that are read, the size is a multiple of the finest
        of them.
        """
        (stride,) = self.spec.strides
        x = self.body(self._matching(features))
        nearby = stride if stride in self._reads else self._reads[0]
        height, width = size_of(features[nearby])
        return {stride: x[:, :, : height * nearby // stride, : width * nearby // stride]}

    def _matching(self, features: Features) -> list[Tensor]:
        """What smp's decoders take: features whose sizes double exactly, one for every level.

        Features that are not read are empty, as smp's own transformers give them.
        """
        deepest = self._levels[-1]
        sizes = [(s, size_of(features[s])) for s in self._reads]
        rows = max(-(-height * s // deepest) for s, (height, _) in sizes)
        columns = max(-(-width * s // deepest) for s, (_, width) in sizes)
        some = features[deepest]
        found = []
        for stride in self._levels:
            size = (rows * deepest // stride, columns * deepest // stride)
            read = stride in self._reads
            empty = some.new_empty((some.shape[0], 0, *size))
            found.append(_continued(features[stride], size) if read else empty)
        return found


def _continued(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, h, w) with the last row and column repeated to `size`."""
    bottom, right = size[0] - x.shape[2], size[1] - x.shape[3]
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


class _AtLeast(nn.Module):
    """A module that needs a map of some size, on maps of any size.

    Args:
        body: keeps the size of its input.
        side: the least height and width.
    """

    def __init__(self, body: nn.Module, side: int) -> None:
        super().__init__()
        self.body = body
        self.side = side

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, out, h, w)."""
        height, width = size_of(x)
        size = (max(height, self.side), max(width, self.side))
        return self.body(_continued(x, size))[:, :, :height, :width]


class _PyramidDPT(nn.Module):
    """DPT on features that have the sizes already which it would bring tokens to.

    Args:
        channels: at strides 4, 8, ...
    """

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        from segmentation_models_pytorch.decoders.dpt.decoder import DPTDecoder

        count = len(channels)
        self.body = DPTDecoder(
            encoder_out_channels=channels,
            encoder_output_strides=[2 ** (level + 2) for level in range(count)],
            encoder_has_prefix_tokens=False,
            readout="ignore",
            intermediate_channels=_DPT_WIDTHS[:count],
            fusion_channels=256,
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features at strides 1, 2, 4, ... -> (B, 256, H/2, W/2)."""
        pyramid = features[2:]
        return self.body(pyramid, [None] * len(pyramid))


Make = Callable[[list[int]], nn.Module]


def _decoder(file: str, name: str, depth: str = "encoder_depth", **settings: Any) -> Make:
    """What makes a decoder of smp from the channels at strides 1, 2, 4, ...

    Args:
        file: of smp's decoders.
        name: of the class in it.
        depth: what it calls the number of levels; empty where it takes none.
        **settings: further arguments.
    """

    def make(channels: list[int]) -> nn.Module:
        module = import_module(f"segmentation_models_pytorch.decoders.{file}.decoder")
        levels = {depth: len(channels) - 1} if depth else {}
        made: nn.Module = getattr(module, name)(channels, **levels, **settings)
        return made

    return make


def _unet(file: str, name: str) -> Make:
    def make(channels: list[int]) -> nn.Module:
        widths = list(_UNET_WIDTHS[1 - len(channels) :])
        return _decoder(file, name, "n_blocks", decoder_channels=widths)(channels)

    return make


def _deeplabv3(channels: list[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3Decoder

    return DeepLabV3Decoder(
        channels[-1], 256, atrous_rates=(12, 24, 36), aspp_separable=False, aspp_dropout=0.5
    )


def _deeplabv3plus(channels: list[int]) -> nn.Module:
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder

    depth = len(channels) - 1
    decoder = DeepLabV3PlusDecoder(
        channels,
        encoder_depth=depth,
        out_channels=256,
        atrous_rates=(12, 24, 36),
        output_stride=16,
        aspp_separable=True,
        aspp_dropout=0.5,
    )
    # From any deepest stride to 4; smp has 16 and 8.
    decoder.up = nn.Upsample(scale_factor=2 ** (depth - 2), mode="bilinear", align_corners=True)
    return decoder


def _pan(channels: list[int]) -> nn.Module:
    decoder: Any = _decoder("pan", "PANDecoder", decoder_channels=32)(channels)
    decoder.fpa = _AtLeast(decoder.fpa, _PAN_SIDE)
    return decoder


_KINDS = {
    "Unet": _Kind(_unet("unet", "UnetDecoder"), 1, 16),
    "UnetPlusPlus": _Kind(_unet("unetplusplus", "UnetPlusPlusDecoder"), 1, 16),
    "MAnet": _Kind(_unet("manet", "MAnetDecoder"), 1, 16),
    "Linknet": _Kind(_decoder("linknet", "LinknetDecoder", "n_blocks"), 1, 32),
    "FPN": _Kind(_decoder("fpn", "FPNDecoder"), 4, 128, least=32),
    "PSPNet": _Kind(_decoder("pspnet", "PSPDecoder", ""), None, 512, "deepest"),
    "DeepLabV3": _Kind(_deeplabv3, None, 256, "deepest"),
    "DeepLabV3Plus": _Kind(_deeplabv3plus, 4, 256, "ends"),
    "PAN": _Kind(_pan, 4, 32),
    "UPerNet": _Kind(_decoder("upernet", "UPerNetDecoder"), 4, 256),
    "Segformer": _Kind(_decoder("segformer", "SegformerDecoder"), 4, 256),
    "DPT": _Kind(lambda channels: _PyramidDPT(channels[2:]), 2, 256),
}
"""By the names of smp's models."""
