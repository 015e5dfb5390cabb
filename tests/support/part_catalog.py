"""Every part that the configuration offers, found by listing its files."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
import yaml

from segscape.models.contracts import FeatureSpec

CONF = Path(__file__).parents[2] / "conf"


def options(group: str) -> list[str]:
    found = sorted(path.stem for path in (CONF / group).glob("*.yaml"))
    assert found, f"conf/{group} is empty"
    return found


def factory(group: str, option: str) -> Callable[..., Any]:
    """What the yaml describes, waiting for the channels."""
    choices = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
    module, _, name = choices.pop("_target_").rpartition(".")
    return partial(getattr(importlib.import_module(module), name), **choices)


@lru_cache
def kind(group: str, option: str) -> Any:
    """The class behind an option."""
    made: Any = factory(group, option)
    return made.func


@lru_cache
def needs(decoder: str) -> set[int | str]:
    """Strides and extras that a decoder cannot do without."""
    found = kind("decoder", decoder)
    return {*found.requires, *getattr(found, "extras", ())}


@lru_cache
def pyramid_decoders() -> list[str]:
    """The decoders with a fusion that read strides only."""
    return [
        option
        for option in options("decoder")
        if "fusion" in kind("decoder", option).uses
        and not getattr(kind("decoder", option), "extras", ())
    ]


@lru_cache
def spec(encoder: str) -> FeatureSpec:
    with torch.device("meta"):
        found: FeatureSpec = factory("encoder", encoder)().spec
    return found


@lru_cache
def encoders_for(decoder: str) -> list[str]:
    """The encoders that give what a decoder needs."""
    return [e for e in options("encoder") if needs(decoder) <= {*spec(e).strides, *spec(e).extras}]
