"""Every part that the configuration offers, found by listing its files."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import yaml

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
