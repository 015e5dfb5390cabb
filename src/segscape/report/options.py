"""Which options a run chose, where only its configuration and overrides were kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

from segscape.config import files, systems
from segscape.config.moved import current_node
from segscape.config.targets import SUPPLIED
from segscape.errors import UserError


def choices_of(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, str]:
    """The option of each group whose options are a class or function.

    What was typed counts; else the option whose yaml equals the configuration, that of
    the model's own design first. A part that is no option's is named after its class.

    Args:
        config: resolved, as in config.yaml.
        overrides: as typed.
    """
    if not isinstance(config.get("model"), Mapping):
        return {}
    known = _groups()
    typed = dict(text.split("=", 1) for text in overrides if "=" in text)
    name = str(config["model"].get("name"))
    model = typed.get("model") or (name if name in known["model"] else None)
    found = {"model": model or name}
    found |= {key: typed[key] for key in ("experiment", "recipe") if typed.get(key)}
    usual = _usual(model)
    for group in SUPPLIED:
        node = config.get(group)
        if not isinstance(node, Mapping) or "_target_" not in node:
            continue
        if typed.get(group) in known.get(group, ()):
            found[group] = typed[group]
        else:
            written = json.dumps(node, sort_keys=True, default=str)
            found[group] = _option(group, written, usual.get(group), model)
    return found


T = TypeVar("T")


def _cached(function: Callable[..., T]) -> Callable[..., T]:
    """Cache by arguments and by the folders of yaml files in use.

    Hundreds of runs have few different parts, and reading all yamls takes a tenth of a second.
    """

    @lru_cache(maxsize=4096)
    def keyed(folders: tuple[Path, ...], *args: Any) -> T:
        return function(*args)

    @wraps(function)
    def call(*args: Any) -> T:
        return keyed(tuple(files.folders()), *args)

    return call


@_cached
def _groups() -> dict[str, list[str]]:
    return files.groups()


@_cached
def _usual(model: str | None) -> dict[str, str]:
    """What a model chooses, and train.yaml for the rest."""
    usual = {
        group: option
        for entry in files.root_yaml().content["defaults"]
        if isinstance(entry, Mapping)
        for group, option in entry.items()
    }
    system = _system(model)
    return {**usual, **system.choices} if system else usual


@_cached
def _system(model: str | None) -> systems.System | None:
    try:
        return None if model is None else systems.read(model)
    except UserError:  # an option of a folder of the user's own, which is not read here
        return None


@_cached
def _option(group: str, node_json: str, usual: str | None, model: str | None) -> str:
    node = current_node(json.loads(node_json))
    target = node["_target_"]
    system = _system(model)
    # With the arguments that the model gives to it.
    if usual and system and group in system.settings and _agree(system.settings[group], node):
        return usual
    same = []
    for name in _groups().get(group, ()):
        written = files.option(group, name)
        # yamls with a package of their own hold the group's node one level down
        written = written.get(group, written) if "_target_" not in written else written
        if written.get("_target_") == target:
            same.append((name, written))
    exact = [name for name, written in same if _agree(written, node)]
    for names_left in (exact, [name for name, _ in same]):
        if usual in names_left:
            return str(usual)
        if len(names_left) == 1:
            return names_left[0]
    return exact[0] if exact else str(target).rsplit(".", 1)[-1]


def _agree(written: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Whether a yaml equals the configuration; interpolations may be anything."""
    return written.keys() == node.keys() and all(
        value == node[key] or (isinstance(value, str) and "${" in value)
        for key, value in written.items()
    )
