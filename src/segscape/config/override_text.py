"""Overrides and values in Hydra's notation, read and written.

A point is a mapping from an override's key to its value in Hydra's notation, so that
`f"{key}={value}"` is the override itself: {"encoder": "stdc1", "optim.lr": "0.01"}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from segscape.config import command_line, explaining
from segscape.errors import UserError

Point = dict[str, str]

_OPEN, _CLOSE = "([{", ")]}"


@lru_cache(maxsize=8192)
def parsed(text: str) -> Override:
    """An override in Hydra's terms; it must not be changed.

    Raises:
        UserError: it is none.
    """
    try:
        override: Override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        raise explaining.explain([text], error) from error
    return override


def key_of(override: Override) -> str:
    """The key as a point has it: without the `++` that `command_line.admit` puts before it."""
    key: str = override.get_key_element()
    bare = key.removeprefix("++")
    return bare if command_line.admit([f"{bare}=x"]) != [f"{bare}=x"] else key


def plain(key: str) -> str:
    """The key without the signs for how it is set, for names and records."""
    return key.lstrip("+~")


def typed(value: str) -> Any:
    """A value in Hydra's notation as plain data: "2" is 2, "'2'" is "2"."""
    return parsed(f"key={value}").value()


def written(value: Any) -> str:
    """Plain data in Hydra's notation, so that it reads back as the same."""
    text: str = Override._get_value_element_as_str(_quoted(value))
    return text


def _quoted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_quoted(key): _quoted(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(each) for each in value]
    return value if not isinstance(value, str) or _is_plain(value) else _in_quotes(value)


def _is_plain(value: str) -> bool:
    try:
        read = OverridesParser.create().parse_override(f"key={value}")
    except HydraException:
        return False
    return not read.is_sweep_override() and type(read.value()) is str and read.value() == value


def _in_quotes(value: str) -> QuotedString:
    return QuotedString(text=value, quote=Quote.single)


def words(text: str) -> Iterator[str]:
    """The overrides in a text, separated by blanks outside of quotes and brackets."""
    word, depth, quote = "", 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        else:
            depth += (sign in _OPEN) - (sign in _CLOSE)
            if sign.isspace() and not depth:
                if word:
                    yield word
                word = ""
                continue
        word += sign
    if word:
        yield word


def has_values(text: str, choices: Mapping[str, str], varied: Mapping[str, Any]) -> bool:
    """Whether a job has all these values.

    Args:
        text: e.g. "fusion=add seed=2".
        choices: option of each group.
        varied: the axes and their values.
    """
    known: dict[str, set[str]] = {key: {value} for key, value in choices.items()}
    known |= {plain(key): {str(value), written(value)} for key, value in varied.items()}
    pairs = [word.partition("=") for word in words(text)]
    return bool(pairs) and all(
        sign and {value, _as_written(value)} & known.get(plain(key), set())
        for key, sign, value in pairs
    )


def _as_written(value: str) -> str:
    """What was typed, in one canonical form: `{a: 1}` is `{a:1}`."""
    try:
        return written(typed(value))
    except UserError:
        return value
