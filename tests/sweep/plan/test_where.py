"""Conditions: what they mean, and what they refuse."""

from __future__ import annotations

import pytest

from segscape.errors import UserError
from segscape.sweep.plan.where import read

VALUES = {
    "macs": 12e9,
    "params": 5_000_000,
    "macs_fusion": 1e9,
    "fusion": "add",
    "encoder": "stdc1",
    "seed": 2,
    "optim.lr": 0.1,
    "val/miou": 0.5,
    "latency/p50_ms": 3.0,
    "model.auxiliary": None,
    "e9": 1,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("macs<15e9 and params<10e6", True),
        ("macs<15e9 and params<1e6", False),
        ("macs > 15e9 or params < 10e6", True),
        ("not macs < 15e9", False),
        ("1e6 < params <= 5e6", True),
        ("6e6 < params <= 9e6", False),
        ("fusion == 'add'", True),
        ('fusion != "add"', False),
        ("fusion in ('add', 'ffm') and seed in [1, 2]", True),
        ("fusion not in ['add']", False),
        ("'stdc' in encoder", True),
        ("macs_fusion < 0.1*macs", True),
        ("macs_fusion / macs > 0.1", False),
        ("optim.lr * 10 == 1", True),
        ("val/miou > .4 and latency/p50_ms<20", True),
        ("macs/params > 2000", True),
        ("macs/1e9 < 12.5", True),
        ("macs < 1.5e+10", True),
        ("-seed == -2 and +seed == 2", True),
        ("seed % 2 == 0 and seed // 2 == 1", True),
        ("model.auxiliary == null", True),
        ("(seed == 2) == true", True),
        ("seed == 1 or (seed == 2 and fusion == 'add')", True),
    ],
)
def test_conditions_are_evaluated(text: str, expected: bool) -> None:
    assert read(text, VALUES).holds(VALUES) is expected


def test_and_and_or_stop_early() -> None:
    condition = read("fusion == 'ffm' and later > 3 or seed == 2", {*VALUES, "later"})
    assert condition.holds(VALUES) is True


def test_a_slash_is_a_division_only_if_the_key_is_unknown() -> None:
    known = {"a": 6, "b": 3, "a/b": 5}
    assert read("a/b", known).value(known) == 5
    assert read("a / b", known).value(known) == 2
    assert read("b/a", known).value(known) == 0.5


def test_without_known_keys_every_name_is_one() -> None:
    condition = read("val/miou > 0.5 and latency/p50_ms < 20 and x == null")
    assert condition.names == ("val/miou", "latency/p50_ms", "x")
    with pytest.raises(UserError, match="latency/p50_ms is not known here"):
        condition.holds({"val/miou": 0.7})


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("mac < 1", "no 'mac'", "did you mean macs?"),
        ("fusoin == 'add'", "no 'fusoin'", "did you mean fusion?"),
        ("latency/p99_ms < 3", "no 'latency/p99_ms'", "did you mean latency/p50_ms?"),
        ("fusion.upper == 1", "no 'fusion.upper'", "did you mean fusion?"),
        ("fusion == add", "no 'add'", "stands in quotes: 'add'"),
        ("fusion = 'add'", "cannot be read", "equality is =="),
        ("macs < 1 && params < 1", "cannot be read", "and, or, not"),
        ("macs <", "cannot be read", "e.g. macs < 15e9"),
        ("", "cannot be read", "e.g. macs < 15e9"),
        ("macs < 'a'", "do not go together", "texts stand in quotes"),
        ("fusion < 3", "do not go together", "texts stand in quotes"),
        ("'a' * 100000000000 == fusion", "do not go together", ""),
        ("seed in 3", "do not go together", ""),
        ("macs % 0 == 1", "divides by zero", ""),
        ("macs", "neither true nor false", ""),
        ("macs < 15e9, params < 10e6", "neither true nor false", "and, or, not"),
    ],
)
def test_mistakes_are_explained(text: str, message: str, hint: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        read(text, VALUES).holds(VALUES)
    assert hint in str(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true') == 0",
        "().__class__.__bases__ == 1",
        "[x for x in [1]] == [1]",
        "(lambda: 1)() == 1",
        "9**9**9 > 1",
        "fusion[0] == 'a'",
        "f'{macs}' == 'x'",
        "(seed := 3) == 3",
        "abs(macs) > 1",
        "1 if seed else 2",
        "{1: 2} == 3",
        "seed << 400000 > 1",
    ],
)
def test_nothing_but_conditions_is_let_in(text: str) -> None:
    with pytest.raises(UserError):
        read(text, VALUES)
    with pytest.raises(UserError):
        read(text)


def test_the_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"^sweep\.constraints: "):
        read("latency < 3", VALUES, what="sweep.constraints")
