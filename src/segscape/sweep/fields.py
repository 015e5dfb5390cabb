"""Settings as annotated dataclasses: one reader that checks what was given.

    cpus: Annotated[int | None, at_least(1)] = None

is a setting whose value is a whole number from 1 on; null is the default everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

from segscape.errors import UserError, choice, unknown

Check = Callable[[str, Any], Any]
Settings = TypeVar("Settings")


def read_fields(
    kind: type[Settings], given: Mapping[str, Any], prefix: str, more: str = ""
) -> Settings:
    """Check values and give each the type that its setting has.

    Args:
        kind: a dataclass whose annotations carry a check each: called with the key as typed and
            the value, it returns what the setting becomes, or raises `UserError`.
        given: plain data.
        prefix: of the keys as typed, e.g. `sweep`.
        more: a further hint for a key that does not exist.

    Raises:
        UserError: an unknown key, or a value that cannot be used.
    """
    known = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            what = f"{prefix}.{key}: there is no such key"
            label = f"{more}it takes"
            raise unknown(what, str(key), known, typed=f"{prefix}.{{}}", label=label)
    hints = get_type_hints(kind, include_extras=True)
    read = {
        key: hints[key].__metadata__[0](f"{prefix}.{key}", value)
        for key, value in given.items()
        if value is not None
    }
    return kind(**read)


def cannot_be_used(key: str, value: Any, hint: str) -> UserError:
    """The error for a value of the wrong type or outside of its range."""
    return UserError(f"{key}={value!r} cannot be used", hint)


def at_least(least: int) -> Check:
    """A whole number from `least` on."""

    def check(key: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise cannot_be_used(key, value, f"a whole number from {least} on")
        return value

    return check


def one_of(*choices: str) -> Check:
    """One of these words."""

    def check(key: str, value: Any) -> str:
        choice(key, value, choices)
        return str(value)

    return check


def of_type(kind: type, words: str) -> Check:
    """A value of a type, which is named in `words`."""

    def check(key: str, value: Any) -> Any:
        if not isinstance(value, kind):
            raise cannot_be_used(key, value, words)
        return value

    return check


true_or_false = of_type(bool, "true or false")
mapping = of_type(Mapping, "a mapping, e.g. {a: 1}")


def text(key: str, value: Any) -> str:
    """A text, which is not empty."""
    if not isinstance(value, str):
        raise cannot_be_used(key, value, f"a text, in quotes of its own: {key}=\"'{value}'\"")
    if not value.strip():
        raise UserError(f"{key}= is empty", "give a value, or leave it out")
    return value


def word(key: str, value: Any) -> str:
    """A text; YAML reads one of digits as a number."""
    return str(value)


def listed(key: str, value: Any) -> list[Any]:
    """A list, or one element of it."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Sequence):
        raise cannot_be_used(key, value, "a list, e.g. [a,b]")
    return list(value)
