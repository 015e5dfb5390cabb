"""The interfaces of the parts of a segmentation network.

A network is `encoder -> context -> decoder (with a fusion) -> head`. Every part is an ordinary
`torch.nn.Module` whose constructor takes the channel counts it needs first and its own choices
after them; nothing here has to be inherited from. The shapes below write `H/8` for "height at
stride 8".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from segscape.errors import UserError

Features = dict[int | str, Tensor]


@dataclass(frozen=True)
class FeatureSpec:
    """Which feature maps a part gives, available without running it.

    Attributes:
        channels: channels by stride, e.g. `{8: 256, 16: 512, 32: 1024}`.
        extras: named further outputs as `(stride, channels)`, e.g. `{"detail": (8, 128)}`.
    """

    channels: Mapping[int, int]
    extras: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.channels, "a part without any output"
        object.__setattr__(self, "channels", dict(sorted(self.channels.items())))
        object.__setattr__(self, "extras", dict(self.extras))

    @property
    def strides(self) -> tuple[int, ...]:
        """All strides, finest first."""
        return tuple(self.channels)

    @property
    def deepest(self) -> int:
        """The largest stride: inputs are padded to a multiple of it."""
        return self.strides[-1]

    def require(self, strides: Iterable[int], needed_by: str, extras: Iterable[str] = ()) -> None:
        """Check that features exist.

        Args:
            strides: strides that `needed_by` reads.
            needed_by: the part that needs them, for the message.
            extras: names of further outputs that it reads.

        Raises:
            MissingFeatures: something is missing; names the missing and the available ones.
        """
        missing: list[int | str] = [s for s in strides if s not in self.channels]
        missing += [name for name in extras if name not in self.extras]
        if missing:
            raise MissingFeatures(needed_by, missing, [*self.strides, *self.extras])

    def channels_of(self, key: int | str) -> int:
        """Channels of one output.

        Args:
            key: a stride, or the name of an extra.

        Raises:
            UserError: there is no such output.
        """
        if key in self.channels:
            return self.channels[key]  # type: ignore[index]
        if key in self.extras:
            return self.extras[key][1]  # type: ignore[index]
        available = _join([*self.strides, *self.extras])
        raise UserError(f"there is no feature {key!r}; available: {available}")


class MissingFeatures(UserError):
    """A decoder needs features that the encoder does not give.

    Args:
        needed_by: the part that needs them.
        missing: strides and names of extras.
        available: what the encoder gives.
        choices: encoders that would do, where they are known.
    """

    def __init__(
        self,
        needed_by: str,
        missing: Iterable[int | str],
        available: Iterable[int | str],
        choices: Iterable[str] = (),
    ) -> None:
        self.needed_by = needed_by
        self.missing = tuple(missing)
        self.available = tuple(available)
        words = [f"stride {s}" if isinstance(s, int) else repr(s) for s in self.missing]
        given = [f"stride {s}" if isinstance(s, int) else repr(s) for s in self.available]
        would = f"encoders that would do: {_join(choices)}; or " if choices else ""
        super().__init__(
            f"{needed_by} needs features at {_join(words)}, but the encoder gives {_join(given)}",
            f"{would}choose another decoder (segscape list decoder)",
        )


def _join(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)


@runtime_checkable
class Encoder(Protocol):
    """Image to features. Constructor: `Encoder(**choices)`.

    An encoder with a branch of its own for an extra has a method `drop(name)` that takes the branch
    off; it is called when neither the decoder nor an auxiliary head reads the extra.

    Attributes:
        spec: of the features.
        multiple: images are padded to a multiple of this side length, pixels; 1 for an encoder
            that takes any size and whose feature at stride s has `ceil(side / s)` rows.
    """

    spec: FeatureSpec
    multiple: int

    def __call__(self, image: Tensor, /) -> Features:
        """From a normalised image (B, 3, H, W) to features keyed like `spec`."""
        ...


@runtime_checkable
class Context(Protocol):
    """Wide context on the deepest feature. Constructor: `Context(in_channels, **choices)`."""

    out_channels: int

    def __call__(self, x: Tensor, /) -> Tensor:
        """From (B, in_channels, h, w) to (B, out_channels, h, w)."""
        ...


class Fusion(Protocol):
    """Two levels into one. Constructor: `Fusion(low_channels, high_channels, out_channels)`.

    low = finer and shallower, high = coarser and deeper. Any ratio of sizes, 1 included.
    """

    def __call__(self, low: Tensor, high: Tensor, /) -> Tensor:
        """From low (B, low, H, W) and high (B, high, h, w) to (B, out, H, W)."""
        ...


class FusionFactory(Protocol):
    """Makes a fusion once the channels are known."""

    def __call__(self, low_channels: int, high_channels: int, out_channels: int, /) -> nn.Module:
        """Build the fusion of one level."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Features to finer features.

    Constructor: `Decoder(spec, context_channels, fusion, **choices)`, where `fusion` is a
    `FusionFactory`.

    Some networks of the literature (FCN, ESPNet) decode maps of class scores instead of features.
    Such a decoder takes a further argument `num_classes`, and its head is `scores`.

    Attributes:
        requires: strides of the encoder that it reads. Further outputs that it cannot do without
            are named in an attribute `extras`, a tuple of names, where there are any, and those
            that it reads where they are given in `optional_extras`.
        uses: subset of {"context", "fusion"}: what it does something with.
        spec: of its outputs. The main head reads the finest stride; auxiliary heads may read any
            stride or extra.
        fusions: its fusions, apart so that they can be measured apart.
    """

    requires: tuple[int, ...]
    uses: frozenset[str]
    spec: FeatureSpec
    fusions: nn.ModuleList

    def __call__(self, features: Features, context: Tensor | None, /) -> Features:
        """From the encoder's features and the context to features keyed like `spec`."""
        ...


class Head(Protocol):
    """Feature to logits. Constructor: `Head(in_channels, num_classes, **choices)`.

    A head may give its logits at a multiple of the feature's size (ENet's last layer does).
    """

    def __call__(self, x: Tensor, /) -> Tensor:
        """From (B, in_channels, h, w) to logits (B, num_classes, h, w) or finer ones."""
        ...
