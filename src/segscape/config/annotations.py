"""Values of a configuration against the annotations of what will receive them."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from segscape.errors import UserError


def check_types(target: Any, given: Mapping[str, Any], key: str) -> None:
    """Compare values with the annotations of the callable that will receive them.

    Raises:
        UserError: e.g. a word where a number belongs.
    """
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # an annotation that is imported for type checkers only
        return
    for name, value in given.items():
        if name in hints and not fits(value, hints[name]):
            raise UserError(
                f"{key}.{name}={value!r} has the wrong type",
                f"expected {_type_name(hints[name])}",
            )


def fits(value: Any, hint: Any) -> bool:
    """Whether a value read from yaml fits the annotation `hint`."""
    origin = typing.get_origin(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str)
    kind = origin or hint
    if kind in (dict, Mapping) or (inspect.isclass(kind) and issubclass(kind, Mapping)):
        return isinstance(value, Mapping)
    if kind is tuple:
        return _fits_tuple(value, typing.get_args(hint))
    if inspect.isclass(kind) and issubclass(kind, Iterable) and kind is not str:
        return isinstance(value, list | tuple)
    # Objects (a transform, a path) are not written in yaml as they are: nothing to compare.
    return True


def _fits_tuple(value: Any, args: tuple[Any, ...]) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if not args:
        return True
    if len(args) == 2 and args[1] is Ellipsis:
        return all(fits(item, args[0]) for item in value)
    return len(value) == len(args) and all(fits(v, a) for v, a in zip(value, args, strict=True))


def _type_name(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) else str(hint).replace("typing.", "")
