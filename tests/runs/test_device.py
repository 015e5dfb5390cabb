"""The precision chosen from the flags of the processor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from segscape.runs import device
from segscape.runs.device import best_precision, resolve_precision
from segscape.runs.environment import cpu_flags, cpu_model

CPUINFO = """processor\t: 0
model name\t: Intel(R) Example CPU @ 2.00GHz
flags\t\t: fpu sse2 avx512f {flag}

processor\t: 1
model name\t: Intel(R) Other CPU
flags\t\t: fpu
"""


@pytest.mark.parametrize(
    ("flag", "precision"),
    [("amx_bf16", "bf16-mixed"), ("avx512_bf16", "bf16-mixed"), ("avx512_vnni", "32-true")],
)
def test_precision_follows_the_processor(
    flag: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(flag=flag))
    assert cpu_model(cpuinfo) == "Intel(R) Example CPU @ 2.00GHz"
    assert cpu_flags(cpuinfo) == {"fpu", "sse2", "avx512f", flag}
    monkeypatch.setattr(device, "cpu_flags", lambda: cpu_flags(cpuinfo))
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert best_precision(torch.device("cpu")) == precision
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert best_precision(torch.device("cpu")) == "32-true"


@pytest.mark.parametrize(("capability", "precision"), [((7, 5), "32-true"), ((8, 0), "bf16-mixed")])
def test_precision_follows_the_gpu(
    capability: tuple[int, int], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert resolve_precision({"precision": "auto", "accelerator": "auto"}) == precision
