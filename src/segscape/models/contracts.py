"""What the parts of a segmentation network promise each other.

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
    """Which feature maps a part gives, known without running it.

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

    def require(self, strides: Iterable[int], needed_by: str) -> None:
        """Check that the strides exist.

        Args:
            strides: strides that `needed_by` reads.
            needed_by: the part that needs them, for the message.

        Raises:
            UserError: a stride is missing; names the missing and the available ones.
        """
        missing = [stride for stride in strides if stride not in self.channels]
        if missing:
            raise UserError(
                f"{needed_by} needs features at stride {_join(missing)}, "
                f"but the encoder gives strides {_join(self.strides)}.",
                "Choose an encoder that gives them (stdc1 and stdc2 give 2, 4, 8, 16, 32), "
                "or another decoder.",
            )

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
        raise UserError(f"There is no feature {key!r}; available: {available}.")


def _join(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in items)


@runtime_checkable
class Encoder(Protocol):
    """Image to features. Constructor: `Encoder(**choices)`.

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

    Attributes:
        requires: strides of the encoder that it reads.
        uses: subset of {"context", "fusion"}: what it does something with.
        spec: of its outputs.
        fusions: its fusions, apart so that they can be measured apart.
    """

    requires: tuple[int, ...]
    uses: frozenset[str]
    spec: FeatureSpec
    fusions: nn.ModuleList

    def __call__(self, features: Features, context: Tensor | None, /) -> dict[int, Tensor]:
        """From the encoder's features and the context to features by stride, finest first."""
        ...


class Head(Protocol):
    """Feature to logits. Constructor: `Head(in_channels, num_classes, **choices)`."""

    def __call__(self, x: Tensor, /) -> Tensor:
        """From (B, in_channels, h, w) to logits (B, num_classes, h, w)."""
        ...
