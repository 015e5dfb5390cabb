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
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parents[1] / "parity" / "records"


def read(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def _generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))


_FAN_IN = {"conv": slice(1, None), "linear_oi": slice(1, 2), "linear_io": slice(0, 1)}


def _draw(name: str, shape: list[int], kind: str) -> np.ndarray:
    rng = _generator(name)
    if kind == "var":
        values = rng.uniform(0.5, 1.5, shape)
    elif kind == "scale":
        values = rng.uniform(0.8, 1.2, shape)
    elif kind in ("mean", "shift"):
        values = rng.normal(0, 0.1 if kind == "mean" else 0.2, shape)
    else:
        assert kind in _FAN_IN, f"{name} is of the unknown kind {kind}"
        values = rng.normal(0, math.sqrt(1 / math.prod(shape[_FAN_IN[kind]])), shape)
    return values.astype(np.float32)


def tensors(record: dict[str, Any]) -> dict[str, Tensor]:
    """The official state dict.

    What is left at its initial value is PaddleSeg's `_scale` and BatchNorm's counter in the
    records that there are: a constant 1, or a count.
    """
    found: dict[str, Tensor] = {}
    for name, shape, kind in record["tensors"]:
        if kind == "keep":
            count = name.endswith("num_batches_tracked")
            found[name] = torch.zeros(shape, dtype=torch.long) if count else torch.ones(shape)
        elif not kind.startswith("alias:"):
            found[name] = torch.from_numpy(_draw(name, shape, kind))
    for name, _, kind in record["tensors"]:
        if kind.startswith("alias:"):
            found[name] = found[kind.removeprefix("alias:")]
    return found


def feature(name: str, shape: list[int]) -> Tensor:
    """A standard normal feature map, for the record of a single module."""
    return torch.from_numpy(_generator(name).normal(0, 1, shape).astype(np.float32))


def without_dropout(model: nn.Module) -> nn.Module:
    """The model with every dropout at p = 0: training outputs were recorded without."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    return model


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
