"""Names that have moved since they were written into checkpoints, run directories and yaml files.

One small table. What identifies a run is hashed with the first name that a class had, so that
moving a module changes no identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Module as recorded first -> module today; longer names before shorter ones that begin them.
_MODULES = {
    **{
        f"segscape.data.{name}": f"segscape.data.datasets.{name}"
        for name in ("ade20k", "camvid", "cityscapes", "cocostuff", "folder", "streets.module")
    },
}
_FIRST = {today: first for first, today in _MODULES.items()}


def current_target(target: str) -> str:
    """Where the class or function of a recorded `_target_` is today."""
    return _renamed(target, _MODULES)


def first_target(target: str) -> str:
    """The name under which a class or function was first recorded."""
    return _renamed(target, _FIRST)


def with_first_targets(node: Any) -> Any:
    """A configuration as it would have been recorded before anything moved.

    Args:
        node: plain data; it is not changed.
    """
    if isinstance(node, Mapping):
        return {
            key: first_target(value)
            if key == "_target_" and isinstance(value, str)
            else with_first_targets(value)
            for key, value in node.items()
        }
    if isinstance(node, list | tuple):
        return [with_first_targets(item) for item in node]
    return node


def _renamed(target: str, names: Mapping[str, str]) -> str:
    module, _, name = target.rpartition(".")
    return f"{names.get(module, module)}.{name}"
