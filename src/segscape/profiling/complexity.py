"""Parameters, multiply-adds and FLOPs of the inference graph, counted part by part.

The graph runs once on meta tensors: shapes flow through every operator, nothing is computed and no
weight is copied, so the count costs the same at any image size. One multiply-add (MAC) is one
multiplication and the addition that takes its product; FLOPs are 2 x MACs of the operators that
have a formula (convolutions, matrix products, attention). Everything else that computes, such as
normalisation, activations, pooling and resizing, is not in the figure and is listed by name.
Most papers on real-time segmentation print MACs and call them FLOPs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from segscape.errors import UserError
from segscape.profiling.inference_copy import inference_copy

#: Where operators go that run in no part: padding, the last resize, a loose parameter.
OTHER = "other"

#: Operators that move, reshape or create elements without calculating with them.
_MOVES = frozenset(
    """
    alias arange as_strided broadcast_to cat channel_shuffle chunk clone col2im constant_pad_nd
    contiguous copy detach diagonal empty empty_like empty_permuted empty_strided expand eye fill
    flip full full_like gather im2col index index_put index_select lift lift_fresh linspace
    masked_fill max_unpool2d movedim narrow native_channel_shuffle new_empty new_empty_strided
    new_full new_ones new_zeros ones ones_like permute pixel_shuffle pixel_unshuffle
    reflection_pad1d reflection_pad2d repeat replication_pad1d replication_pad2d reshape resize
    roll rot90 scalar_tensor scatter select slice split split_with_sizes squeeze stack t to
    _to_copy transpose unbind unfold unsqueeze unsafe_chunk unsafe_split _reshape_alias
    _unsafe_index _unsafe_view upsample_nearest2d view view_as where zero zeros zeros_like
    """.split()  # noqa: SIM905
)


def _deform_conv_macs(args: tuple[Any, ...], out: torch.Tensor) -> int:
    """Deformable convolution costs what the plain one of its size costs (sampling not counted)."""
    weight = args[1]
    return int(out.shape[0] * prod(out.shape[2:]) * weight.numel())


#: Formulas for operators that PyTorch's own registry lacks, by qualified name.
_EXTRA: dict[str, Callable[[tuple[Any, ...], Any], int]] = {
    "torchvision.deform_conv2d": _deform_conv_macs,
}


@dataclass(frozen=True)
class Complexity:
    """What one forward pass of the inference graph costs.

    Attributes:
        params: number of parameters, each counted once, auxiliary heads left out.
        macs: multiply-adds of the counted operators.
        flops: ``2 * macs``.
        parts: ``{part: {"params": ..., "macs": ...}}``; the parts add up to the totals. What
            belongs to no part is under ``"other"``, which exists only where it is not zero.
        uncounted: operators that calculate but have no formula, with the number of their calls.
        input_size: ``(H, W)`` of the image in pixels.
        batch: images in the batch that was counted.
    """

    params: int
    macs: int
    flops: int
    parts: Mapping[str, Mapping[str, int]]
    uncounted: Mapping[str, int]
    input_size: tuple[int, int]
    batch: int = 1

    def as_keys(self) -> dict[str, Any]:
        """The figures under the keys of summary.json, metrics.csv and the tracker."""
        keys: dict[str, Any] = {
            "model/params": self.params,
            "model/macs": self.macs,
            "model/flops": self.flops,
            "model/input_size": list(self.input_size),
        }
        for figure in ("params", "macs"):
            keys |= {f"model/{figure}/{part}": value[figure] for part, value in self.parts.items()}
        return keys


def measure(
    model: nn.Module, size: tuple[int, int], batch: int = 1, *, channels: int = 3
) -> Complexity:
    """Count parameters and multiply-adds of a model's inference graph.

    The parts are those of ``model.parts()``; a module without that method is one part, ``model``.
    An operator belongs to the innermost part that holds the running module: a fusion inside the
    decoder counts as fusion, the rest of the decoder as decoder. A parameter that several parts
    share belongs to the first of them.

    Args:
        model: the network; it is not changed, moved or run.
        size: ``(H, W)`` of the input in pixels.
        batch: images in the input.
        channels: channels of the input.

    Returns:
        The counts for this input.

    Raises:
        UserError: the size is not positive, or the forward pass needs values and not only shapes.
    """
    height, width = (int(edge) for edge in size)
    if min(height, width, batch, channels) < 1:
        raise UserError(
            f"no cost on a batch of {batch} images of {channels} x {height} x {width} values"
        )
    copied = inference_copy(model, "meta")
    parts = _parts(copied)
    owner = _owners(parts)
    counter = MacCounter()
    for module, part in owner.items():
        module.register_forward_pre_hook(lambda _m, _a, part=part: counter.enter(part))
        module.register_forward_hook(lambda _m, _a, _o: counter.leave())
    dtype = next((p.dtype for p in copied.parameters() if p.is_floating_point()), None)
    image = torch.empty(batch, channels, height, width, device="meta", dtype=dtype)
    try:
        with torch.no_grad(), torch.device("meta"), counter:
            copied(image)
    except (RuntimeError, NotImplementedError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise UserError(
            f"the cost at {height} x {width} cannot be counted: {first_line}",
            "the forward pass must depend on shapes only, and accept this size",
        ) from error
    params = _params(copied, parts, owner)
    names = [*parts, *([OTHER] if params[OTHER] or counter.macs[OTHER] else [])]
    macs = sum(counter.macs.values())
    return Complexity(
        params=sum(params.values()),
        macs=macs,
        flops=2 * macs,
        parts={name: {"params": params[name], "macs": counter.macs[name]} for name in names},
        uncounted=dict(sorted(counter.uncounted.items(), key=lambda item: (-item[1], item[0]))),
        input_size=(height, width),
        batch=batch,
    )


def _parts(model: nn.Module) -> dict[str, list[nn.Module]]:
    """Modules by part. ``model.decoder`` too is of part "decoder", if the list names only children:
    what its own forward calculates, and parameters of its own, are then not lost to "other".
    """
    parts = getattr(model, "parts", None)
    if not callable(parts):
        return {"model": [model]}
    complete: dict[str, list[nn.Module]] = {}
    for name, modules in parts().items():
        whole = getattr(model, name, None)
        complete[name] = [*modules, *([whole] if isinstance(whole, nn.Module) else [])]
    return complete


def _owners(parts: Mapping[str, list[nn.Module]]) -> dict[nn.Module, str]:
    """The part of every module: that of its nearest ancestor (or itself) named by ``parts``.

    Every module of a part is an owner, not only the part itself: a ``ModuleList`` never runs.
    """
    roots: dict[nn.Module, str] = {}
    for part, modules in parts.items():
        for module in modules:
            roots.setdefault(module, part)
    owner: dict[nn.Module, str] = {}

    def claim(module: nn.Module, part: str) -> None:
        owner.setdefault(module, part)  # shared between parts: the first one keeps it
        for child in module.children():
            if child not in roots:
                claim(child, part)

    for root, part in roots.items():
        claim(root, part)
    return owner


def _params(
    model: nn.Module, parts: Mapping[str, list[nn.Module]], owner: Mapping[nn.Module, str]
) -> Counter[str]:
    counts: Counter[str] = Counter()
    seen: set[nn.Parameter] = set()
    for part in (*parts, OTHER):
        for module in model.modules():
            if owner.get(module, OTHER) != part:
                continue
            for parameter in module.parameters(recurse=False):
                if parameter not in seen:
                    seen.add(parameter)
                    counts[part] += parameter.numel()
    return counts


class MacCounter(TorchDispatchMode):
    """Adds the multiply-adds of every operator to the part that is running."""

    def __init__(self) -> None:
        super().__init__()
        self.macs: Counter[str] = Counter()
        self.uncounted: Counter[str] = Counter()
        self._running: list[str] = []

    @property
    def total(self) -> int:
        """Multiply-adds so far."""
        return sum(self.macs.values())

    def enter(self, part: str) -> None:
        """What runs from here on belongs to this part."""
        self._running.append(part)

    def leave(self) -> None:
        """Back to the part that was running before."""
        self._running.pop()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        library, name = str(packet).split(".", 1)
        formula = flop_registry.get(packet)
        extra = _EXTRA.get(f"{library}.{name}")
        if formula is None and extra is None:
            with self:  # an operator that is made of others is counted by these
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        part = self._running[-1] if self._running else OTHER
        if formula is not None:
            self.macs[part] += formula(*args, **kwargs, out_val=out) // 2
        elif extra is not None:
            self.macs[part] += extra(args, out)
        elif library == "aten":
            # In-place and functional forms of an operator are the same work.
            plain = name if name.endswith("__") else name.removesuffix("_")
            if plain not in _MOVES:
                self.uncounted[plain] += 1
        elif library != "prim":
            self.uncounted[f"{library}.{name}"] += 1
        return out
