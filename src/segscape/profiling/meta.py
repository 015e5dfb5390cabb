"""Networks on the meta device, where they have shapes and no values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_FILLS = frozenset(
    {
        *(Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.fill_, Tensor.erfinv_),
        *(Tensor.mul_, Tensor.add_, Tensor.div_, Tensor.clamp_),
    }
)


class _WithoutInit(TorchFunctionMode):
    """Initial values of meta tensors are not drawn: there is nothing to draw them into."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS or getattr(func, "__module__", "") == "torch.nn.init":
            tensor = args[0] if args else kwargs.get("tensor")
            if isinstance(tensor, Tensor) and tensor.is_meta:
                return tensor
        return func(*args, **kwargs)


@contextmanager
def on_meta() -> Iterator[None]:
    """Modules that are made inside have shapes and no values, and cost no time to fill."""
    with torch.device("meta"), _WithoutInit():
        yield


def made_on_meta(make: Callable[[], nn.Module]) -> nn.Module:
    """A module on the meta device, in evaluation mode."""
    try:
        with on_meta():
            module = make()
    except (RuntimeError, NotImplementedError):  # reads a value while it is made: timm, some
        module = make().to("meta")
    return module.eval()
