"""What makes two jobs the same job: their configuration, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from segscape.config.moved import as_first_recorded

# What may differ between a run and its continuation without changing the result.
FREE_ON_RESUME = ("run_dir", "resume", "logger", "callbacks", "profile", "init")
FREE_DATA = ("root", "num_workers", "cache", "cache_dir", "source")

_DIGITS = 10


def identity(config: Mapping[str, Any]) -> str:
    """Ten hexadecimal digits: equal for configurations that train the same model the same way.

    Where a run is written, how it is tracked and where its data are do not count. A weights file
    that a run starts from does.

    Args:
        config: plain, resolved data.
    """
    return _digest(essence(config))


def design(config: Mapping[str, Any]) -> str:
    """The identity of all runs that differ in their seed only."""
    kept = essence(config)
    seed = kept.pop("seed", None)
    data = kept.get("data")
    # Most data sets take the seed of the run: data.seed=${seed}.
    if isinstance(data, Mapping) and data.get("seed") == seed:
        kept["data"] = {key: value for key, value in data.items() if key != "seed"}
    return _digest(kept)


def essence(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration changes the result."""
    free = {*FREE_ON_RESUME, "sweep"} - {"init"}
    kept = {key: value for key, value in config.items() if key not in free}
    if isinstance(kept.get("data"), Mapping):
        kept["data"] = {k: v for k, v in kept["data"].items() if k not in FREE_DATA}
    # Settings of segscape's own callbacks change no result; other callbacks may.
    settings = config.get("callbacks")
    if isinstance(settings, Mapping):
        others = {key: node for key, node in settings.items() if isinstance(node, Mapping)}
        kept |= {"callbacks": others} if others else {}
    return as_first_recorded(kept)


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Dotted key, old and new value of what keeps `now` from continuing the run `before`."""
    old, new = essence(before), essence(now)
    return differences({**old, "init": None}, {**new, "init": None})


def differences(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """Dotted key, old and new value of everything in which two configurations differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}, key=str):
            found += differences(old.get(key), new.get(key), f"{prefix}{key}.")
        return found
    return [] if old == new else [(prefix[:-1], old, new)]


def _digest(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
