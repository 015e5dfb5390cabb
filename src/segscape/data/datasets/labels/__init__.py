"""Class names and colours of data sets with many classes, one JSON file each."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib import resources

from segscape.data.base import Palette


@lru_cache
def label_table(name: str) -> tuple[tuple[str, ...], Palette]:
    """Class names and RGB colours in the order of the training ids.

    Args:
        name: of the file in this folder, without `.json`.
    """
    text = resources.files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    table = json.loads(text)
    palette = tuple((red, green, blue) for red, green, blue in table["palette"])
    return tuple(table["classes"]), palette
