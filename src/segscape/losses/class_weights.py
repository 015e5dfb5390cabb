"""Class weights from how often each class occurs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from segscape.errors import UserError, nearest

# p: share of the labelled pixels that a class has; m: the median of these shares
RULES: dict[str, Callable[[float, float], float]] = {
    # between equal weights and inverse frequency: rare classes count, common ones still rule
    "sqrt_inverse": lambda p, m: 1 / math.sqrt(p),
    # Eigen and Fergus, ICCV 2015 (SegNet weighs so)
    "median_frequency": lambda p, m: m / p,
    # Paszke et al., ENet, arXiv 1606.02147
    "enet": lambda p, m: 1 / math.log(1.02 + p),
}


def class_weights(rule: str, shares: Sequence[float]) -> list[float]:
    """Weights by a named rule, scaled to a mean of 1.

    Args:
        rule: sqrt_inverse, median_frequency or enet.
        shares: share of the labelled pixels of each class, 0..1. A class that never occurs gets
            the largest weight of the others: it cannot be trained anyway.

    Raises:
        UserError: no such rule.
    """
    if rule not in RULES:
        close = nearest(rule, RULES)
        hint = f"did you mean {close}? " if close else ""
        raise UserError(
            f"loss.class_weights={rule} is not known",
            f"{hint}choices: {', '.join(RULES)}, null, or one number per class",
        )
    seen = sorted(share for share in shares if share > 0)
    if not seen:
        raise UserError("loss.class_weights: no pixel of the training split has a label")
    middle = (seen[(len(seen) - 1) // 2] + seen[len(seen) // 2]) / 2
    weights = [RULES[rule](share, middle) if share > 0 else 0.0 for share in shares]
    weights = [weight or max(weights) for weight in weights]
    mean = sum(weights) / len(weights)
    return [weight / mean for weight in weights]
