"""What each `model=` chooses, read from its yaml without composing: for lists and hints.

Composing with Hydra takes a tenth of a second per model. A model's yaml only names other yamls and
sets keys, so reading those gives the same; a test compares the two for every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from segscape.config import files, targets
from segscape.errors import UserError, unknown

PARTS = "parts"
"""The key of a model's yaml under which it gives arguments to the parts that it chooses."""

_OVERRIDE = "override /"


@dataclass(frozen=True)
class System:
    """A network of the literature, or one of the user's.

    Attributes:
        name: the option of the group model.
        choices: option by part, for every part.
        arguments: by part, what the model gives to its option beyond the option's yaml.
        settings: what `build.model` takes: the parts and `model`.
    """

    name: str
    choices: Mapping[str, str]
    arguments: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class _Said:
    """What a model's yaml and those that it builds on say."""

    choices: dict[str, str]
    arguments: dict[str, dict[str, Any]]
    keys: dict[str, Any]


def names() -> list[str]:
    """Every option of the group model."""
    return files.groups()["model"]


def read(name: str) -> System:
    """The parts and keys that `model=name` stands for.

    Raises:
        UserError: it chooses what does not exist, or its `parts` cannot be used.
    """
    said = _said(name)
    options = {part: files.option(part, said.choices[part]) for part in targets.PARTS}
    settings = _merged(options, said.arguments, said.keys)
    return System(name, said.choices, said.arguments, settings)


def has_parts(name: str) -> bool:
    """Whether the yaml of a model gives arguments to parts."""
    return files.file_of("model", name).is_file() and PARTS in files.option("model", name)


def arguments(name: str, choices: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """By part, what a model gives to the options that it has chosen itself.

    Args:
        name: an option of the group model; one whose yaml is not found gives nothing.
        choices: the option of each part in the end; what was exchanged is given nothing.

    Raises:
        UserError: the `parts` of its yaml cannot be used.
    """
    if not files.file_of("model", name).is_file():
        return {}
    said = _said(name)
    return {
        part: given for part, given in said.arguments.items() if choices[part] == said.choices[part]
    }


def using(part: str) -> tuple[list[str], list[str]]:
    """The decoders, and the systems, that do something with a context or a fusion.

    Args:
        part: "context" or "fusion".
    """
    decoders, systems = [], []
    for option in files.groups()["decoder"]:
        try:
            target = targets.locate(str(files.option("decoder", option)["_target_"]), "decoder")
        except UserError:  # needs a package that is not installed
            continue
        if part in getattr(target, "uses", ()):
            decoders.append(option)
    for name in names():
        if _decoder_of(name) in decoders:
            systems.append(name)
    return decoders, systems


def _decoder_of(name: str) -> str | None:
    try:
        return read(name).choices["decoder"]
    except UserError:  # a model of the user's that names an option which does not exist
        return None


def _said(name: str) -> _Said:
    defaults = files.root()["defaults"]
    chosen = {k: v for entry in defaults if isinstance(entry, Mapping) for k, v in entry.items()}
    said = _Said({part: chosen[part] for part in targets.PARTS}, {}, {})
    _collect(name, said)
    return said


def _collect(name: str, said: _Said) -> None:
    """Follow the defaults of a model's yaml, bases first, then its own keys over theirs."""
    node = files.option("model", name)
    for entry in node.pop("defaults", ()):
        if isinstance(entry, str):
            base = entry.removeprefix("/model/")
            if base != "_self_" and "/" not in base:
                _collect(base, said)
            continue
        for key, option in entry.items():
            group = str(key).removeprefix(_OVERRIDE)
            if group in targets.PARTS:
                if option != said.choices[group]:
                    said.arguments.pop(group, None)
                said.choices[group] = option
    for part, given in _checked(name, node.pop(PARTS, None)).items():
        said.arguments[part] = _merged(said.arguments.get(part, {}), given)
    said.keys.update(_merged(said.keys, node))


def _checked(name: str, parts: Any) -> Mapping[str, Mapping[str, Any]]:
    """The key `parts` of a model's yaml."""
    where = f"{PARTS} of model={name}"
    if parts is not None and not isinstance(parts, Mapping):
        raise UserError(
            f"{where} is no mapping", f"write {PARTS}: {{decoder: {{ARGUMENT: VALUE}}}}"
        )
    for part, given in (parts or {}).items():
        if part not in targets.PARTS:
            raise unknown(f"{where} has no part {part!r}", str(part), targets.PARTS)
        if not isinstance(given, Mapping) or "_target_" in given:
            raise UserError(
                f"{where}: {part} must be a mapping of arguments",
                f"to choose another {part} write - override /{part}: OPTION under defaults",
            )
    return parts or {}


def _merged(*nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Each laid over those before it as Hydra does it: mappings are joined key by key."""
    joined: Any = OmegaConf.to_container(OmegaConf.merge(*nodes), resolve=False)
    return joined
