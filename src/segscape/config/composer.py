"""Many configurations composed at once: the same as `composing.compose_with_choices`, faster.

Hydra reads every yaml and works out the whole defaults list anew for each composition, a tenth of
a second. Here every yaml is read once, and a list of defaults is worked out by Hydra once for all
points that differ only in options without defaults of their own: such an option is a leaf, and
another leaf in its place changes nothing but its name. The yamls are merged as plain data; values
typed are laid over by Hydra's own function. What this way is not sure to do exactly as Hydra does
it goes through Hydra.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.default_element import InputDefault
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.config_source import ConfigResult
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segscape.config import command_line, composing, explaining, model_parts
from segscape.config.files import CONFIG_NAME
from segscape.config.hydra_session import own_hydra, search_path
from segscape.config.override_text import parsed
from segscape.errors import UserError

Composed = tuple[dict[str, Any], dict[str, str]]


class _Unsure(Exception):
    """This composition has to go through Hydra."""


@dataclass(frozen=True)
class _Skeleton:
    """A list of defaults and its choices, with any option in the place of the leaves.

    Attributes:
        files: path and package of each yaml, in the order of merging; the node `hydra` left out.
        choices: option by group.
        leaves: group -> option that stands in `files` and may be exchanged.
    """

    files: tuple[tuple[str, str], ...]
    choices: Mapping[str, str]
    leaves: Mapping[str, str]


class Composer:
    """Composes configurations; the yamls are read once, as they are when it is made."""

    def __init__(self) -> None:
        with own_hydra():
            loader = GlobalHydra.instance().config_loader()
            assert isinstance(loader, ConfigLoaderImpl)
            _, self._files = loader._parse_overrides_and_create_caching_repo(
                CONFIG_NAME, search_path()
            )
        self._repository = _Repository(self._files)
        self._skeletons: dict[tuple[Any, ...], _Skeleton] = {}
        self._groups: dict[str, bool] = {}

    def compose(self, overrides: Sequence[str]) -> Composed:
        """The resolved configuration as plain data, and the option of each group.

        Raises:
            UserError: an override names no group, option or key, or cannot be parsed.
        """
        try:
            return self._quickly([parsed(text) for text in command_line.admit(overrides)])
        except (_Unsure, UserError, HydraException, OmegaConfBaseException, ValueError):
            # Hydra itself has the last word, also on what is wrong.
            return _by_hydra(overrides)

    def _quickly(self, overrides: Sequence[Override]) -> Composed:
        chosen: dict[str, Override] = {}
        values: list[Override] = []
        for override in overrides:
            if override.is_sweep_override():
                raise _Unsure
            if isinstance(override.value(), dict) or not self._is_group(override.key_or_group):
                values.append(override)
            else:
                chosen[override.get_key_element()] = override
        if any(override.key_or_group.startswith("hydra") for override in values):
            raise _Unsure
        skeleton = self._skeleton(chosen)
        plain: dict[str, Any] = {}
        for path, package in skeleton.files:
            _merge(plain, self._repository.plain(path), package)
        node = OmegaConf.create(plain)
        OmegaConf.set_struct(node, True)
        ConfigLoaderImpl._apply_overrides_to_config(values, node)
        resolved: Any = OmegaConf.to_container(node, resolve=True)
        resolved.pop("sweep", None)
        return resolved, dict(skeleton.choices)

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = self._files.group_exists(key)
        return self._groups[key]

    def _skeleton(self, chosen: Mapping[str, Override]) -> _Skeleton:
        """The list of defaults under these choices of groups."""
        leaves = {
            key: str(override.value())
            for key, override in chosen.items()
            if override.package is None
            and not (override.is_add() or override.is_delete())
            and isinstance(override.value(), str)
            and self._repository.is_leaf(f"{key}/{override.value()}")
        }
        fixed = tuple(str(o.input_line) for key, o in chosen.items() if key not in leaves)
        known = (fixed, frozenset(leaves))
        if known not in self._skeletons:
            self._skeletons[known] = self._by_hydras_rules(list(chosen.values()), leaves)
        found = self._skeletons[known]
        if found.leaves == leaves:
            return found
        renamed = {f"{key}/{found.leaves[key]}": f"{key}/{leaves[key]}" for key in leaves}
        choices = {**found.choices, **leaves}
        renamed[model_parts.path_of(found.choices)] = model_parts.path_of(choices)
        files = tuple((renamed.get(path, path), package) for path, package in found.files)
        return _Skeleton(files, choices, leaves)

    def _by_hydras_rules(self, chosen: list[Override], leaves: Mapping[str, str]) -> _Skeleton:
        found = create_defaults_list(
            repo=self._repository,
            config_name=CONFIG_NAME,
            overrides_list=chosen,
            prepend_hydra=True,
            skip_missing=False,
        )
        files = []
        for default in found.defaults:
            path, package = str(default.config_path), str(default.package or "")
            if package == "hydra" or package.startswith("hydra."):
                continue
            if self._files.get_schema_source().is_config(path):
                raise _Unsure  # a type that its yaml is checked against
            files.append((path, package))
        choices = {str(k): str(v) for k, v in found.overrides.known_choices.items()}
        for key, option in leaves.items():
            # A leaf stands there once, under its own name, or it is none.
            if [path for path, _ in files].count(f"{key}/{option}") != 1:
                raise _Unsure
        return _Skeleton(tuple(files), choices, leaves)


class _Defaults(list[InputDefault]):
    """A defaults list. Hydra copies it before it writes into its entries, deeply and slowly."""

    def __deepcopy__(self, memo: dict[int, Any]) -> list[InputDefault]:
        return [copy.copy(entry) for entry in self]


class _Repository(CachingConfigRepository):
    """The yamls by path, read once, for Hydra as it wants them and as plain data."""

    def __init__(self, files: CachingConfigRepository) -> None:
        self.delegate = files.delegate
        self.cache = files.cache
        self._plain: dict[str, dict[str, Any]] = {}

    def load_config(self, config_path: str) -> ConfigResult | None:
        found = super().load_config(config_path)
        if found is not None and type(found.defaults_list) is list:
            for entry in found.defaults_list:
                named = str(getattr(entry, "value", None) or getattr(entry, "path", ""))
                if "${" in named and not named.startswith(model_parts.PREFIX):
                    raise _Unsure  # depends on what else is chosen
            found.defaults_list = _Defaults(found.defaults_list)
        return found

    def is_leaf(self, path: str) -> bool:
        """Whether an option has no defaults and stands at the place of its group."""
        found = self.load_config(path)
        return found is not None and not found.defaults_list and found.header["package"] is None

    def plain(self, path: str) -> dict[str, Any]:
        """What a yaml says, without its defaults; it must not be changed."""
        if path not in self._plain:
            found = self.load_config(path)
            assert found is not None, "Hydra has put it into the list"
            if found.is_schema_source or not OmegaConf.is_dict(found.config):
                raise _Unsure
            node: Any = OmegaConf.to_container(found.config, resolve=False)
            node.pop("hydra", None)
            if _has_missing(node):
                raise _Unsure
            self._plain[path] = node
        return self._plain[path]


def _by_hydra(overrides: Sequence[str]) -> Composed:
    composed, choices = composing.compose_with_choices(overrides)
    try:
        resolved: Any = OmegaConf.to_container(composed, resolve=True)
    except OmegaConfBaseException as error:
        raise explaining.explain(overrides, error) from error
    resolved.pop("sweep", None)
    return resolved, choices


def _merge(into: dict[str, Any], node: Mapping[str, Any], package: str) -> None:
    """Lay a yaml over what was merged before, at its package."""
    for name in package.split(".") if package else []:
        if not name.isidentifier():
            raise _Unsure
        child = into.setdefault(name, {})
        if not isinstance(child, dict):
            raise _Unsure
        into = child
    _lay_over(into, node)


def _lay_over(into: dict[str, Any], node: Mapping[str, Any]) -> None:
    for key, value in node.items():
        before = into.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            _lay_over(before, value)
            continue
        container = isinstance(value, dict | list)
        mixed = isinstance(before, dict | list) and container and type(before) is not type(value)
        if mixed or (container and isinstance(before, str) and "${" in before):
            raise _Unsure  # OmegaConf refuses the one and follows the other
        into[key] = copy.deepcopy(value) if container else value


def _has_missing(node: Any) -> bool:
    if isinstance(node, dict):
        return any(_has_missing(value) for value in node.values())
    if isinstance(node, list):
        return any(_has_missing(value) for value in node)
    return bool(node == "???")
