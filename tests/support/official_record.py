"""Records of what official implementations output, and the weights and inputs that belong to them.

A record (`records/*.json`) was made by running the official code in float32 on a CPU. It lists the
official tensors as `[name, shape, kind]`; their values are drawn here from a generator seeded with
the name, so that no checkpoint has to be stored. `image` gives the input.
"""

from __future__ import annotations

import json
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[1] / "parity" / "records"


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def _generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


def _draw(name: str, shape: list[int], kind: str) -> np.ndarray:
    if kind == "keep":  # PaddleSeg's _scale, the constant 1
        return np.ones(shape, np.float32)
    rng = _generator(name)
    if kind == "var":
        values = rng.uniform(0.5, 1.5, shape)
    elif kind == "scale":
        values = rng.uniform(0.8, 1.2, shape)
    elif kind in ("mean", "shift"):
        values = rng.normal(0, 0.1 if kind == "mean" else 0.2, shape)
    else:
        assert kind == "conv", f"{name} is of the unknown kind {kind}"
        values = rng.normal(0, math.sqrt(1 / math.prod(shape[1:])), shape)
    return values.astype(np.float32)


def tensors(record: dict[str, Any]) -> dict[str, Tensor]:
    """The official state dict."""
    return {
        name: torch.from_numpy(_draw(name, shape, kind)) for name, shape, kind in record["tensors"]
    }


def image(record: dict[str, Any]) -> Tensor:
    """The normalised input (n, 3, h, w): four waves and noise per channel."""
    n, channels, h, w = record["input"]
    rng = _generator("input")
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    out = np.empty((n, channels, h, w))
    for plane in out.reshape(-1, h, w):
        frequency = rng.uniform(0.5, 4, (4, 2))
        phase = rng.uniform(0, 2 * np.pi, 4)
        waves = sum(
            np.sin(2 * np.pi * (fy * y / h + fx * x / w) + p)
            for (fy, fx), p in zip(frequency, phase, strict=True)
        )
        plane[...] = waves / 2 + rng.normal(0, 0.3, (h, w))
    return torch.from_numpy(out.astype(np.float32))


def distance(output: Tensor, expected: dict[str, Any]) -> float:
    """Largest difference from the recorded values, in standard deviations of the output."""
    assert list(output.shape) == expected["shape"]
    values = output.detach().flatten()[expected["indices"]].double()
    difference = (values - torch.tensor(expected["values"], dtype=torch.float64)).abs().max()
    return float(difference) / expected["std"]
