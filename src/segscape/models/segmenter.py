"""The network: encoder, context, decoder with its fusions, head, auxiliary heads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.errors import UserError, choice
from segscape.models.contracts import Context, Decoder, Encoder, Features, FusionFactory
from segscape.models.layers import resize, size_of

Colour = tuple[int, int, int]


class Segmenter(nn.Module):
    """A segmentation network for images of any size.

    Use `assemble` to build one from parts.

    Args:
        encoder: image to features.
        context: deepest feature to context, or None when the decoder uses none.
        decoder: features and context to finer features.
        head: finest feature of the decoder to logits.
        auxiliary: further heads for training by name: `decoder_<stride>`, `encoder_<stride>`, or
            with the name of an extra for the stride. They do not exist for evaluation.
        reads: which feature an auxiliary head reads, where it differs from the name.
        num_classes: number of classes.
        extra_outputs: logits after those of the classes, for pixels of none of them. Published
            weights have one where they were trained with void as one more class; where it wins,
            the pixel is predicted to be of no class. Only for scoring and prediction.
        mean: per channel, of RGB in 0..1.
        std: per channel, of RGB in 0..1.
        channel_order: "rgb" or "bgr", in which the network takes its images. mean and std are
            given in the order RGB for both.
        align_corners: how the logits are resized to the image.
        classes: names, in the order of the logits.
        palette: RGB colours 0..255, in the same order.
        name: of the network, for reports.

    Raises:
        UserError: as many class names as classes are needed, or none.
    """

    offset: Tensor
    factor: Tensor

    def __init__(
        self,
        encoder: Encoder,
        context: Context | None,
        decoder: Decoder,
        head: nn.Module,
        auxiliary: Mapping[str, nn.Module],
        *,
        num_classes: int,
        extra_outputs: int = 0,
        reads: Mapping[str, str] | None = None,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        channel_order: str = "rgb",
        align_corners: bool = False,
        classes: Sequence[str] = (),
        palette: Sequence[Colour] = (),
        name: str = "",
    ) -> None:
        super().__init__()
        if classes and len(classes) != num_classes:
            raise UserError(f"{len(classes)} class names for num_classes={num_classes}")
        choice("channel_order", channel_order, ("rgb", "bgr"))
        self.encoder = encoder
        self.context = context
        self.decoder = decoder
        self.head = head
        self.auxiliary = nn.ModuleDict(dict(auxiliary))
        self.reads = {name: (reads or {}).get(name, name) for name in auxiliary}
        self.num_classes = num_classes
        self.extra_outputs = extra_outputs
        self.align_corners = align_corners
        self.channel_order = channel_order
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)
        self.classes = tuple(classes)
        self.palette = tuple((int(r), int(g), int(b)) for r, g, b in palette)
        self.name = name
        # Not persistent: checkpoints carry mean and std as plain numbers beside the weights.
        shape = (1, 3, 1, 1)
        offset = torch.tensor([value * 255 for value in self.mean]).view(shape)
        factor = torch.tensor([1 / (value * 255) for value in self.std]).view(shape)
        self.register_buffer("offset", offset, persistent=False)
        self.register_buffer("factor", factor, persistent=False)

    def normalize(self, images: Tensor) -> Tensor:
        """Images as read to what `forward` takes, in the same memory format.

        Args:
            images: uint8 (B, 3, H, W), RGB 0..255.

        Returns:
            Float (B, 3, H, W), `(images - 255 mean) / (255 std)`, in `channel_order`.
        """
        # uint8 minus float converts and subtracts in one pass; the result can be scaled in place.
        normal = torch.sub(images, self.offset).mul_(self.factor)
        if self.channel_order == "rgb":
            return normal
        # flip() would lay the copy out planar.
        last = normal.is_contiguous(memory_format=torch.channels_last)
        order = torch.channels_last if last else torch.contiguous_format
        return normal.flip(1).contiguous(memory_format=order)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """Logits at the size of the image.

        Args:
            x: normalised images (B, 3, H, W) of any size. Padded with zeros at the right and the
                bottom to `encoder.multiple`; the logits are cropped back.

        Returns:
            In evaluation the logits (B, classes, H, W); in training those of all heads by name,
            `main` and the auxiliary ones, each (B, classes, H, W). `extra_outputs` come last.
        """
        height, width = size_of(x)
        padded = self._pad(x)
        full = {
            name: resize(y, size_of(padded), self.align_corners)[:, :, :height, :width]
            for name, y in self.raw(padded, auxiliary=self.training).items()
        }
        return full if self.training else full["main"]

    def raw(self, x: Tensor, auxiliary: bool = False) -> dict[str, Tensor]:
        """Logits as the heads give them, before they are resized to the image.

        Args:
            x: normalised images (B, 3, H, W), sides multiples of `encoder.multiple`.
            auxiliary: with those of the auxiliary heads.

        Returns:
            By name, `main` first, each (B, maps, h, w) with sizes of their own.
        """
        features = self.encoder(x)
        deepest = features[self.encoder.spec.deepest]
        context = None if self.context is None else self.context(deepest)
        decoded = self.decoder(features, context)
        logits = {"main": self.head(decoded[self.decoder.spec.strides[0]])}
        if auxiliary:
            for name, head in self.auxiliary.items():
                logits[name] = head(_feature(self.reads[name], features, decoded))
        return logits

    def _pad(self, x: Tensor) -> Tensor:
        multiple = self.encoder.multiple
        bottom, right = -x.shape[2] % multiple, -x.shape[3] % multiple
        return F.pad(x, (0, right, 0, bottom)) if bottom or right else x

    def parts(self) -> dict[str, list[nn.Module]]:
        """Modules by part: encoder, context, decoder, fusion, head.

        The parts do not overlap: `decoder` is the decoder without its fusions. The auxiliary
        heads belong to none of them.
        """
        fusions = list(self.decoder.fusions)
        decoder = [
            child for name, child in _module(self.decoder).named_children() if name != "fusions"
        ]
        return {
            "encoder": [_module(self.encoder)],
            "context": [] if self.context is None else [_module(self.context)],
            "decoder": decoder,
            "fusion": fusions,
            "head": [self.head],
        }

    def strip_auxiliary(self) -> Self:
        """Remove the auxiliary heads and return self: what is measured and exported."""
        self.auxiliary = nn.ModuleDict()
        return self


def assemble(
    encoder: Encoder,
    context: Callable[..., Any] | None,
    decoder: Callable[..., Any],
    fusion: FusionFactory | None,
    head: Callable[..., Any],
    *,
    num_classes: int,
    extra_outputs: int = 0,
    auxiliary: Mapping[str, Callable[..., Any] | None] | Sequence[str] = (
        "decoder_16",
        "decoder_32",
    ),
    reads: Mapping[str, str] | None = None,
    network_class: type[Segmenter] = Segmenter,
    **about: Any,
) -> Segmenter:
    """Build a network from parts, giving each the channels of its inputs.

    Args:
        encoder: a module.
        context: called with the channels of the encoder's deepest feature; None for a decoder
            that uses none.
        decoder: called with the encoder's spec, the channels of the context and `fusion`, and
            with `num_classes` if it takes that.
        fusion: called by the decoder with (low, high, out) channels; None for a decoder that
            uses none.
        head: called with the channels of a feature and the number of classes, once for the
            network and once for each auxiliary head.
        num_classes: number of classes.
        extra_outputs: logits for pixels of none of them, see `Segmenter`.
        auxiliary: names of the auxiliary heads, see `Segmenter`; as a mapping with what makes
            the head, None for the same as `head`.
        reads: which feature an auxiliary head reads, where it differs from the name.
        network_class: the class of the network: `Segmenter` or one derived from it.
        **about: `mean`, `std`, `channel_order`, `align_corners`, `classes`, `palette` and `name`
            of `Segmenter`.

    Raises:
        UserError: the parts do not fit together; which ones, and what would fit.
    """
    _check_uses(decoder, context=context, fusion=fusion)
    spec = encoder.spec
    context_module = None if context is None else context(spec.channels[spec.deepest])
    context_channels = 0 if context_module is None else context_module.out_channels
    outputs = num_classes + extra_outputs
    counted = {"num_classes": outputs} if _takes_classes(decoder) else {}
    decoder_module = decoder(spec, context_channels, fusion, **counted)
    finest = decoder_module.spec.strides[0]
    made = auxiliary if isinstance(auxiliary, Mapping) else dict.fromkeys(auxiliary)
    _drop_unread(encoder, decoder, [(reads or {}).get(name, name) for name in made])
    return network_class(
        encoder,
        context_module,
        decoder_module,
        head(decoder_module.spec.channels[finest], outputs),
        {
            name: (make or head)(
                auxiliary_channels((reads or {}).get(name, name), encoder, decoder_module), outputs
            )
            for name, make in made.items()
        },
        num_classes=num_classes,
        extra_outputs=extra_outputs,
        reads=reads,
        **about,
    )


def _class_of(factory: Callable[..., Any]) -> Any:
    """The class inside a functools.partial."""
    return getattr(factory, "func", factory)


def _takes_classes(decoder: Callable[..., Any]) -> bool:
    return "num_classes" in inspect.signature(_class_of(decoder)).parameters


def _drop_unread(encoder: Encoder, decoder: Callable[..., Any], heads: Sequence[str]) -> None:
    """Remove branches of the encoder that no part reads: they would cost and never be trained."""
    drop = getattr(encoder, "drop", None)
    if drop is None:
        return
    kind = _class_of(decoder)
    read = {*getattr(kind, "extras", ()), *getattr(kind, "optional_extras", ())}
    for name in set(encoder.spec.extras) - read:
        if f"encoder_{name}" not in heads:
            drop(name)


def _check_uses(decoder: Callable[..., Any], **parts: object) -> None:
    """A part that the decoder needs must be there, one that it ignores must not."""
    kind = _class_of(decoder)
    for part, given in parts.items():
        used = part in kind.uses
        if used and given is None:
            raise UserError(f"decoder {kind.__name__} needs a {part}, none was given")
        if not used and given is not None:
            raise UserError(
                f"decoder {kind.__name__} uses no {part}, so the one chosen would have no effect",
                f"leave out {part}=..., or choose a decoder that uses one (decoder=fld)",
            )


def _source(auxiliary: str) -> tuple[str, int | str]:
    """Split `decoder_16` into the part and the key of its feature."""
    part, _, key = auxiliary.partition("_")
    if part not in ("encoder", "decoder") or not key:
        raise UserError(
            f"unknown feature {auxiliary!r} of an auxiliary head",
            "features are decoder_<stride> or encoder_<stride>, for example decoder_16",
        )
    return part, int(key) if key.isdigit() else key


def auxiliary_channels(auxiliary: str, encoder: Encoder, decoder: Decoder) -> int:
    """Channels of the feature that an auxiliary head reads, e.g. `decoder_16`.

    Raises:
        UserError: neither encoder nor decoder has it.
    """
    part, key = _source(auxiliary)
    spec = encoder.spec if part == "encoder" else decoder.spec
    try:
        return spec.channels_of(key)
    except UserError as error:
        raise UserError(
            f"auxiliary head {auxiliary!r}: {error.what}",
            "with other parts than the system's own, leave the heads out (model.auxiliary=null) or "
            f"exchange this one: model.auxiliary.{auxiliary}=0 "
            f"++model.auxiliary.{part}_{spec.strides[-1]}=0.4",
        ) from error


def _feature(auxiliary: str, features: Features, decoded: Mapping[Any, Tensor]) -> Tensor:
    part, key = _source(auxiliary)
    return features[key] if part == "encoder" else decoded[key]


def _module(part: object) -> nn.Module:
    assert isinstance(part, nn.Module), f"{type(part).__name__} is not a torch module"
    return part
