"""What each `model=` chooses, read from its yaml without composing: for lists and hints.

Composing with Hydra takes a tenth of a second per model. A model's yaml only names other yamls and
sets keys, so reading those gives the same; a test compares the two for every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf

from segscape.config import files
from segscape.config.targets import PARTS
from segscape.errors import UserError

_OVERRIDE = "override /"


@dataclass(frozen=True)
class System:
    """A network of the literature, or one of the user's.

    Attributes:
        name: the option of the group model.
        choices: option by part, for every part.
        settings: what `build.model` takes: the parts and `model`.
    """

    name: str
    choices: Mapping[str, str]
    settings: Mapping[str, Any]


def names() -> list[str]:
    """Every option of the group model."""
    return files.groups()["model"]


def read(name: str) -> System:
    """The parts and keys that `model=name` stands for."""
    choices = {
        group: option
        for entry in files.root()["defaults"]
        if isinstance(entry, Mapping)
        for group, option in entry.items()
        if group in PARTS
    }
    own: dict[str, Any] = {}
    _collect(name, choices, own)
    return System(name, choices, settings(choices, own))


def settings(choices: Mapping[str, str], own: Mapping[str, Any]) -> dict[str, Any]:
    """What `build.model` takes, from an option by part and the keys of a model's yaml."""
    return _merged({part: files.option(part, choices[part]) for part in PARTS}, own)


def using(part: str) -> tuple[list[str], list[str]]:
    """The decoders, and the systems, that do something with a context or a fusion.

    Args:
        part: "context" or "fusion".
    """
    from segscape.config.targets import locate

    decoders, systems = [], []
    for option in files.groups()["decoder"]:
        try:
            target = locate(str(files.option("decoder", option)["_target_"]), "decoder")
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


def _collect(name: str, choices: dict[str, str], own: dict[str, Any]) -> None:
    """Follow the defaults of a model's yaml, bases first, then its own keys over theirs."""
    node = files.option("model", name)
    for entry in node.get("defaults", ()):
        if isinstance(entry, str):
            if entry != "_self_":
                _collect(entry, choices, own)
            continue
        for key, option in entry.items():
            group = str(key).removeprefix(_OVERRIDE)
            if group in PARTS:
                choices[group] = option
    keys = {key: value for key, value in node.items() if key != "defaults"}
    own.update(_merged(own, keys))


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid over `base` as Hydra does it: mappings are joined key by key."""
    joined: Any = OmegaConf.to_container(OmegaConf.merge(base, over), resolve=False)
    return joined
