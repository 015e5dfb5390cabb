"""Decoded samples, kept: in memory or on a disk."""

from __future__ import annotations

from segscape.errors import UserError, nearest

CACHES = ("none", "memory", "disk")


def require_cache(value: str) -> str:
    """One of CACHES; UserError with the nearest otherwise."""
    if value not in CACHES:
        close = nearest(str(value), CACHES)
        hint = f"Did you mean {close}? " if close else ""
        raise UserError(
            f"data.cache={value} is not a choice", f"{hint}Choices: {', '.join(CACHES)}."
        )
    return value
