"""Which yaml files make up a configuration, in which order: Hydra's rules, without Hydra.

The rules for `defaults` of train.yaml and of options that build on options of their own group:
what comes later in the list is read first, and of several `override /group: option` the first
one found counts, after those that were typed. Whatever else Hydra allows raises `NeedsHydra`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from segscape.config import files
from segscape.config.targets import PARTS
from segscape.errors import UserError, unknown

PARTS_KEY = "parts"
"""The key of a model's yaml under which it gives arguments to the parts that it chooses."""

PARTS_PATH = f"{PARTS_KEY}/"
"""How the entry of train.yaml begins that stands for these arguments."""

Read = Callable[[str, str], files.Yaml | None]
Arguments = dict[str, Mapping[str, Any]]

_OVERRIDE = "override "
_NAME = re.compile(r"\w[\w.-]*")


class NeedsHydra(Exception):
    """This configuration, or the error in it, must come from Hydra."""


@dataclass(frozen=True)
class Layer:
    """The keys of one yaml.

    Attributes:
        node: its keys; they must not be changed.
        package: dotted key at which they are laid over the layers before; empty for the root.
    """

    node: Mapping[str, Any]
    package: str


@dataclass(frozen=True)
class Expanded:
    """A choice of options, worked out.

    Attributes:
        layers: in the order of merging.
        choices: the option of every group of train.yaml.
    """

    layers: tuple[Layer, ...]
    choices: Mapping[str, str | None]


def expand(chosen: Mapping[str, Any], read: Read = files.read) -> Expanded:
    """Work out train.yaml with other options in the place of its own.

    Args:
        chosen: option by group, as typed.
        read: the yaml of a group's option, or None.

    Raises:
        NeedsHydra: not by the rules above.
        UserError: the `parts` of a model's yaml cannot be used.
    """
    walk = _Walk(dict(chosen), read)
    layers = list(walk.children(files.root_yaml(), "", ""))
    if not walk.overrides.keys() <= walk.choices.keys():
        raise NeedsHydra
    at = layers.index(_ARGUMENTS)
    given = arguments(walk.choices["model"], walk.choices, read)
    layers[at : at + 1] = [Layer(each, "") for each in given]
    return Expanded(tuple(layers), walk.choices)


_ARGUMENTS = Layer({}, PARTS_PATH)
"""Stands for the arguments of the parts until all options are known."""


@dataclass
class _Walk:
    overrides: dict[str, Any]
    read: Read

    def __post_init__(self) -> None:
        self.choices: dict[str, str | None] = {}

    def children(self, yaml: files.Yaml, group: str, package: str) -> Iterator[Layer]:
        """The layers of a yaml: of its defaults, and its own."""
        entries = list(yaml.content.get("defaults") or ())
        if "_self_" not in entries:
            entries.append("_self_")
        for entry in entries:
            self._note_override(entry)
        found = [self._layers(entry, yaml, group, package) for entry in reversed(entries)]
        return (layer for layers in reversed(found) for layer in layers)

    def _note_override(self, entry: Any) -> None:
        for key, option in entry.items() if isinstance(entry, Mapping) else ():
            group = key.removeprefix(_OVERRIDE).removeprefix("/")
            if key.startswith(_OVERRIDE) and not group.startswith("hydra/"):
                if group in self.choices and group not in self.overrides:
                    raise NeedsHydra  # too late, which Hydra refuses
                self.overrides.setdefault(group, option)

    def _layers(self, entry: Any, yaml: files.Yaml, group: str, package: str) -> list[Layer]:
        if entry == "_self_":
            left_out = {"defaults"} | ({PARTS_KEY} if group == "model" else set())
            return [Layer({k: v for k, v in yaml.content.items() if k not in left_out}, package)]
        if isinstance(entry, str):
            if entry.startswith(PARTS_PATH) and not group:
                return [_ARGUMENTS]
            return self._option(group, entry, package)
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise NeedsHydra
        ((key, option),) = entry.items()
        if key.startswith(_OVERRIDE):
            return []
        if group or not re.fullmatch(r"\w+", key):
            raise NeedsHydra
        self.choices[key] = self.overrides.get(key, option)
        return [] if self.choices[key] is None else self._option(key, self.choices[key], key)

    def _option(self, group: str, name: Any, package: str) -> list[Layer]:
        yaml = self.read(group, name) if isinstance(name, str) and _NAME.fullmatch(name) else None
        if yaml is None:
            raise NeedsHydra
        if yaml.package is not None:
            package = re.sub(r"^_global_\.?", "", yaml.package)
            if re.search(r"\b_\w+_\b", package):
                raise NeedsHydra
        return list(self.children(yaml, group, package))


def arguments(
    model: str | None, choices: Mapping[str, Any], read: Read = files.read
) -> list[Arguments]:
    """What a model, and those that it builds on, give to the options that it has chosen itself.

    Args:
        model: an option of the group model; one whose yaml is not found gives nothing.
        choices: the option of each part in the end; what was exchanged is given nothing.
        read: the yaml of a group's option, or None.

    Returns:
        By part and argument, each to be laid over those before it.

    Raises:
        UserError: the `parts` of its yaml cannot be used.
    """
    chain = list(_chain(str(model), read))
    if not any(PARTS_KEY in yaml.content for _, yaml in chain):
        return []
    found: list[Arguments] = []
    kept = set(PARTS)
    # From the model to the one that it builds on first: each must have chosen the same option.
    for name, yaml in chain:
        own = _own_choices(name, read)
        kept = {part for part in kept if own[part] == choices[part]}
        parts = _checked(name, yaml)
        found.insert(0, {part: given for part, given in parts.items() if part in kept})
    return [each for each in found if each]


def _chain(model: str, read: Read) -> Iterator[tuple[str, files.Yaml]]:
    """A model and those that it builds on, the last first."""
    yaml = read("model", model)
    if yaml is not None:
        yield model, yaml
        for entry in reversed(yaml.content.get("defaults") or ()):
            if isinstance(entry, str) and entry != "_self_":
                yield from _chain(entry, read)


def _own_choices(model: str, read: Read) -> Mapping[str, Any]:
    walk = _Walk({"model": model}, read)
    try:
        list(walk.children(files.root_yaml(), "", ""))
    except NeedsHydra as error:
        raise UserError(
            f"{PARTS_KEY} of model={model}: its defaults do more than name models and options",
            "write - override /GROUP: OPTION, or the name of another model",
        ) from error
    return walk.choices


def _checked(name: str, yaml: files.Yaml) -> Mapping[str, Mapping[str, Any]]:
    """The key `parts` of a model's yaml."""
    parts = yaml.content.get(PARTS_KEY) or {}
    where = f"{PARTS_KEY} of model={name}"
    if not isinstance(parts, Mapping):
        raise UserError(
            f"{where} is not a mapping", f"write {PARTS_KEY}: {{decoder: {{ARGUMENT: VALUE}}}}"
        )
    for part, given in parts.items():
        if part not in PARTS:
            raise unknown(f"{where} has no part {part!r}", str(part), PARTS)
        if not isinstance(given, Mapping) or "_target_" in given:
            raise UserError(
                f"{where}: {part} must be a mapping of arguments",
                f"to choose another {part} write - override /{part}: OPTION under defaults",
            )
    return parts
