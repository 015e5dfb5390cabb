"""What is timed, in which order, and which state is restored. No test checks a real duration."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from itertools import chain, count, repeat

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.profiling import latency
from segscape.profiling.latency import Latency, measure


class Spy(nn.Module):
    """Records its calls; the list is shared with the copy that is timed."""

    calls: list[dict[str, object]] = []  # noqa: RUF012 - shared with the copy on purpose

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.auxiliary = nn.ModuleDict({"extra": nn.Conv2d(3, 4, 1)})

    def strip_auxiliary(self) -> Spy:
        self.auxiliary = nn.ModuleDict()
        return self

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        Spy.calls.append(
            {
                "training": self.training,
                "inference": torch.is_inference_mode_enabled(),
                "auxiliary": len(self.auxiliary),
                "dtype": y.dtype,
                "weight": self.conv.weight.dtype,
                "shape": tuple(x.shape),
                "channels_last": x.is_contiguous(memory_format=torch.channels_last),
                "collecting": gc.isenabled(),
            }
        )
        return y


@pytest.fixture(autouse=True)
def _forget() -> None:
    Spy.calls.clear()


def quick(model: nn.Module, **choices: object) -> Latency:
    return measure(model, (8, 16), **{"min_seconds": 0.0, "max_seconds": 0.5, **choices})


def test_the_inference_graph_is_timed() -> None:
    timed = quick(Spy().train())
    assert Spy.calls
    for call in Spy.calls:
        assert call == {
            "training": False,
            "inference": True,
            "auxiliary": 0,
            "dtype": torch.float32,
            "weight": torch.float32,
            "shape": (1, 3, 8, 16),
            "channels_last": True,
            "collecting": False,
        }
    assert len(timed.samples_ms) == len(timed.mask_samples_ms) >= 3
    assert len(Spy.calls) == timed.warm_up_calls + 2 * len(timed.samples_ms)
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("precision", "weight", "output"),
    [
        ("32-true", torch.float32, torch.float32),
        ("bf16-mixed", torch.float32, torch.bfloat16),
        ("bf16-true", torch.bfloat16, torch.bfloat16),
        ("64-true", torch.float64, torch.float64),
    ],
)
def test_precision(precision: str, weight: torch.dtype, output: torch.dtype) -> None:
    timed = quick(Spy(), precision=precision)
    assert {call["weight"] for call in Spy.calls} == {weight}
    assert {call["dtype"] for call in Spy.calls} == {output}
    assert timed.precision == precision


def test_layout_is_a_choice() -> None:
    assert not quick(Spy(), channels_last=False).channels_last
    assert not any(call["channels_last"] for call in Spy.calls)


def test_the_model_is_not_changed() -> None:
    model = Spy().train()
    identities = [id(p) for p in model.parameters()]
    strides = [p.stride() for p in model.parameters()]
    random = torch.random.get_rng_state()
    quick(model, precision="bf16-true")
    assert model.training
    assert len(model.auxiliary) == 1
    assert [id(p) for p in model.parameters()] == identities
    assert [p.stride() for p in model.parameters()] == strides
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.equal(torch.random.get_rng_state(), random)


def test_a_dictionary_of_outputs_is_understood() -> None:
    class Several(nn.Module):
        def forward(self, x: Tensor) -> dict[str, tuple[Tensor, ...]]:
            return {"main": (x, x[:, :1])}

    assert len(quick(Several()).samples_ms) >= 3


def test_a_compiled_model_is_timed_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda self, **_: compiled.append(self))
    plain = Spy()
    assert quick(plain).backend == "eager"
    assert compiled == []
    wrapped = torch.compile(plain, backend="eager")
    assert quick(wrapped).backend == "inductor"
    assert [type(module) for module in compiled] == [Spy]
    assert compiled[0] is not plain


class FakeTime:
    """Time that passes in the calls of `Scripted` only, in milliseconds of a script."""

    def __init__(self, durations: Iterable[float]) -> None:
        self.now_ms = 0.0
        self.durations = iter(durations)

    def __deepcopy__(self, memo: object) -> FakeTime:
        return self

    def perf_counter(self) -> float:
        return self.now_ms / 1e3

    def perf_counter_ns(self) -> int:
        return round(self.now_ms * 1e6)


class Scripted(nn.Module):
    """A network whose every call takes the next duration."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time = time

    def forward(self, x: Tensor) -> Tensor:
        self.time.now_ms += next(self.time.durations)
        return x


def scripted(monkeypatch: pytest.MonkeyPatch, *durations: Iterable[float], **s: float) -> Latency:
    time = FakeTime(chain(*durations))
    monkeypatch.setattr(latency, "time", time)
    return measure(Scripted(time), (2, 2), **{"min_seconds": 0.0, **s})


def test_warming_up_ends_when_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    # Windows of four after the first call: medians 250, 105, 100; the last two differ by < 5 %.
    windows = [900.0, 300.0, 200.0, 150.0, 120.0, 110.0, 100.0, 100.0, 100.0]
    timed = scripted(monkeypatch, [5000.0], windows, repeat(100.0), max_seconds=150.0)
    assert (timed.warm_up_calls, timed.stable) == (1 + 12, True)


def test_warming_up_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = scripted(monkeypatch, repeat(1000.0), max_seconds=6.25)  # 40 % of it is 2.5 s
    assert (timed.warm_up_calls, timed.stable) == (1 + 3, False)


def test_samples_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = scripted(monkeypatch, repeat(100.0, 9), count(101.0), max_seconds=60.0)
    assert timed.warm_up_calls == 9
    assert timed.samples_ms[:4] == pytest.approx((101, 104, 105, 108))
    assert timed.mask_samples_ms[:4] == pytest.approx((102, 103, 106, 107))
    assert len(timed.samples_ms) == len(timed.mask_samples_ms) == 20


def test_slow_calls_are_sampled_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = scripted(monkeypatch, repeat(5000.0), min_seconds=1.0, max_seconds=8.0)
    # The time was over after the first pair.
    assert len(timed.samples_ms) == len(timed.mask_samples_ms) == 3


def test_figures_come_from_the_samples() -> None:
    generator = np.random.default_rng(0)
    samples = tuple(generator.uniform(1, 9, 101).tolist())
    timed = Latency(
        samples_ms=samples,
        mask_samples_ms=(4.0, 2.0, 3.0),
        input_size=(8, 16),
        batch=2,
        device="a processor",
        precision="32-true",
        backend="eager",
        channels_last=True,
        threads=1,
        cores=2,
        warm_up_calls=8,
        stable=True,
    )
    keys = timed.as_keys()
    ordered = sorted(samples)
    assert keys["latency/p50_ms"] == pytest.approx(ordered[50])
    assert keys["latency/p90_ms"] == pytest.approx(ordered[90])
    assert keys["latency/p99_ms"] == pytest.approx(ordered[99])
    assert keys["latency/fps"] == pytest.approx(2000 / ordered[50])
    assert keys["latency/to_mask_p50_ms"] == 3.0
    assert keys["latency/input_size"] == [8, 16]


def test_wrong_choices_are_named() -> None:
    with pytest.raises(UserError, match="did you mean bf16-mixed"):
        quick(Spy(), precision="bf16mixed")
    with pytest.raises(UserError, match="max_seconds"):
        quick(Spy(), min_seconds=2.0)
