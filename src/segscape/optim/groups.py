"""Parameter groups: every trainable parameter in exactly one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from segscape.errors import UserError, nearest

# _NormBase: batch, synchronised batch and instance norms. Libraries' norms subclass these.
NORMS: tuple[type[nn.Module], ...] = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


def parameter_groups(
    model: nn.Module,
    lr: float,
    weight_decay: float,
    *,
    decay_norm_and_bias: bool = True,
    lr_factors: Mapping[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Sort the trainable parameters into one group per (learning-rate factor, decay) pair.

    Args:
        model: frozen parameters (`requires_grad=False`) are left out; a parameter that is shared
            by several modules is in one group, under its first name.
        lr: learning rate of the parameters that no pattern matches.
        weight_decay: decay of the groups that have one.
        decay_norm_and_bias: False exempts the parameters of normalisation layers (found by the
            type of the module, not by its name) and all biases from decay.
        lr_factors: factor on the learning rate by pattern. A pattern is a regular expression that
            matches a parameter's name from its start, so a plain prefix such as `encoder` works;
            the first pattern that matches decides.

    Returns:
        Groups for a torch optimiser with `name`, `lr`, `lr_factor` and `weight_decay`; the group
        at the plain rate comes first.

    Raises:
        UserError: nothing to train, a pattern that matches no parameter or is no regular
            expression, or a negative figure.
    """
    for key, value in (("lr", lr), ("weight_decay", weight_decay)):
        if not value >= 0:
            raise UserError(f"optim.{key}={value} is negative")
    patterns = _compile(lr_factors or {})
    unused = set(patterns)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    names = []
    for name, parameter, exempt in _parameters(model):
        names.append(name)
        matching = [pattern for pattern, compiled in patterns.items() if compiled.match(name)]
        unused.difference_update(matching)
        factor = float((lr_factors or {})[matching[0]]) if matching else 1.0
        decayed = decay_norm_and_bias or not exempt
        group = groups.setdefault((factor, decayed), _group(factor, decayed, lr, weight_decay))
        group["params"].append(parameter)
    if not names:
        raise UserError("the model has no trainable parameter", "unfreeze a part of it")
    if unused:
        raise _unmatched(sorted(unused)[0], names)
    return sorted(groups.values(), key=lambda group: (group["lr_factor"] != 1.0, group["name"]))


def _group(factor: float, decayed: bool, lr: float, weight_decay: float) -> dict[str, Any]:
    name = "base" if factor == 1.0 else f"lr_x{factor:g}"
    return {
        "params": [],
        "name": name if decayed else f"{name}_no_decay",
        "lr": lr * factor,
        "lr_factor": factor,
        "weight_decay": weight_decay if decayed else 0.0,
    }


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Yield (name, parameter, whether it is a norm's or a bias) of the trainable parameters.

    The kind is decided over all modules that hold the parameter, the yield happens once.
    """
    exempt: set[int] = set()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, NORMS) or name.endswith("bias"):
                exempt.add(id(parameter))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter, id(parameter) in exempt


def _compile(lr_factors: Mapping[str, float]) -> dict[str, re.Pattern[str]]:
    """Compile the patterns and check their factors."""
    compiled = {}
    for pattern, factor in lr_factors.items():
        if not factor >= 0:
            raise UserError(f"optim.lr_factors: the factor of '{pattern}' is negative: {factor}")
        try:
            compiled[pattern] = re.compile(pattern)
        except re.error as error:
            raise UserError(
                f"optim.lr_factors: '{pattern}' is no regular expression: {error}"
            ) from error
    return compiled


def _unmatched(pattern: str, names: list[str]) -> UserError:
    """The error for a pattern that matches no parameter, with prefixes that would."""
    tops = list(dict.fromkeys(name.split(".")[0] for name in names))
    prefixes = {".".join(name.split(".")[:depth]) for name in names for depth in range(1, 4)}
    close = nearest(pattern, sorted(prefixes))
    return UserError(
        f"optim.lr_factors: '{pattern}' matches no trainable parameter",
        (f"did you mean '{close}'? " if close else "") + f"names begin with: {', '.join(tops)}",
    )
