"""Many configurations composed: the same as `composing.compose_with_choices`, much faster.

Hydra reads every yaml and works out the whole defaults list again for each composition, a tenth of
a second. Here every yaml is read once, and everything is plain data. What might differ
from Hydra's result, and everything that is wrong, goes through Hydra.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segscape.config import command_line, composing, explaining, files
from segscape.config.hydra_session import hydra_choices
from segscape.config.layers import NeedsHydra, expand
from segscape.config.override_text import parsed
from segscape.errors import UserError

Composed = tuple[dict[str, Any], dict[str, str]]

_KEY = re.compile(r"[\w-]+(\.[\w-]+)*")
_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_MISSING = "???"


class Composer:
    """Composes configurations; a yaml is read once, as it is when it is needed first."""

    def __init__(self) -> None:
        self._yamls: dict[tuple[str, str], files.Yaml | None] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, overrides: Sequence[str]) -> Composed:
        """The resolved configuration as plain data, and the option of each group.

        Raises:
            UserError: an override names no group, option or key, or cannot be parsed.
        """
        try:
            config, choices = self.compose_without_hydra(overrides)
        except (NeedsHydra, UserError, HydraException, OmegaConfBaseException, ValueError):
            # Hydra decides, also on what is wrong.
            return _by_hydra(overrides)
        return config, {**hydra_choices(), **choices}

    def compose_without_hydra(self, overrides: Sequence[str]) -> Composed:
        """Like `compose`, without the help of Hydra and without the options of Hydra's own groups.

        Raises:
            NeedsHydra: it has to go through Hydra.
            UserError: an override cannot be parsed, or the `parts` of a model cannot be used.
        """
        chosen: dict[str, Any] = {}
        values: list[Override] = []
        for override in map(parsed, command_line.admit(overrides)):
            key, value = override.key_or_group, override.value()
            if override.is_sweep_override() or override.package or key.startswith("hydra"):
                raise NeedsHydra
            if isinstance(value, dict) or not self._is_group(key):
                values.append(override)
            elif override.is_add() or override.is_force_add() or override.is_delete():
                raise NeedsHydra
            else:
                chosen[key] = value
        expanded = expand(chosen, self._read)
        plain: dict[str, Any] = {}
        for layer in expanded.layers:
            _lay_over(_at(plain, layer.package), layer.node)
        plain.pop("hydra", None)
        for override in values:
            _apply(override, plain)
        config = _resolved(plain)
        config.pop("sweep", None)
        return config, {group: str(option) for group, option in expanded.choices.items()}

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = any((folder / key).is_dir() for folder in files.folders())
        return self._groups[key]

    def _read(self, group: str, option: str) -> files.Yaml | None:
        if (group, option) not in self._yamls:
            self._yamls[group, option] = files.read(group, option)
        return self._yamls[group, option]


def _by_hydra(overrides: Sequence[str]) -> Composed:
    composed, choices = composing.compose_with_choices(overrides)
    try:
        resolved: Any = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise explaining.explain(overrides, error) from error
    resolved.pop("sweep", None)
    return resolved, choices


def _at(root: dict[str, Any], package: str) -> dict[str, Any]:
    """The mapping at a dotted key, made where there is none."""
    for name in package.split(".") if package else []:
        root = root.setdefault(name, {})
        if not isinstance(root, dict) or not name.isidentifier():
            raise NeedsHydra
    return root


def _lay_over(into: dict[str, Any], node: Mapping[str, Any]) -> None:
    """Merge as OmegaConf does; lists are not copied."""
    for key, value in node.items():
        before = into.get(key)
        _require_exchangeable(before, value)
        if isinstance(value, Mapping):
            if not isinstance(before, dict):
                into[key] = {}
            _lay_over(into[key], value)
        else:
            into[key] = value


def _require_exchangeable(before: Any, value: Any) -> None:
    """Refuse what OmegaConf refuses or follows: `???`, lists for mappings, interpolations."""
    container = isinstance(value, Mapping | list)
    both = container and isinstance(before, dict | list)
    mixed = both and isinstance(before, list) != isinstance(value, list)
    followed = container and isinstance(before, str) and "${" in before
    if mixed or followed or value == _MISSING:
        raise NeedsHydra


def _apply(override: Override, config: dict[str, Any]) -> None:
    """A typed value, as Hydra lays it over a configuration that takes no new keys."""
    if not _KEY.fullmatch(override.key_or_group):
        raise NeedsHydra
    *parents, last = override.key_or_group.split(".")
    may_add = override.is_add() or override.is_force_add()
    node: Any = config
    for name in parents:
        node = node.setdefault(name, {}) if may_add else node.get(name)
        if not isinstance(node, dict):
            raise NeedsHydra
    value, before = copy.deepcopy(override.value()), node.get(last)
    container = isinstance(value, dict | list)
    if override.is_delete():
        if value is not None or before is None:
            raise NeedsHydra
        del node[last]
        return
    if override.is_add():
        refused = before is not None and not container
    else:
        refused = last not in node and not may_add
    if refused or (isinstance(before, dict | list) and not container and value is not None):
        raise NeedsHydra
    if isinstance(before, dict) and isinstance(value, dict) and not may_add:
        _require_keys(before, value)
    _lay_over(node, {last: value})


def _require_keys(before: dict[str, Any], value: Mapping[str, Any]) -> None:
    for key, each in value.items():
        if key not in before:
            raise NeedsHydra
        if isinstance(each, dict) and isinstance(before[key], dict):
            _require_keys(before[key], each)


def _resolved(plain: dict[str, Any]) -> dict[str, Any]:
    """A copy with the value in the place of every interpolation."""
    try:
        found: Any = _followed(plain, plain, ())
    except NeedsHydra:  # a resolver, or a text with an interpolation in it
        found = OmegaConf.to_container(OmegaConf.create(plain), resolve=True)
    return dict(found)


def _followed(node: Any, root: dict[str, Any], within: tuple[str, ...]) -> Any:
    if isinstance(node, dict):
        return {key: _followed(value, root, within) for key, value in node.items()}
    if isinstance(node, list):
        return [_followed(item, root, within) for item in node]
    if not isinstance(node, str) or "${" not in node:
        return node
    reference = _REFERENCE.fullmatch(node)
    if reference is None or node in within:
        raise NeedsHydra
    found: Any = root
    for name in reference[1].split("."):
        if not isinstance(found, dict) or name not in found:
            raise NeedsHydra
        found = found[name]
    return _followed(found, root, (*within, node))
