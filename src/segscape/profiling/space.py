"""Every design that the parts allow, and every system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from segscape.build import part
from segscape.config import files, systems
from segscape.errors import UserError
from segscape.profiling.designs import takes_classes, uses

REFERENCE = "ppliteseg"


def designs() -> Iterator[dict[str, str]]:
    """Options by part: every encoder with every decoder, and with every context and fusion that
    the decoder uses. Many do not fit together: counting or building one raises UserError.
    """
    groups = files.groups()
    for decoder in groups["decoder"]:
        try:
            used, scored = uses(_node("decoder", decoder)), _is_scored(decoder)
        except UserError:  # needs a package that is not installed
            continue
        contexts = groups["context"] if "context" in used else ["none"]
        fusions = groups["fusion"] if "fusion" in used else ["add"]
        for encoder in groups["encoder"]:
            for context in contexts:
                for fusion in fusions:
                    yield {
                        "encoder": encoder,
                        "context": context,
                        "decoder": decoder,
                        "fusion": fusion,
                        "head": "scores" if scored else "seg",
                    }


def settings(choices: Mapping[str, str]) -> dict[str, Any]:
    """What `DesignCosts.of` and `build.model` take, normalised as PP-LiteSeg is, without
    auxiliary heads.
    """
    return {**{group: _node(group, option) for group, option in choices.items()}, "model": _model()}


@lru_cache(maxsize=1)
def _model() -> dict[str, Any]:
    return {**systems.read(REFERENCE).settings["model"], "name": "design", "auxiliary": None}


@lru_cache(maxsize=4096)
def _node(group: str, option: str) -> dict[str, Any]:
    return files.option(group, option)


def _is_scored(decoder: str) -> bool:
    return takes_classes(part({"decoder": _node("decoder", decoder)}, "decoder").func)
