"""The values of `sweep.KEY=...`, checked before anything is composed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from segscape.config.training import LATENCY, SCORE
from segscape.errors import UserError
from segscape.sweep.fields import (
    at_least,
    cannot_be_used,
    listed,
    mapping,
    of_type,
    one_of,
    read_fields,
    text,
    true_or_false,
)

_LONGEST_NAME = 120
_MOST_SEEDS = 10_000
# Kept in sweep.json, for `segscape sweep retry` and `resume`.
LIMITS = ("restarts", "retry_failed", "fail_fast")


def _seeds(key: str, value: Any) -> tuple[int, ...]:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST_SEEDS:
        return tuple(range(1, value + 1))
    whole = isinstance(value, Sequence) and all(type(each) is int for each in value)
    if not whole or isinstance(value, str) or not value or len(set(value)) < len(value):
        raise cannot_be_used(key, value, "a number, e.g. 3, or a list, e.g. [1,5]")
    return tuple(value)


def _folder_name(key: str, value: Any) -> str:
    """A sweep's name is that of its directory, and is part of PYTHONPATH."""
    name = text(key, value)
    if set(name) & set("/\\:") or name.startswith(".") or not name.isprintable():
        raise UserError(f"{key}={name}: a name without slashes and colons is needed")
    if len(name.encode()) > _LONGEST_NAME:
        raise UserError(
            f"{key}={name[:20]}... is too long",
            f"it names a directory: at most {_LONGEST_NAME} bytes",
        )
    return name


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


def _objectives(key: str, value: Any) -> tuple[tuple[str, str], ...]:
    return tuple(objective(each) for each in listed(key, value))


@dataclass(frozen=True)
class SweepSettings:
    """The group `sweep` of the configuration; conf/sweep/default.yaml explains every key."""

    name: Annotated[str | None, _folder_name] = None
    dir: Annotated[str, text] = "runs/sweeps"
    wait: Annotated[bool, true_or_false] = True
    grid: Annotated[Mapping[str, Any], mapping] = dataclasses.field(default_factory=dict)
    zip: Annotated[Sequence[Any], listed] = ()
    jobs: Annotated[Sequence[Any], listed] = ()
    seeds: Annotated[tuple[int, ...], _seeds] = ()
    exclude: Annotated[Sequence[Any], listed] = ()
    where: Annotated[str | None, of_type(str, "a condition, in quotes")] = None
    invalid: Annotated[str, one_of("error", "skip")] = "error"
    retry_failed: Annotated[int, at_least(0)] = 1
    restarts: Annotated[int, at_least(0)] = 3
    fail_fast: Annotated[bool, true_or_false] = False
    objectives: Annotated[tuple[tuple[str, str], ...], _objectives] = (
        ("max", SCORE),
        ("min", LATENCY),
    )
    trials: Annotated[int, at_least(1)] = 30
    workers: Annotated[int | None, at_least(1)] = None
    sampler: Annotated[str, one_of("tpe", "nsga2", "random", "gp")] = "tpe"
    pruner: Annotated[str, one_of("none", "median", "halving", "hyperband")] = "none"
    constraints: Annotated[Sequence[str], listed] = ()
    when: Annotated[Mapping[str, str], mapping] = dataclasses.field(default_factory=dict)
    seed: Annotated[int, at_least(0)] = 1
    storage: Annotated[str | None, text] = None

    def limits(self) -> dict[str, Any]:
        """What `segscape sweep retry` and `resume` keep to."""
        return {key: getattr(self, key) for key in LIMITS}


def read_settings(node: Mapping[str, Any] | None) -> SweepSettings:
    """Check the group `sweep` and give every key its type.

    Args:
        node: plain data; keys that are missing have their defaults.

    Raises:
        UserError: an unknown key, or a value that cannot be used.
    """
    return read_fields(SweepSettings, node or {}, "sweep")
