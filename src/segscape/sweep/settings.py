"""What `sweep.KEY=...` says, checked before anything is composed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from segscape.errors import UserError, nearest

SAMPLERS = ("tpe", "nsga2", "random", "gp")
PRUNERS = ("none", "median", "halving", "hyperband")
INVALID = ("error", "skip")
_LONGEST_NAME = 120
_MOST_SEEDS = 10_000
# Kept in sweep.json, for `segscape sweep retry` and `resume`.
LIMITS = ("restarts", "retry_failed", "fail_fast")


@dataclass(frozen=True)
class SweepSettings:
    """The group `sweep` of the configuration; conf/sweep/default.yaml explains every key."""

    name: str | None = None
    dir: str = "runs/sweeps"
    wait: bool = True
    grid: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    zip: Sequence[Any] = ()
    jobs: Sequence[Any] = ()
    seeds: tuple[int, ...] = ()
    exclude: Sequence[Any] = ()
    where: str | None = None
    invalid: str = "error"
    retry_failed: int = 1
    restarts: int = 3
    fail_fast: bool = False
    objectives: tuple[tuple[str, str], ...] = (("max", "val/miou"), ("min", "latency/p50_ms"))
    trials: int = 30
    workers: int | None = None
    sampler: str = "tpe"
    pruner: str = "none"
    constraints: Sequence[str] = ()
    when: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seed: int = 1
    storage: str | None = None


def read_settings(node: Mapping[str, Any] | None) -> SweepSettings:
    """Check the group `sweep` and give every key its type.

    Args:
        node: plain data; keys that are missing have their defaults.

    Raises:
        UserError: an unknown key, or a value that cannot be used.
    """
    given = dict(node or {})
    known = [field.name for field in dataclasses.fields(SweepSettings)]
    for key in given:
        if key not in known:
            close = nearest(str(key), known)
            hint = f"did you mean sweep.{close}? " if close else ""
            raise UserError(
                f"sweep.{key}: there is no such key", f"{hint}it takes: {', '.join(known)}"
            )
    _one_of(given, "sampler", SAMPLERS)
    _one_of(given, "pruner", PRUNERS)
    _one_of(given, "invalid", INVALID)
    for key in ("wait", "fail_fast"):
        _typed(given, key, bool, "true or false")
    for key, least in (("retry_failed", 0), ("restarts", 0), ("trials", 1), ("workers", 1)):
        _number(given, key, least)
    for key in ("where", "name", "dir", "storage"):
        _typed(given, key, str, f"a text, in quotes of its own: sweep.{key}=\"'{given.get(key)}'\"")
    for key in ("grid", "when"):
        _typed(given, key, Mapping, "a mapping")
    for key in ("zip", "jobs", "exclude", "constraints"):
        if isinstance(given.get(key), str):
            given[key] = [given[key]]
        _typed(given, key, Sequence, "a list")
    _folder_name(given.get("name"))
    if given.get("dir") == "":
        raise UserError("sweep.dir= is empty", "give a directory, or leave it out")
    if "seeds" in given:
        given["seeds"] = _seeds(given["seeds"])
    if given.get("objectives") is not None:
        given["objectives"] = tuple(objective(text) for text in _texts(given["objectives"]))
    # null stands for the default everywhere.
    return SweepSettings(**{key: value for key, value in given.items() if value is not None})


def objective(text: str) -> tuple[str, str]:
    """`max:val/miou` as (direction, key).

    Raises:
        UserError: no direction, or no key.
    """
    direction, colon, key = str(text).partition(":")
    if direction not in ("max", "min") or not colon or not key:
        raise UserError(
            f"objective {text!r} cannot be read", "write max:KEY or min:KEY, e.g. max:val/miou"
        )
    return direction, key


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(each) for each in value]


def _seeds(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_SEEDS:
        return tuple(range(1, value + 1))
    whole = isinstance(value, Sequence) and all(
        isinstance(each, int) and not isinstance(each, bool) for each in value
    )
    if not whole or isinstance(value, str) or not value or len(set(value)) < len(value):
        raise UserError(
            f"sweep.seeds={value!r} cannot be used", "give a number, e.g. 3, or a list, e.g. [1,5]"
        )
    return tuple(value)


def _folder_name(name: str | None) -> None:
    """A sweep's name is that of its directory, and stands in PYTHONPATH."""
    if name is None:
        return
    if not name.strip():
        raise UserError("sweep.name= is empty", "give a name, or leave it out")
    if set(name) & set("/\\:") or name.startswith(".") or not name.isprintable():
        raise UserError(f"sweep.name={name}: a name without slashes and colons is needed")
    if len(name.encode()) > _LONGEST_NAME:
        raise UserError(
            f"sweep.name={name[:20]}... is too long",
            f"it names a directory: at most {_LONGEST_NAME} bytes",
        )


def _one_of(given: Mapping[str, Any], key: str, choices: Sequence[str]) -> None:
    value = given.get(key)
    if value is not None and value not in choices:
        close = nearest(str(value), choices)
        hint = f"did you mean sweep.{key}={close}? " if close else ""
        raise UserError(
            f"sweep.{key}={value}: there is no such choice", f"{hint}choices: {', '.join(choices)}"
        )


def _typed(given: Mapping[str, Any], key: str, kind: Any, words: str) -> None:
    value = given.get(key)
    if value is not None and not isinstance(value, kind):
        raise UserError(f"sweep.{key}={value!r} has the wrong type", f"expected {words}")


def _number(given: Mapping[str, Any], key: str, least: int) -> None:
    value = given.get(key)
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"sweep.{key}={value!r} cannot be used", f"a whole number from {least} on")
