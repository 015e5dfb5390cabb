"""What figures were taken under: the conditions that must agree before they are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def environment_of(
    values: Mapping[str, Any],
    machine: Mapping[str, Any],
    config: Mapping[str, Any],
    choices: Mapping[str, str],
) -> dict[str, str]:
    """The conditions of a run, as texts; those that are not known are absent.

    Args:
        values: summary.json.
        machine: environment.json.
        config: of the run.
        choices: option of each group.
    """
    torch = machine.get("torch") or {}
    profile = _node(config, "profile")
    latency = any(str(key).startswith("latency/") for key in values)
    found = {
        "device": values.get("latency/device") or _device(machine),
        "threads": values.get("latency/threads") if latency else torch.get("threads"),
        "backend": values.get("latency/backend"),
        "latency batch": values.get("latency/batch"),
        "latency precision": values.get("latency/precision"),
        "latency size": _size(values.get("latency/input_size") or profile.get("size")),
        "input size": _size(values.get("model/input_size") or profile.get("size")),
        "precision": values.get("precision"),
        "void": values.get("void") or _node(config, "metrics").get("void"),
        "data": choices.get("data") or _data(config),
        "split": values.get("split") or "val",
        "validation": _validation(config),
        "torch": torch.get("version") or (machine.get("packages") or {}).get("torch"),
        "commit": _commit(machine),
    }
    return {key: str(value) for key, value in found.items() if value not in (None, "")}


def _device(machine: Mapping[str, Any]) -> str | None:
    """Of the training; the first GPU, if there is one."""
    gpus = machine.get("gpus") or []
    return gpus[0].get("name") if gpus else (machine.get("cpu") or {}).get("model")


def _size(value: Any) -> str | None:
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{value[0]}x{value[1]}"
    return str(value) if value else None


def _data(config: Mapping[str, Any]) -> str | None:
    target = _node(config, "data").get("_target_")
    return str(target).rsplit(".", 1)[-1] if target else None


def _node(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A group; other people's configurations may have anything under its name."""
    node = config.get(key)
    return node if isinstance(node, Mapping) else {}


def _validation(config: Mapping[str, Any]) -> str | None:
    """What decides which images are scored, and how large."""
    data, trainer = _node(config, "data"), _node(config, "trainer")
    parts = []
    if data.get("size"):
        parts.append(_size(data["size"]) or str(data["size"]))
    for key in ("val_size", "scene_seed"):
        if data.get(key) is not None:
            parts.append(f"{key}={data[key]}")
    if trainer.get("limit_val_batches") is not None:
        parts.append(f"limit_val_batches={trainer['limit_val_batches']}")
    return " ".join(parts) or None


def _commit(machine: Mapping[str, Any]) -> str | None:
    git = machine.get("git") or {}
    commit = git.get("commit")
    if not commit:
        return None
    changed = f" + changes {str(git.get('diff_sha256'))[:6]}" if git.get("dirty") else ""
    return f"{str(commit)[:10]}{changed}"
