"""Shapes of the commonest operators without their kernels, so that counting is fast.

On meta tensors PyTorch works out many shapes by running a decomposition in Python: a bilinear
resize takes a millisecond for a handful of comparisons, and gives nothing but the size that was
asked for. None of the operators here has multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from segscape.profiling.complexity import MacCounter

_KEEPING = """
    relu relu_ sigmoid sigmoid_ tanh hardtanh hardtanh_ leaky_relu leaky_relu_ gelu silu silu_ elu
    hardswish hardswish_ hardsigmoid prelu clamp clamp_min clamp_max exp log neg abs sqrt rsqrt
    pow reciprocal erf _softmax softmax dropout dropout_ floor ceil round sin cos
""".split()  # noqa: SIM905

_BROADCASTING = "add sub mul div maximum minimum rsub add_ sub_ mul_ div_ lerp".split()  # noqa: SIM905


class ShapeCounter(MacCounter):
    """Counts what `MacCounter` counts and takes shortcuts to the shapes of everything else."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        known = _SHORTCUTS.get(func)
        if known is not None and not (kwargs and "out" in kwargs):
            out = known(*args, **(kwargs or {}))
            if out is not None:
                return out
        return super().__torch_dispatch__(func, types, args, kwargs)


def count_macs(run: Callable[[], Any]) -> tuple[Any, int]:
    """What `run` returns, and the multiply-adds of the operators that it calls.

    Args:
        run: calls modules in evaluation mode on meta tensors.
    """
    counter = ShapeCounter()
    # no_grad and not inference_mode: composite operators then reach the counter in pieces.
    with torch.no_grad(), torch.device("meta"), counter:
        out = run()
    return out, counter.total


def _keep(x: Any, *rest: Any, **named: Any) -> Tensor | None:
    # A tensor as exponent or bound may be larger than what it is applied to.
    first = not any(isinstance(other, Tensor) and other.ndim > 1 for other in rest)
    return x if first and isinstance(x, Tensor) else None


def _broadcast(x: Any, *others: Any, **named: Any) -> Tensor | None:
    tensors = [y for y in (x, *others) if isinstance(y, Tensor)]
    if any(not y.is_floating_point() for y in tensors):
        return None
    shape = torch.broadcast_shapes(*(y.shape for y in tensors))
    whole = next((y for y in tensors if y.shape == shape), None)
    return tensors[0].new_empty(shape) if whole is None else whole


def _resize(x: Tensor, size: Any = None, *rest: Any, **named: Any) -> Tensor | None:
    if size is None or len(size) != 2:
        return None
    return x.new_empty((x.shape[0], x.shape[1], *size))


def _sample(x: Tensor, grid: Tensor, *rest: Any, **named: Any) -> Tensor:
    return x.new_empty((x.shape[0], x.shape[1], grid.shape[1], grid.shape[2]))


def _cat(tensors: Any, dim: int = 0) -> Tensor | None:
    shapes = [list(x.shape) for x in tensors]
    dim %= len(shapes[0])
    rest = {(*shape[:dim], *shape[dim + 1 :]) for shape in shapes}
    if len(rest) != 1:
        return None  # the real operator raises the error
    shape = [*shapes[0]]
    shape[dim] = sum(s[dim] for s in shapes)
    return tensors[0].new_empty(shape)


def _table() -> dict[Any, Callable[..., Tensor | None]]:
    known: list[tuple[list[str], Callable[..., Tensor | None]]] = [
        (_KEEPING, _keep),
        (_BROADCASTING, _broadcast),
        (["upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d"], _resize),
        (["grid_sampler", "grid_sampler_2d"], _sample),
        (["cat"], _cat),
    ]
    table: dict[Any, Callable[..., Tensor | None]] = {}
    for names, rule in known:
        for name in names:
            packet = getattr(torch.ops.aten, name)
            for overload in packet.overloads():
                if "out" not in overload and "names" not in overload:
                    table[getattr(packet, overload)] = rule
    return table


_SHORTCUTS = _table()
