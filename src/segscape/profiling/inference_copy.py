"""Copies of a model to measure on, so that measuring never touches the model that is measured."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from segscape.errors import UserError


def inference_copy(model: nn.Module, device: torch.device | str) -> nn.Module:
    """The inference graph of a model on another device, sharing nothing with the original.

    Hooks are dropped (they may hold a trainer, and they are not part of the network), auxiliary
    heads are removed, the copy is in eval mode and computes no gradients. Tensors that are shared
    inside the model stay shared in the copy. On ``"meta"`` no weight is copied, so the copy of a
    large model costs no memory.

    Args:
        model: any module; one that ``torch.compile`` wrapped is unwrapped. A method
            ``strip_auxiliary()``, where there is one, removes the heads that only train.
        device: of the copy's tensors.

    Returns:
        The copy. The original's parameters, buffers, mode, device and hooks are as before.

    Raises:
        UserError: the model has parameters whose shape is not known yet (lazy modules).
    """
    model = unwrap(model)
    # deepcopy takes what the memo holds as already copied: tensors go straight to their device.
    memo: dict[int, Any] = {}
    for module in model.modules():
        for tensor in _tensors(vars(module)):
            if id(tensor) not in memo:
                memo[id(tensor)] = _move(tensor, device)
        for name, value in vars(module).items():
            if "_hooks" in name and isinstance(value, dict):
                memo[id(value)] = OrderedDict()
    copied: nn.Module = copy.deepcopy(model, memo)
    strip = getattr(copied, "strip_auxiliary", None)
    if callable(strip):
        strip()
    return copied.eval()


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside ``torch.compile(module)``; any other module is returned as it is."""
    inner = getattr(model, "_orig_mod", model)
    assert isinstance(inner, nn.Module)
    return inner


def is_compiled(model: nn.Module) -> bool:
    """Whether calls of the model go through ``torch.compile``, wrapped or in place."""
    return hasattr(model, "_orig_mod") or getattr(model, "_compiled_call_impl", None) is not None


def _move(tensor: Tensor, device: torch.device | str) -> Tensor:
    if is_lazy(tensor):
        raise UserError(
            "the model has lazy parameters, whose shapes are not known before a first forward",
            "run the model once on an image before measuring it",
        )
    moved = tensor.detach().to(device, copy=True)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(moved, requires_grad=False)
    return moved


def _tensors(value: object) -> Iterator[Tensor]:
    """Every tensor in nested plain containers; sub-modules are walked by the caller."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)
