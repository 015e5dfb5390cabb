"""What each `model=` selects, for lists and hints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from segscape.config import files, targets
from segscape.config.composer import Composer
from segscape.errors import UserError


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
    """The parts and keys that `model=name` selects.

    Raises:
        UserError: there is no such model, it chooses what does not exist, or its `parts` cannot be
            used.
    """
    config, choices = Composer().compose([f"model={name}"])
    return System(
        name,
        {part: choices[part] for part in targets.PARTS},
        {key: config[key] for key in ("model", *targets.PARTS)},
    )


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
