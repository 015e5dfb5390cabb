"""`_target_` and arguments: which class a part of the configuration names, and what it is given."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from segscape.config.moved import current_node, current_target
from segscape.errors import UserError, unknown

Config = Mapping[str, Any]

# Groups whose parts are torch modules; the first arguments of each come from its neighbours.
PARTS = ("encoder", "context", "decoder", "fusion", "head")
SUPPLIED = {
    "encoder": (),
    "context": ("in_channels",),
    "decoder": ("spec", "context_channels", "fusion", "num_classes"),
    "fusion": ("low_channels", "high_channels", "out_channels"),
    "head": ("in_channels", "num_classes"),
    "loss": (),
    "optim": ("model",),
    "schedule": ("optimizer", "total_steps"),
    "augment": (),
    "data": ("augment",),
    "logger": (),
}


def locate(target: str, key: str) -> Callable[..., Any]:
    """The class or function that a `_target_` names.

    Args:
        target: dotted path.
        key: its configuration key, for the message.

    Raises:
        UserError: no such module or name.
    """
    module_name, _, name = current_target(target).rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"{key}._target_={target}: module {module_name!r} cannot be imported ({error})",
            "is it installed, or on PYTHONPATH?",
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        what = f"{key}._target_={target}: {module_name} has no {name!r}"
        names = [n for n in dir(module) if not n.startswith("_")]
        raise unknown(what, name, names, typed=f"{module_name}.{{}}", label="")
    return found


def arguments(
    node: Config, key: str, supplied: tuple[str, ...] = (), passed_on: tuple[str, ...] | None = None
) -> tuple[Any, dict[str, Any]]:
    """The callable of a node and the keyword arguments that the node gives it.

    Args:
        node: a group's configuration with `_target_`.
        key: its configuration key, for the message.
        supplied: arguments that are given at build time, not in yaml.
        passed_on: what the signature's `**kwargs` takes, None for anything.

    Raises:
        UserError: an argument that the signature does not have, or a required one left out.
    """
    target = locate(str(node["_target_"]), key)
    given = {k: v for k, v in current_node(node).items() if k != "_target_"}
    parameters = inspect.signature(target).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    names = [n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD and n not in supplied]
    if takes_any and passed_on is not None:
        takes_any, names = False, [*names, *passed_on]
    for name in given:
        if name not in names and not takes_any:
            what = f"{key}.{name}: {node['_target_']} has no such argument"
            raise unknown(what, name, names, typed=f"{key}.{{}}", label="it takes")
    for name in names:
        required = name in parameters and parameters[name].default is inspect.Parameter.empty
        if required and name not in given:
            raise UserError(f"{key}.{name} is required", f"give it: {key}.{name}=VALUE")
    return target, given
