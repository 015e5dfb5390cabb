from __future__ import annotations

import io

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from segscape.errors import UserError
from segscape.optim.optimizers import sgd
from segscape.optim.schedules import constant, poly


def optimizer(lr: float = 0.01, factors: dict | None = None) -> torch.optim.Optimizer:
    return sgd(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)), lr=lr, lr_factors=factors)


def rates(schedule: LRScheduler, steps: int, group: int = 0) -> list[float]:
    """The rates that steps 0, 1, ... are taken with."""
    found = []
    for _ in range(steps):
        found.append(schedule.optimizer.param_groups[group]["lr"])
        schedule.optimizer.step()
        schedule.step()
    return found


def test_poly_after_a_warm_up() -> None:
    found = rates(poly(optimizer(), total_steps=10, warmup_steps=4), 13)
    expected = [
        1e-5,
        0.0025075,
        0.005005,
        0.0075025,
        0.01,
        0.008486661,  # 0.01 * (5/6) ** 0.9
        0.006942531,
        0.005358867,
        0.003720411,
        0.001993717,
        0.0,
        0.0,  # stays at the end
        0.0,
    ]
    assert found == pytest.approx(expected, rel=1e-6)


def test_poly_to_a_rate_of_its_own() -> None:
    found = rates(poly(optimizer(), total_steps=5, power=2.0, end_lr=1e-4), 6)
    assert found == pytest.approx([0.01, 0.006436, 0.003664, 0.001684, 0.000496, 0.0001])


def test_constant() -> None:
    found = rates(constant(optimizer(), total_steps=5, warmup_steps=2, warmup_start=0.002), 6)
    assert found == pytest.approx([0.002, 0.006, 0.01, 0.01, 0.01, 0.01])


def test_a_group_with_a_factor_has_the_whole_course_scaled() -> None:
    settings = {"total_steps": 10, "end_lr": 1e-4, "warmup_steps": 3}
    plain = rates(poly(optimizer(), **settings), 12)
    scaled = rates(poly(optimizer(factors={"1": 0.1}), **settings), 12, group=1)
    assert scaled == pytest.approx([0.1 * rate for rate in plain])


def test_a_fraction_is_of_the_budget() -> None:
    assert rates(poly(optimizer(), 20, warmup_steps=0.2), 20) == rates(
        poly(optimizer(), 20, warmup_steps=4), 20
    )


def test_a_budget_shorter_than_the_warm_up_is_all_warm_up() -> None:
    found = rates(poly(optimizer(), total_steps=3, warmup_steps=200), 3)
    assert found == pytest.approx([1e-5 + (0.01 - 1e-5) * t / 200 for t in range(3)])


@pytest.mark.parametrize("make", [poly, constant])
def test_resumed_in_the_middle_it_goes_on_as_if_never_stopped(make: object) -> None:
    settings = {"total_steps": 12, "warmup_steps": 5}
    whole = rates(make(optimizer(), **settings), 12)  # type: ignore[operator]
    for stop in (0, 3, 7):
        first = make(optimizer(), **settings)  # type: ignore[operator]
        before = rates(first, stop)
        file = io.BytesIO()
        torch.save({"o": first.optimizer.state_dict(), "s": first.state_dict()}, file)
        file.seek(0)
        state = torch.load(file, weights_only=True)
        second = make(optimizer(), **settings)  # type: ignore[operator]
        second.optimizer.load_state_dict(state["o"])
        second.load_state_dict(state["s"])
        assert before + rates(second, 12 - stop) == whole
        assert second.get_last_lr() == [second.optimizer.param_groups[0]["lr"]]


def test_the_state_is_the_position_so_a_resumed_run_can_be_longer() -> None:
    first = poly(optimizer(), total_steps=10)
    rates(first, 6)
    longer = poly(optimizer(), total_steps=20)
    longer.load_state_dict(first.state_dict())
    longer.step()
    assert longer.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * (13 / 20) ** 0.9)


@pytest.mark.parametrize(
    "arguments",
    [
        {"total_steps": 0},
        {"total_steps": 5, "power": -1},
        {"total_steps": 5, "end_lr": -1},
        {"total_steps": 5, "warmup_steps": -1},
        {"total_steps": 5, "warmup_start": -1},
    ],
)
def test_settings_out_of_range(arguments: dict) -> None:
    with pytest.raises(UserError, match=list(arguments)[-1]):
        poly(optimizer(), **arguments)
