"""What two runs must have in common to be the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import standin
import torch

from segscape.runs.run_directory import RunDirectory


def rows(path: Path) -> list[dict[str, Any]]:
    found = RunDirectory(path).read_metrics()
    return [{k: v for k, v in r.items() if k not in standin.TIME_COLUMNS} for r in found]


def load(path: Path, name: str = "last") -> dict[str, Any]:
    return torch.load(path / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same(one: Path, other: Path) -> None:
    """Metrics, every tensor of both checkpoints (optimiser too) and the best row, to the bit."""
    assert rows(one) == rows(other)
    for name in ("last", "best"):
        a, b = load(one, name), load(other, name)
        assert a["segscape"]["position"] == b["segscape"]["position"]
        assert _bits(a["state_dict"]) == _bits(b["state_dict"])
        assert _bits(a.get("optimizer_states")) == _bits(b.get("optimizer_states"))
        assert a.get("lr_schedulers") == b.get("lr_schedulers")
        assert a["segscape"]["best"]["step"] == b["segscape"]["best"]["step"]


def _bits(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: _bits(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_bits(each) for each in value]
    return value
