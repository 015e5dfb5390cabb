import math

import pytest

from segscape.errors import UserError
from segscape.losses.class_weights import class_weights
from segscape.losses.cross_entropy import CrossEntropy


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("sqrt_inverse", [1 / math.sqrt(0.5), 1 / math.sqrt(0.3), 1 / math.sqrt(0.2)]),
        ("median_frequency", [0.3 / 0.5, 1.0, 0.3 / 0.2]),
        ("enet", [1 / math.log(1.52), 1 / math.log(1.32), 1 / math.log(1.22)]),
        ("enet:1.10", [1 / math.log(1.6), 1 / math.log(1.4), 1 / math.log(1.3)]),
        ("enet:1.2", [1 / math.log(1.7), 1 / math.log(1.5), 1 / math.log(1.4)]),
    ],
)
def test_rules_by_hand(rule: str, expected: list[float]) -> None:
    weights = class_weights(rule, [0.5, 0.3, 0.2])
    assert weights == pytest.approx([3 * w / sum(expected) for w in expected])


def test_a_class_that_never_occurs_is_weighted_like_the_rarest() -> None:
    weights = class_weights("median_frequency", [0.8, 0.0, 0.2])
    assert weights[1] == weights[2] > weights[0]


def test_unknown_rules_are_errors() -> None:
    with pytest.raises(UserError, match="did you mean enet"):
        class_weights("e-net", [1.0])
    for rule in ("enet:1", "enet:x", "enet:", "enet:inf", "sqrt_inverse:2"):
        with pytest.raises(UserError, match="enet:C with C above 1"):
            class_weights(rule, [1.0])
    with pytest.raises(UserError, match="no pixel"):
        class_weights("enet", [0.0])
    with pytest.raises(UserError, match="name of a rule"):
        CrossEntropy(class_weights="enet")
