"""`sweep.exclude`: combinations that are left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from segscape.config.override_text import Point, plain, typed, words, written
from segscape.errors import UserError, unknown


def without_excluded(points: list[Point], exclude: Sequence[Any]) -> list[Point]:
    """The points that no entry of `sweep.exclude` matches.

    Args:
        points: to choose from.
        exclude: mappings or texts, {encoder: stdc2, fusion: add} or "encoder=stdc2 fusion=add".
            `*` in a value matches anything; a key that is left out matches everything.

    Raises:
        UserError: an entry cannot be read, names a key that is not varied, or matches nothing.
    """
    if not exclude:
        return points
    patterns = [_pattern(each) for each in exclude]
    texts = [{plain(key): _text(typed(value)) for key, value in p.items()} for p in points]
    known = list(dict.fromkeys(key for point in texts for key in point))
    for given, pattern in zip(exclude, patterns, strict=True):
        _require_known(pattern, known)
        if not any(_matches(point, pattern) for point in texts):
            raise UserError(
                f"sweep.exclude: {_shown(given)} matches none of the {len(points)} combinations",
                _values(texts, pattern),
            )
    kept = [
        point
        for point, text in zip(points, texts, strict=True)
        if not any(_matches(text, pattern) for pattern in patterns)
    ]
    if not kept:
        raise UserError("sweep.exclude leaves no combination", "exclude fewer")
    return kept


def _pattern(given: Any) -> dict[str, str]:
    """An entry as text of the values by key."""
    if isinstance(given, Mapping):
        pattern = {plain(str(key)): _text(value) for key, value in given.items()}
    elif isinstance(given, str):
        pattern = {}
        for text in words(given):
            key, sign, value = text.partition("=")
            if not sign:
                raise UserError(f"sweep.exclude: {text!r} is not key=value", "e.g. encoder=stdc2")
            pattern[plain(key)] = value.strip("'\"")
    else:
        raise UserError(f"sweep.exclude: {given!r} cannot be read", "e.g. {encoder: stdc2}")
    if not pattern:
        raise UserError("sweep.exclude has an empty entry, which would match everything")
    return pattern


def _require_known(pattern: Mapping[str, str], known: Sequence[str]) -> None:
    for key in pattern:
        if key not in known:
            raise unknown(f"sweep.exclude: {key} is not varied", key, known, label="varied")


def _matches(point: Mapping[str, str], pattern: Mapping[str, str]) -> bool:
    return all(key in point and _fits(point[key], value) for key, value in pattern.items())


def _fits(text: str, pattern: str) -> bool:
    # Not fnmatch: a value may be a list in square brackets.
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else written(value)


def _shown(given: Any) -> str:
    return given if isinstance(given, str) else written(given)


def _values(points: Sequence[Mapping[str, str]], pattern: Mapping[str, str]) -> str:
    columns = {key: dict.fromkeys(p[key] for p in points if key in p) for key in pattern}
    return "; ".join(f"{key} is {', '.join(values)}" for key, values in columns.items())
