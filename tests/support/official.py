"""Files as official implementations write them, made from the published structure."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Shapes = dict[str, tuple[int, ...]]

BLOCKS = {"stdc1": (2, 2, 2), "stdc2": (4, 5, 3)}


def _norm(name: str, channels: int) -> Shapes:
    return {f"{name}.{leaf}": (channels,) for leaf in ("weight", "bias", "_mean", "_variance")}


def _cbr(name: str, channels: int, out: int, kernel: int, bias: bool = False) -> Shapes:
    shapes: Shapes = {f"{name}._conv.weight": (out, channels, kernel, kernel)}
    if bias:
        shapes[f"{name}._conv.bias"] = (out,)
    return shapes | _norm(f"{name}._batch_norm", out)


def stdc(encoder: str, prefix: str = "") -> Shapes:
    """Names and shapes of PaddleSeg's STDC features."""

    def conv(name: str, channels: int, out: int, kernel: int) -> Shapes:
        weight = {f"{name}.conv.weight": (out, channels, kernel, kernel)}
        return weight | _norm(f"{name}.bn", out)

    shapes = conv(f"{prefix}features.0", 3, 32, 3) | conv(f"{prefix}features.1", 32, 64, 3)
    layer, channels = 2, 64
    for width, count in zip((256, 512, 1024), BLOCKS[encoder], strict=True):
        for index in range(count):
            name = f"{prefix}features.{layer}"
            outs = (width // 2, width // 4, width // 8, width // 8)
            ins = (channels, *outs[:3])
            for i, (cin, cout) in enumerate(zip(ins, outs, strict=True)):
                shapes |= conv(f"{name}.conv_list.{i}", cin, cout, 3 if i else 1)
            if index == 0:
                shapes[f"{name}.avd_layer.0.weight"] = (width // 2, 1, 3, 3)
                shapes |= _norm(f"{name}.avd_layer.1", width // 2)
            layer, channels = layer + 1, width
    return shapes


def ppliteseg(
    encoder: str = "stdc1",
    fusion: str = "uafm_spatial",
    widths: tuple[int, ...] = (32, 64, 128),
    mids: tuple[int, ...] = (32, 64, 64),
    num_classes: int = 19,
) -> Shapes:
    """Names and shapes of PaddleSeg's PP-LiteSeg."""
    shapes = stdc(encoder, "backbone.")
    for branch in range(3):
        shapes |= _cbr(f"ppseg_head.cm.stages.{branch}.1", 1024, 128, 1, bias=True)
    shapes |= _cbr("ppseg_head.cm.conv_out", 128, 128, 3, bias=True)
    highs = (*widths[1:], 128)
    for level, (low, high, out) in enumerate(zip((256, 512, 1024), highs, widths, strict=True)):
        name = f"ppseg_head.arm_list.{level}"
        shapes |= _cbr(f"{name}.conv_x", low, high, 3) | _cbr(f"{name}.conv_out", high, out, 3)
        if fusion == "uafm_spatial":
            shapes |= _cbr(f"{name}.conv_xy_atten.0", 4, 2, 3)
            shapes |= _cbr(f"{name}.conv_xy_atten.1", 2, 1, 3)
            shapes[f"{name}._scale"] = (1,)
        if fusion == "uafm_channel":
            shapes |= _cbr(f"{name}.conv_xy_atten.0", 4 * high, high // 2, 1)
            shapes |= _cbr(f"{name}.conv_xy_atten.1", high // 2, high, 1)
    for level, (width, mid) in enumerate(zip(widths, mids, strict=True)):
        shapes |= _cbr(f"seg_heads.{level}.conv", width, mid, 3)
        shapes[f"seg_heads.{level}.conv_out.weight"] = (num_classes, mid, 1, 1)
    return shapes


def arrays(shapes: Shapes, seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """Random values, variances positive, `_scale` the constant 1."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in shapes.items():
        values = rng.random(shape, dtype=np.float32)
        made[name] = np.ones(shape, np.float32) if name.endswith("_scale") else values
    return made


def write_pdparams(path: Path, content: dict[str, Any], protocol: int = 4) -> Path:
    """A file as `paddle.save` writes a state dict."""
    table = {name: f"internal_{index}" for index, name in enumerate(content)}
    payload = {**content, "StructuredToParameterName@@": table}
    path.write_bytes(pickle.dumps(payload, protocol=protocol))
    return path


def shared_record(name: str) -> tuple[dict[str, Any], ModuleType]:
    """A parity record and the module that makes its values; skips where they are not."""
    folder = os.environ.get("SEGSCAPE_SHARED")
    if not folder:
        pytest.skip("SEGSCAPE_SHARED does not say where the parity records are")
    parity = Path(folder) / "parity"
    spec = importlib.util.spec_from_file_location("parity_values", parity / "values.py")
    assert spec is not None and spec.loader is not None
    values = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(values)
    return json.loads((parity / f"{name}.json").read_text()), values
