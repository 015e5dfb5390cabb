"""What is timed, in which order, and what is left behind. No test looks at a real duration."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segscape.errors import UserError
from segscape.profiling import latency
from segscape.profiling.latency import Latency, measure


class Spy(nn.Module):
    """Notes how it is called; the list survives the copy that is timed."""

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


def test_leaves_the_model_alone() -> None:
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


class FakeClock:
    """Durations from a script; the calls are noted and time passes by the durations."""

    def __init__(self, durations: list[float]) -> None:
        self.now = 0.0
        self.durations = durations
        self.called: list[str] = []

    def perf_counter(self) -> float:
        return self.now

    def milliseconds(self, call: object) -> float:
        self.called.append(call())  # type: ignore[operator]
        spent = self.durations.pop(0) if len(self.durations) > 1 else self.durations[0]
        self.now += spent / 1e3
        return spent


def test_warming_up_ends_when_windows_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock([900.0, 300.0, 200.0, 150.0, 120.0, 110.0, 100.0, 100.0, 100.0])
    monkeypatch.setattr(latency, "time", clock)
    # Windows of four: medians 250, 105, 100; the last two differ by less than 5 %.
    assert latency._warm_up(clock, lambda: "mask", 60.0) == (12, True)


def test_warming_up_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock([1000.0])
    monkeypatch.setattr(latency, "time", clock)
    assert latency._warm_up(clock, lambda: "mask", 2.5) == (3, False)


def test_samples_alternate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock([100.0])
    monkeypatch.setattr(latency, "time", clock)
    samples, masks = latency._sample(clock, lambda: "logits", lambda: "mask", 0.0, 60.0)
    assert clock.called[:4] == ["logits", "mask", "mask", "logits"]
    assert len(samples) == len(masks) == 20
    slow = FakeClock([5000.0])
    monkeypatch.setattr(latency, "time", slow)
    samples, masks = latency._sample(slow, lambda: "logits", lambda: "mask", 1.0, 8.0)
    assert len(samples) == len(masks) == 3  # the time was over after the first pair


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
