"""Parameters and multiply-adds of many designs, every part counted once.

A design is a choice of encoder, context, decoder, fusion and head. What a part costs depends on
the channels and sizes of its inputs only, so a grid of designs costs little more
than its parts: the encoder is counted once per image size, a context once per feature, a decoder
once per set of features, a fusion once per (low, high, out). The figures are those of
`complexity.measure` on the assembled network; a test compares the two on a random sample.

While a decoder is counted, stand-ins take the place of its fusions: they cost nothing, give what
the contract of a fusion requires, and record with which channels and sizes they were called.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from segscape import build
from segscape.errors import UserError
from segscape.models.contracts import FeatureSpec
from segscape.profiling.meta import made_on_meta
from segscape.profiling.shapes import count_macs

Size = tuple[int, int]
_Shape = tuple[int, ...]
Config = Mapping[str, Any]


@dataclass(frozen=True)
class PartCost:
    """What a part costs in its place in a design.

    Attributes:
        params: number of parameters.
        macs: multiply-adds of one forward pass.
    """

    params: int = 0
    macs: int = 0

    def __add__(self, other: PartCost) -> PartCost:
        return PartCost(self.params + other.params, self.macs + other.macs)


@dataclass(frozen=True)
class DesignCost:
    """What the inference graph of a design costs.

    Attributes:
        parts: encoder, context, decoder (without its fusions), fusion (all of them), head.
        input_size: height and width of the image, in pixels.
    """

    parts: Mapping[str, PartCost]
    input_size: Size

    @property
    def params(self) -> int:
        """Number of parameters, auxiliary heads left out."""
        return sum(cost.params for cost in self.parts.values())

    @property
    def macs(self) -> int:
        """Multiply-adds of one forward pass."""
        return sum(cost.macs for cost in self.parts.values())

    @property
    def flops(self) -> int:
        """Two per multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True)
class _Features:
    """What a part gave: its spec, and the shapes and types of its outputs."""

    cost: PartCost
    spec: FeatureSpec
    outputs: tuple[tuple[int | str, _Shape, torch.dtype], ...]
    fusions: tuple[_FusionCalls, ...] = ()
    branches: frozenset[str] = frozenset()  # extras that can be taken off

    def shape(self, key: int | str) -> _Shape:
        return next(shape for name, shape, _ in self.outputs if name == key)


@dataclass(frozen=True)
class _FusionCalls:
    """One fusion of a decoder: its channels, and the shapes of (low, high) of each call."""

    channels: tuple[int, int, int]
    calls: tuple[tuple[_Shape, _Shape], ...]


class DesignCosts:
    """Counts designs; every part is counted once and cached.

    Args:
        size: height and width of the image, in pixels.
        num_classes: channels of the logits.
    """

    def __init__(self, size: Size, num_classes: int) -> None:
        self.size = (int(size[0]), int(size[1]))
        self.num_classes = num_classes
        self._known: dict[tuple[Any, ...], Any] = {}

    def of(self, settings: Config) -> DesignCost:
        """The cost of a design.

        Args:
            settings: with the groups encoder, context, decoder, fusion and head, and `model` for
                its auxiliary heads (they cost nothing, but a branch of the encoder
                that one of them reads is kept) and of further outputs.

        Raises:
            UserError: parts that do not fit together, or cannot be built.
        """
        used = uses(settings["decoder"])
        features = self.encoder(settings["encoder"])
        unread = {*features.spec.extras} - _extras_read(settings)
        if unread & features.branches:
            features = self._pruned(settings["encoder"], features, unread & features.branches)
        model = settings.get("model") or {}
        outputs = self.num_classes + int(model.get("extra_outputs") or 0)
        context, shape = PartCost(), None
        if "context" in used:
            deepest = features.shape(features.spec.deepest)
            context, shape = self._context(settings["context"], deepest)
        decoded = self._decoder(settings["decoder"], features, shape, outputs)
        fusion = PartCost()
        for one in decoded.fusions:
            fusion += self._fusion(settings["fusion"], one)
        finest = decoded.shape(decoded.spec.strides[0])
        return DesignCost(
            {
                "encoder": features.cost,
                "context": context,
                "decoder": decoded.cost,
                "fusion": fusion,
                "head": self._head(settings["head"], finest, outputs),
            },
            self.size,
        )

    def part(self, group: str, settings: Config) -> PartCost:
        """The cost of the part of a group in a design, a decoder's with its fusions.

        Args:
            group: a group of parts, or "model" for the whole design.
            settings: as for `of`; for an encoder nothing else is read.

        Raises:
            UserError: parts that do not fit together, or the decoder does not use the part.
        """
        if group == "encoder":
            return self.encoder(settings["encoder"]).cost
        if group in ("context", "fusion") and group not in uses(settings["decoder"]):
            raise UserError(f"the decoder uses no {group}")
        design = self.of(settings)
        if group == "model":
            return PartCost(design.params, design.macs)
        cost = design.parts[group]
        return cost + design.parts["fusion"] if group == "decoder" else cost

    def encoder(self, node: Config) -> _Features:
        """The cost and the features of an encoder on its own."""
        return self._once(("encoder", _key(node)), lambda: self._count_encoder(node))

    def _pruned(self, node: Config, whole: _Features, unread: set[str]) -> _Features:
        """An encoder without the branches that no part reads. Its spec is that of the whole one,
        which is what a decoder is built with.
        """

        def count() -> _Features:
            return replace(self._count_encoder(node, unread), spec=whole.spec)

        found: _Features = self._once(("encoder", _key(node), *sorted(unread)), count)
        return found

    def _count_encoder(self, node: Config, unread: Iterable[str] = ()) -> _Features:
        encoder: Any = _on_meta(build.part({"encoder": node}, "encoder"))
        branches = frozenset(encoder.spec.extras if hasattr(encoder, "drop") else ())
        for name in unread:
            encoder.drop(name)
        height, width = (side + -side % encoder.multiple for side in self.size)
        outputs, cost = _count(encoder, _empty((1, 3, height, width)))
        return _Features(cost, encoder.spec, _described(outputs), branches=branches)

    def _context(self, node: Config, shape: _Shape) -> tuple[PartCost, _Shape | None]:
        def count() -> tuple[PartCost, _Shape]:
            context = _on_meta(build.part({"context": node}, "context"), shape[1])
            output, cost = _count(context, _empty(shape))
            return cost, tuple(output.shape)

        found: tuple[PartCost, _Shape] = self._once(("context", _key(node), shape), count)
        return found

    def _decoder(
        self, node: Config, features: _Features, context: _Shape | None, outputs: int
    ) -> _Features:
        spec = features.spec
        given = (tuple(spec.channels.items()), tuple(spec.extras.items()), features.outputs)
        key = ("decoder", _key(node), *given, context, outputs)
        return self._once(key, lambda: self._count_decoder(node, features, context, outputs))

    def _count_decoder(
        self, node: Config, features: _Features, context: _Shape | None, classes: int
    ) -> _Features:
        make = build.part({"decoder": node}, "decoder")
        counted = {"num_classes": classes} if takes_classes(make.func) else {}
        fusion = _StandIn if "fusion" in uses(node) else None
        channels = 0 if context is None else context[1]
        decoder: Any = _on_meta(make, features.spec, channels, fusion, **counted)
        # Indices of a pooling are whole numbers.
        inputs = {key: _empty(shape, dtype) for key, shape, dtype in features.outputs}
        outputs, cost = _count(decoder, inputs, None if context is None else _empty(context))
        stand_ins = [m for m in decoder.modules() if isinstance(m, _StandIn)]
        fusions = tuple(_FusionCalls(one.channels, tuple(one.calls)) for one in stand_ins)
        return _Features(cost, decoder.spec, _described(outputs), fusions)

    def _fusion(self, node: Config, one: _FusionCalls) -> PartCost:
        def count() -> PartCost:
            fusion = _on_meta(build.part({"fusion": node}, "fusion"), *one.channels)
            costs = [_count(fusion, _empty(low), _empty(high))[1] for low, high in one.calls]
            return PartCost(_params(fusion), sum(cost.macs for cost in costs))

        return self._once(("fusion", _key(node), one), count)

    def _head(self, node: Config, shape: _Shape, outputs: int) -> PartCost:
        def count() -> PartCost:
            head = _on_meta(build.part({"head": node}, "head"), shape[1], outputs)
            return _count(head, _empty(shape))[1]

        return self._once(("head", _key(node), shape, outputs), count)

    def _once(self, key: tuple[Any, ...], count: Callable[[], Any]) -> Any:
        """The cached result, or what `count` gives; an error is cached too."""
        if key not in self._known:
            try:
                self._known[key] = count()
            except UserError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, UserError):
            raise found
        return found


class _StandIn(nn.Module):
    """In the place of a fusion: costs nothing, notes its calls."""

    def __init__(self, low_channels: int, high_channels: int, out_channels: int) -> None:
        super().__init__()
        self.channels = (low_channels, high_channels, out_channels)
        self.calls: list[tuple[_Shape, _Shape]] = []

    def forward(self, low: Tensor, high: Tensor) -> Tensor:
        assert (low.shape[1], high.shape[1]) == self.channels[:2], (
            "channels differ from those announced"
        )
        self.calls.append((tuple(low.shape), tuple(high.shape)))
        return low.new_empty(low.shape[0], self.channels[2], *low.shape[2:])


#: What keeps the shape of its input and has no multiply-adds: not run at all while counting.
_SHAPELESS = frozenset(
    {
        *(nn.BatchNorm2d, nn.GroupNorm, nn.Dropout, nn.Dropout2d, nn.ReLU, nn.ReLU6, nn.PReLU),
        *(nn.LeakyReLU, nn.Sigmoid, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Softmax),
    }
)


def _on_meta(make: Callable[..., nn.Module], *arguments: Any, **named: Any) -> nn.Module:
    module = made_on_meta(lambda: make(*arguments, **named))
    for child in module.modules():
        if type(child) in _SHAPELESS:
            child.forward = _same  # type: ignore[method-assign]
    return module


def _same(x: Tensor) -> Tensor:
    return x


def _count(module: nn.Module, *inputs: Any) -> tuple[Any, PartCost]:
    try:
        output, macs = count_macs(lambda: module(*inputs))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{type(module).__name__} does not fit what it is given: {reason}"
        ) from error
    return output, PartCost(_params(module), macs)


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _empty(shape: _Shape, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(shape, device="meta", dtype=dtype)


def _described(
    outputs: Mapping[int | str, Tensor],
) -> tuple[tuple[int | str, _Shape, torch.dtype], ...]:
    return tuple((key, tuple(x.shape), x.dtype) for key, x in outputs.items())


def _key(node: Config) -> str:
    return json.dumps(node, sort_keys=True, default=str)


def _extras_read(settings: Config) -> set[str]:
    """Names of the encoder's extras that the decoder or an auxiliary head reads."""
    decoder: Any = build.part(settings, "decoder").func
    read = {*getattr(decoder, "extras", ()), *getattr(decoder, "optional_extras", ())}
    heads = build.auxiliary(settings).values() if settings.get("model") else ()
    return read | {head.reads.removeprefix("encoder_") for head in heads}


def uses(node: Config) -> frozenset[str]:
    """What a decoder does something with: subset of {"context", "fusion"}."""
    target = build.part({"decoder": node}, "decoder").func
    return getattr(target, "uses", frozenset())


def takes_classes(decoder: Any) -> bool:
    """Whether a decoder's class decodes class scores."""
    return "num_classes" in inspect.signature(decoder).parameters
