"""Class weights from how often each class occurs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from segscape.errors import UserError, unknown

ENET_OFFSET = 1.02

# p: share of the labelled pixels that a class has; m: the median of these shares
RULES: dict[str, Callable[[float, float], float]] = {
    # between equal weights and inverse frequency
    "sqrt_inverse": lambda p, m: 1 / math.sqrt(p),
    # Eigen and Fergus, ICCV 2015 (SegNet weighs so)
    "median_frequency": lambda p, m: m / p,
    # Paszke et al., ENet, arXiv 1606.02147
    "enet": lambda p, m: _enet(p, ENET_OFFSET),
}


def class_weights(rule: str, shares: Sequence[float]) -> list[float]:
    """Weights by a named rule, scaled to a mean of 1.

    Args:
        rule: sqrt_inverse, median_frequency or enet. ENet's weights are 1 / ln(c + p) with
            c = 1.02; `enet:1.10` gives c. The larger it is, the closer the weights are to each
            other: 1.02 bounds them by 50, 1.10 by 10, 1.20 by 5.5.
        shares: share of the labelled pixels of each class, 0..1. A class that never occurs gets
            the largest weight of the others.

    Raises:
        UserError: no such rule.
    """
    weigh = _parse(rule)
    if weigh is None:
        others = ("enet:C with C above 1", "null", "one number per class")
        raise unknown(f"loss.class_weights={rule} is not known", rule, (*RULES, *others))
    seen = sorted(share for share in shares if share > 0)
    if not seen:
        raise UserError("loss.class_weights: no pixel of the training split has a label")
    middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
    weights = [weigh(share, middle) if share > 0 else 0.0 for share in shares]
    weights = [weight or max(weights) for weight in weights]
    mean = sum(weights) / len(weights)
    return [weight / mean for weight in weights]


def _parse(rule: str) -> Callable[[float, float], float] | None:
    """The formula of a rule, None when there is no such rule."""
    name, colon, number = rule.partition(":")
    if not colon:
        return RULES.get(rule)
    try:
        offset = float(number)
    except ValueError:
        return None
    return (lambda p, m: _enet(p, offset)) if name == "enet" and 1 < offset < math.inf else None


def _enet(p: float, offset: float) -> float:
    """ENet's weight of a class with the share p, at most 1 / ln(offset)."""
    return 1 / math.log(offset + p)
