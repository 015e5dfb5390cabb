from __future__ import annotations

import io

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from segscape.errors import UserError
from segscape.optim.optimizers import sgd
from segscape.optim.schedules import constant, hybrid, poly, step


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


def test_an_exponential_warm_up_from_a_rate_as_in_stdc_seg() -> None:
    settings = {"total_steps": 12, "warmup_steps": 4, "warmup": "exponential"}
    found = rates(poly(optimizer(), **settings), 6)
    rise = (0.01 / 1e-5) ** (1 / 4)
    assert found == pytest.approx(
        [1e-5, 1e-5 * rise, 1e-5 * rise**2, 1e-5 * rise**3, 0.01, 0.01 * (7 / 8) ** 0.9]
    )


def test_an_exponential_warm_up_from_a_share_as_in_coincheungs_bisenet() -> None:
    settings = {"total_steps": 12, "warmup_steps": 4, "warmup": "exponential", "warmup_ratio": 0.1}
    found = rates(poly(optimizer(0.05), **settings), 6)
    ratios = [0.1 ** (1 - t / 4) for t in range(4)]
    assert found == pytest.approx([0.05 * r for r in (*ratios, 1.0, (7 / 8) ** 0.9)])


@pytest.mark.parametrize("warmup", ["linear", "exponential"])
@pytest.mark.parametrize("start", [{"warmup_start": 1e-3}, {"warmup_ratio": 0.1}])
def test_both_forms_of_a_start_and_of_a_rise_scale_with_the_factor(
    warmup: str, start: dict
) -> None:
    settings = {"total_steps": 8, "warmup_steps": 4, "warmup": warmup, **start}
    plain = rates(constant(optimizer(), **settings), 6)
    assert plain[0] == pytest.approx(0.001) and plain[4] == 0.01
    scaled = rates(constant(optimizer(factors={"1": 10}), **settings), 6, group=1)
    assert scaled == pytest.approx([10 * rate for rate in plain])
    middle = (0.001 + 0.01) / 2 if warmup == "linear" else (0.001 * 0.01) ** 0.5
    assert plain[2] == pytest.approx(middle)


def test_stairs_change_the_rate_once_per_epoch() -> None:
    found = rates(poly(optimizer(), total_steps=9, power=1.0, stairs=3), 10)
    per_epoch = [0.01 * (1 - epoch / 3) for epoch in range(3)]
    assert found == pytest.approx([rate for rate in per_epoch for _ in range(3)] + [0.0])


def test_steps_at_points_and_at_fractions_of_the_budget() -> None:
    expected = [0.01] * 3 + [0.001] * 3 + [0.0001] * 4
    assert rates(step(optimizer(), 9, [3, 6]), 10) == pytest.approx(expected)
    assert rates(step(optimizer(), 9, [1 / 3, 2 / 3]), 10) == pytest.approx(expected)
    halves = rates(step(optimizer(), 10, [5], gamma=0.5, warmup_steps=2, warmup_start=0.0), 10)
    assert halves == pytest.approx([0.0, 0.005] + [0.01] * 3 + [0.005] * 5)


def test_torchs_step_schedule_is_the_same() -> None:
    """ENet's and ESPNet's: a third of the budget at each rate, changed between epochs."""
    theirs = torch.optim.lr_scheduler.StepLR(optimizer(), step_size=4, gamma=0.5)
    per_epoch = rates(theirs, 12)
    ours = rates(step(optimizer(), 36, [0.3333333333, 0.6666666667], gamma=0.5), 36)
    assert ours == pytest.approx([rate for rate in per_epoch for _ in range(3)])


def test_hybrid_by_hand() -> None:
    found = rates(hybrid(optimizer(0.009), total_steps=200), 202)[::2]
    assert found[:12] == pytest.approx(
        [0.009, 0.045, 0.036, 0.027, 0.018, 0.009, 0.045, 0.036, 0.027, 0.018, 0.009, 0.045]
    )
    assert found[60] == pytest.approx(0.009)  # the twelfth cycle ends
    assert found[61] == pytest.approx(0.008775)  # 0.009 * 39 / 40
    assert found[80] == pytest.approx(0.0045)
    assert found[99:] == pytest.approx([0.009 / 40, 0.0])


def test_hybrid_stays_within_a_part_and_scales_with_the_factor() -> None:
    found = rates(hybrid(optimizer(factors={"1": 10}), 300), 300, group=1)
    assert found[0::3] == found[1::3] == found[2::3]
    assert found == pytest.approx([10 * rate for rate in rates(hybrid(optimizer(), 300), 300)])


def warm_step(*args: object, **kwargs: object) -> LRScheduler:
    return step(*args, milestones=[9], **kwargs)  # type: ignore[arg-type]


def cycles(optimizer: torch.optim.Optimizer, total_steps: int, **_: object) -> LRScheduler:
    return hybrid(optimizer, total_steps, epochs=6, cyclic_epochs=4, cycle=2)


@pytest.mark.parametrize("make", [poly, constant, warm_step, cycles])
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


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (poly, {"stairs": 0}, "stairs"),
        (poly, {"warmup": "exponentially"}, "did you mean schedule.warmup=exponential"),
        (poly, {"warmup": "exponential", "warmup_steps": 2, "warmup_start": 0}, "rate of 0"),
        (constant, {"warmup_ratio": -0.1}, "warmup_ratio"),
        (step, {"milestones": [-1]}, "milestones"),
        (step, {"milestones": [1], "gamma": -1}, "gamma"),
        (hybrid, {"cycle": 0}, "schedule.cycle >= 1"),
        (hybrid, {"epochs": 50}, "61 of 50 epochs"),
    ],
)
def test_settings_of_one_schedule_out_of_range(make: object, arguments: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(optimizer(), 5, **arguments)  # type: ignore[operator]
