"""Counts in the units in which they are printed."""

from __future__ import annotations

import math
from typing import Any

NONE = "–"
"""Shown for a count that is not known."""


def format_count(value: Any) -> str:
    """A count with three or four digits and a unit: ``8.028 M``, ``11.42 G``, ``512``."""
    if is_missing(value):
        return NONE
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            scale = 1e3 if unit == "k" else limit
            return f"{value / scale:#.4g} {unit}"
    return str(int(value))


def is_missing(value: Any) -> bool:
    """Whether there is no figure."""
    return value is None or (isinstance(value, float) and math.isnan(value))
