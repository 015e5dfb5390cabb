"""Which points no other point beats."""

from __future__ import annotations

import math
from collections.abc import Sequence


def front(points: Sequence[Sequence[float | None]], directions: Sequence[str]) -> list[int]:
    """Indices of the points that are on the Pareto front.

    A point is beaten by another that is as good everywhere and better somewhere. Equal points do
    not beat each other. A point that lacks a value is on no front.

    Args:
        points: of each, one value per objective.
        directions: `max` or `min`, one per objective.

    Returns:
        Indices in the order of `points`.
    """
    signs = [1.0 if way == "max" else -1.0 for way in directions]
    scores: dict[int, tuple[float, ...]] = {}
    for index, point in enumerate(points):
        known = [value for value in point if value is not None and not math.isnan(value)]
        if len(known) == len(signs):
            scores[index] = tuple(s * v for s, v in zip(signs, known, strict=True))
    # A point that beats another one comes before it in this order, and is itself on the front or
    # beaten by one that is: it is enough to compare with the points kept so far.
    kept: list[int] = []
    for index in sorted(scores, key=lambda i: scores[i], reverse=True):
        if not any(_beats(scores[other], scores[index]) for other in kept):
            kept.append(index)
    return sorted(kept)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))
