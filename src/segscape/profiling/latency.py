"""How long one image takes: a distribution of timed calls, to logits and to the class map.

What is timed is the inference graph: eval mode, inference mode, no auxiliary heads, on a copy that
shares nothing with the model. Calls to logits and calls to the class map alternate, so that a slow
spell of the machine falls on both. Every call is one sample, read from a monotonic clock; on CUDA
the device is synchronised before and after, so a sample holds the launch of the kernels too, which
is what a caller of a small network waits for. Percentiles are reported because on a shared machine
a mean is not enough.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segscape.errors import UserError, unknown
from segscape.profiling.inference_copy import inference_copy, is_compiled
from segscape.runs.environment import cpu_model

#: Calls in one warm-up window; two successive windows are compared.
_WINDOW = 4
#: Medians of successive warm-up windows that differ by less are called stable.
_TOLERANCE = 0.05
#: Share of the time that may go into warming up.
_WARM_UP_SHARE = 0.4
#: Pairs of samples: never fewer than the first, and the second before ``min_seconds`` counts.
_MIN_PAIRS, _ENOUGH_PAIRS = 3, 20

#: Lightning's names of precisions: (data type of weights and input, data type of autocast).
_PRECISIONS: dict[str, tuple[torch.dtype, torch.dtype | None]] = {
    "64-true": (torch.float64, None),
    "32-true": (torch.float32, None),
    "32": (torch.float32, None),
    "16-true": (torch.float16, None),
    "bf16-true": (torch.bfloat16, None),
    "16-mixed": (torch.float32, torch.float16),
    "bf16-mixed": (torch.float32, torch.bfloat16),
}


@dataclass(frozen=True)
class Latency:
    """Timed calls of one model at one input size on one device.

    Attributes:
        samples_ms: every call from normalised image to logits at input size, in milliseconds.
        mask_samples_ms: the same with the class map computed from the logits.
        input_size: ``(H, W)`` in pixels.
        batch: images per call.
        device: name of the processor or GPU.
        precision: as Lightning names it. Under a mixed one, casting the weights is timed too.
        backend: ``"eager"``, or ``"inductor"`` when the model that was given is compiled.
        channels_last: whether weights and input were laid out channels last.
        threads: threads that PyTorch uses inside an operator.
        cores: processor cores that the process may run on.
        warm_up_calls: calls before the first sample.
        stable: whether warming up ended because successive windows agreed, not for lack of time.
    """

    samples_ms: tuple[float, ...]
    mask_samples_ms: tuple[float, ...]
    input_size: tuple[int, int]
    batch: int
    device: str
    precision: str
    backend: str
    channels_last: bool
    threads: int
    cores: int
    warm_up_calls: int
    stable: bool

    def percentile(self, share: float) -> float:
        """Milliseconds that ``share`` per cent of the calls to logits do not exceed."""
        return float(np.percentile(self.samples_ms, share))

    @property
    def fps(self) -> float:
        """Images per second at the median call: ``batch * 1000 / p50``."""
        return self.batch * 1000.0 / self.percentile(50)

    @property
    def to_mask_p50_ms(self) -> float:
        """Median milliseconds to the class map, upsampling and argmax included."""
        return float(np.percentile(self.mask_samples_ms, 50))

    def as_keys(self) -> dict[str, Any]:
        """The figures under the keys of summary.json, metrics.csv and the tracker."""
        return {
            "latency/p50_ms": self.percentile(50),
            "latency/p90_ms": self.percentile(90),
            "latency/p99_ms": self.percentile(99),
            "latency/fps": self.fps,
            "latency/to_mask_p50_ms": self.to_mask_p50_ms,
            "latency/input_size": list(self.input_size),
            "latency/batch": self.batch,
            "latency/backend": self.backend,
            "latency/precision": self.precision,
            "latency/device": self.device,
            "latency/threads": self.threads,
            "latency/samples": len(self.samples_ms),
        }


def measure(
    model: nn.Module,
    size: tuple[int, int],
    *,
    device: torch.device | str | None = None,
    precision: str = "32-true",
    min_seconds: float = 1.0,
    max_seconds: float = 8.0,
    channels_last: bool = True,
    batch: int = 1,
    channels: int = 3,
) -> Latency:
    """Time a model's inference graph, to logits and to the class map.

    Warms up until the medians of successive windows of calls agree within 5 %, then samples until
    both 20 pairs of calls and ``min_seconds`` are reached, or the time is over. A call longer than
    the time allows is still sampled three times.

    Args:
        model: the network; eval output ``(B, classes, H, W)``. It is not changed: a copy is timed.
            A compiled model is timed compiled.
        size: ``(H, W)`` of the input in pixels.
        device: where to time; None takes the device of the model's parameters.
        precision: one of Lightning's names, e.g. ``"32-true"`` or ``"bf16-mixed"``.
        min_seconds: at least this long a series of samples, in seconds.
        max_seconds: no sample starts later than this after the first call has ended, in seconds.
        channels_last: lay weights and input out channels last, as training does.
        batch: images per call.
        channels: channels of the input.

    Returns:
        All samples and how they were taken.

    Raises:
        UserError: unknown precision, or times in which nothing can be measured.
    """
    if not 0 <= min_seconds <= max_seconds:
        raise UserError(
            f"profile.min_seconds={min_seconds} and profile.max_seconds={max_seconds}: "
            "the first must not exceed the second, nor be negative"
        )
    dtype, cast = _data_types(precision)
    target = torch.device(device) if device is not None else _device_of(model)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = inference_copy(model, target).to(dtype)
    network = network.to(memory_format=layout)  # type: ignore[call-overload]
    if is_compiled(model):
        network.compile()
    height, width = (int(edge) for edge in size)
    image = _noise((batch, channels, height, width)).to(target, dtype)
    image = image.contiguous(memory_format=layout)

    def logits() -> Tensor:
        with _autocast(target, cast):
            return _first(network(image))

    def mask() -> Tensor:
        return logits().argmax(dim=1)

    with torch.inference_mode(), _no_collection():
        clock = _Clock(target)
        clock.milliseconds(mask)  # may compile or choose kernels for minutes: not on the clock
        deadline = time.perf_counter() + max_seconds
        warm_up_calls, stable = _warm_up(clock, mask, max_seconds * _WARM_UP_SHARE)
        samples, mask_samples = _sample(clock, logits, mask, min_seconds, deadline)
    return Latency(
        samples_ms=tuple(samples),
        mask_samples_ms=tuple(mask_samples),
        input_size=(height, width),
        batch=batch,
        device=_device_name(target),
        precision=precision,
        backend="inductor" if is_compiled(model) else "eager",
        channels_last=channels_last,
        threads=torch.get_num_threads(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        warm_up_calls=1 + warm_up_calls,
        stable=stable,
    )


def _noise(shape: tuple[int, ...]) -> Tensor:
    # A generator of its own: measuring must not change the random state of a training.
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _warm_up(clock: _Clock, call: Callable[[], Tensor], seconds: float) -> tuple[int, bool]:
    """Call until two successive windows have the same median, or the time is over."""
    end = time.perf_counter() + seconds
    previous: float | None = None
    calls = 0
    while True:
        window = []
        for _ in range(_WINDOW):
            window.append(clock.milliseconds(call))
            if time.perf_counter() > end:
                return calls + len(window), False
        calls += len(window)
        current = median(window)
        if previous is not None and abs(current - previous) <= _TOLERANCE * previous:
            return calls, True
        previous = current


def _sample(
    clock: _Clock,
    logits: Callable[[], Tensor],
    mask: Callable[[], Tensor],
    min_seconds: float,
    deadline: float,
) -> tuple[list[float], list[float]]:
    """Alternate both calls; which of them goes first alternates too."""
    samples: list[float] = []
    mask_samples: list[float] = []
    enough = time.perf_counter() + min_seconds
    while True:
        now = time.perf_counter()
        if len(samples) >= _MIN_PAIRS and now >= deadline:
            break
        if len(samples) >= _ENOUGH_PAIRS and now >= enough:
            break
        pair = [(logits, samples), (mask, mask_samples)]
        for call, times in pair if len(samples) % 2 == 0 else reversed(pair):
            times.append(clock.milliseconds(call))
    return samples, mask_samples


class _Clock:
    """Times one call, waiting for the device at both ends."""

    def __init__(self, device: torch.device) -> None:
        accelerators = {"cuda": torch.cuda, "mps": torch.mps}
        self._wait = getattr(accelerators.get(device.type), "synchronize", None)

    def milliseconds(self, call: Callable[[], Tensor]) -> float:
        if self._wait is not None:
            self._wait()
        start = time.perf_counter_ns()
        call()
        if self._wait is not None:
            self._wait()
        return (time.perf_counter_ns() - start) / 1e6


def _data_types(precision: str) -> tuple[torch.dtype, torch.dtype | None]:
    if str(precision) not in _PRECISIONS:
        raise unknown(f"unknown precision {precision!r}", str(precision), _PRECISIONS)
    return _PRECISIONS[str(precision)]


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager[Any]:
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)


def _first(output: Any) -> Tensor:
    """The main logits of a forward that returns several things."""
    while not isinstance(output, Tensor):
        output = next(iter(output.values())) if isinstance(output, dict) else output[0]
    return output


def _device_of(model: nn.Module) -> torch.device:
    parameter = next(model.parameters(), None)
    return parameter.device if parameter is not None else torch.device("cpu")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return cpu_model() if device.type == "cpu" else device.type


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector out of the samples, and leave it as it was."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
