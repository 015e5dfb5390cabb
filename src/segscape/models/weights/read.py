"""Tensors of a weight file of any known container; nothing in the file is executed."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segscape.errors import UserError
from segscape.models.weights import pickles

NESTED_UNDER = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network"),
    *("params", "weights"),
)
"""Keys under which training frameworks put the state dict, in the order of preference."""

AVERAGED_UNDER = (
    *("ema_state_dict", "state_dict_ema", "model_ema", "ema_model", "module_ema", "params_ema"),
    "ema",
)
"""Keys under which they put the averaged weights (EMA)."""

AVERAGED_NAMES = ("model_ema.", "ema_model.", "module_ema.", "averaged_model.", "ema.")
"""Prefixes of averaged weights beside the others in one state dict."""

WRAPPERS = ("module.", "_orig_mod.", "model.")
"""Prefixes that DataParallel, torch.compile and trainers put before every name."""

OWN_KEY = "segscape"
"""The key (of a checkpoint, or of a safetensors header) that marks our own files."""

Convert = Callable[[np.ndarray[Any, Any]], Tensor]

_PADDLE_NAMES = "StructuredToParameterName@@"
_PADDLE_SLICES = "UnpackBigParamInfor@@"


@dataclass(frozen=True)
class Contents:
    """What a weight file holds.

    Attributes:
        tensors: by name, wrappers removed, in the order of the file, on the CPU.
        averaged: the averaged weights (EMA) of the same names, where the file has them beside.
        metadata: of a safetensors header, or what a checkpoint of segscape records of its network.
        own: whether segscape wrote it.
        outside: tensors that are no part of the model: the training's own, counters of averages.
    """

    tensors: dict[str, Tensor]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    own: bool = False
    outside: tuple[str, ...] = ()
    averaged: dict[str, Tensor] = field(default_factory=dict)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a weight file by name, wrapping removed.

    Known containers: `.pth`, `.pt`, `.ckpt`, `.bin`, `.pth.tar` (PyTorch, loaded with
    `weights_only`), `.safetensors`, `.npz`, `.pdparams` (Paddle, read without paddle).
    A state dict nested under one of `NESTED_UNDER` is taken out (averaged weights only where
    there are no others), and the prefixes of `WRAPPERS` are removed where every name has them.

    Raises:
        UserError: the file is missing, of an unknown kind, damaged, holds no tensors, or is a
            pickle that contains anything other than arrays.
    """
    return read(path).tensors


def read(path: str | Path) -> Contents:
    """Like `read_tensors`, with the metadata of the file."""
    path = Path(path)
    reader = _reader(path)
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise UserError(f"the weight file '{path}' {what}")
    if path.stat().st_size == 0:
        raise UserError(f"the weight file '{path}' is empty", "download or save it again")
    try:
        contents = reader(path)
    except UserError:
        raise
    except pickles.RefusedPickleError as error:
        raise UserError(
            f"the weight file '{path}' is refused: it asks for {error}",
            "a file of weights holds arrays only; nothing of it was executed",
        ) from None
    except Exception as error:
        # Damaged files fail in dozens of ways (zip, header, pickle, memory): all mean the same.
        raise UserError(
            f"the weight file '{path}' cannot be read: {type(error).__name__}: {_brief(error)}",
            "it may be truncated, or of another kind than its suffix: download it again",
        ) from error
    if not contents.tensors:
        raise UserError(f"the weight file '{path}' holds no tensors")
    return contents


def _reader(path: Path) -> Callable[[Path], Contents]:
    readers: dict[str, Callable[[Path], Contents]] = {
        ".safetensors": _read_safetensors,
        ".npz": _read_npz,
        ".pdparams": _read_paddle,
        **dict.fromkeys((".pth", ".pt", ".ckpt", ".bin", ".tar"), _read_torch),
    }
    for suffix, reader in readers.items():
        if path.name.lower().endswith(suffix):
            return reader
    known = ", ".join(sorted(readers))
    archive = path.name.lower().endswith((".gz", ".tgz", ".zip"))
    hint = "unpack the archive first" if archive else f"known suffixes: {known}"
    raise UserError(f"the weight file '{path}' is of an unknown kind", hint)


def _brief(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no reason given"


def _read_torch(path: Path) -> Contents:
    try:
        # Only the zip format can be mapped; mapping spares the copy of what is not used.
        payload = torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except Exception as error:
        found = re.search(r"GLOBAL\s+(\S+)|Unsupported class\s+(\S+)|operand\s+(\S+)", str(error))
        if found is None or "weights" not in str(error).lower():
            raise
        name = next(group for group in found.groups() if group)
        raise pickles.RefusedPickleError(f"the global '{name}'") from None
    if isinstance(payload, dict) and OWN_KEY in payload and "state_dict" in payload:
        return _own_checkpoint(payload)
    return _contents(payload)


def _own_checkpoint(payload: dict[str, Any]) -> Contents:
    """The model of a training of ours: the training's own tensors stay outside."""
    state = {name: value for name, value in payload["state_dict"].items() if torch.is_tensor(value)}
    model = {
        name.removeprefix("model."): value
        for name, value in state.items()
        if name.startswith("model.")
    }
    outside = tuple(name for name in state if not name.startswith("model."))
    said = payload[OWN_KEY] if isinstance(payload[OWN_KEY], Mapping) else {}
    return Contents(_unwrapped(model), said, own=True, outside=outside)


def _read_safetensors(path: Path) -> Contents:
    from safetensors import safe_open

    with safe_open(path, framework="pt", device="cpu") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if OWN_KEY in metadata:
        return Contents(tensors, metadata, own=True)
    return replace(_contents(tensors), metadata=metadata)


def _read_npz(path: Path) -> Contents:
    with np.load(path, allow_pickle=False) as archive:
        return _contents({name: archive[name] for name in archive.files})


def _read_paddle(path: Path) -> Contents:
    with path.open("rb") as file:
        payload = pickles.load(file)
    if isinstance(payload, dict):
        payload.pop(_PADDLE_NAMES, None)
        _join_slices(payload)
    return _contents(payload, _paddle_tensor)


def _paddle_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """Paddle writes bfloat16, which NumPy does not have, as the bits in uint16."""
    if array.dtype == np.uint16:
        return _tensor(array.view(np.int16)).view(torch.bfloat16)
    return _tensor(array)


def _join_slices(payload: dict[str, Any]) -> None:
    """Put together the arrays that protocols below 4 could not hold in one piece."""
    for name, plan in payload.pop(_PADDLE_SLICES, {}).items():
        slices = [payload.pop(part) for part in plan["slices"]]
        payload[name] = np.concatenate(slices).reshape(plan["OriginShape"])


def _contents(payload: Any, convert: Convert | None = None) -> Contents:
    """The tensors of a third-party file, and the averaged ones beside them."""
    found = _flat(payload, convert, NESTED_UNDER), _flat(payload, convert, AVERAGED_UNDER)
    raw, averaged = (_unwrapped(_without_counters(tensors)) for tensors in found)
    counters = tuple(name for tensors in found for name in tensors if _is_counter(name, tensors))
    if averaged and not raw.keys() & averaged.keys():  # the averaged weights are all there is
        raw, averaged = averaged, {}
    if not averaged:
        raw, averaged = (_unwrapped(tensors) for tensors in _split(raw))
    return Contents(raw, outside=counters, averaged=averaged)


def _flat(payload: Any, convert: Convert | None, keys: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors of a state dict, taken out of whatever it is nested in.

    Args:
        payload: of the file.
        convert: from its arrays.
        keys: of the outermost nesting. Averaged weights are under one; the others may be in the
            payload itself.
    """
    depth = 0
    while isinstance(payload, Mapping):
        known = keys if depth == 0 else NESTED_UNDER
        inner = next((payload[k] for k in known if isinstance(payload.get(k), Mapping)), None)
        if inner is None:
            break
        payload, depth = inner, depth + 1
    if not isinstance(payload, Mapping) or (depth == 0 and keys is AVERAGED_UNDER):
        return {}
    found = {}
    for name, value in payload.items():
        # Paddle writes a tensor outside a state dict as (its internal name, array).
        if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
            value = value[1]
        if isinstance(value, np.ndarray):
            found[str(name)] = (convert or _tensor)(value)
        elif torch.is_tensor(value):
            found[str(name)] = value.detach()
    return found


_AVERAGE_COUNTERS = ("n_averaged", "num_updates", "decay")
"""Scalars that averaging classes keep among the weights."""


def _is_counter(name: str, tensors: Mapping[str, Tensor]) -> bool:
    return tensors[name].ndim == 0 and name.rpartition(".")[2] in _AVERAGE_COUNTERS


def _without_counters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in tensors.items() if not _is_counter(name, tensors)}


def _split(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and averaged weights of one state dict: two tensors for every name."""
    for prefix in AVERAGED_NAMES:
        marked = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        plain = {k: v for k, v in tensors.items() if not k.startswith(prefix)}
        if marked and _unwrapped(marked).keys() == _unwrapped(plain).keys():
            return plain, marked
    # mmcv keeps the average of a.b.weight as the buffer ema_a_b_weight.
    plain = {k: v for k, v in tensors.items() if not k.startswith("ema_")}
    flat = {f"ema_{name.replace('.', '_')}": name for name in plain}
    if len(plain) < len(tensors) and tensors.keys() - plain.keys() <= flat.keys():
        marked = {flat[k]: tensors[k] for k in tensors if k in flat}
        return plain, {**plain, **marked}
    return tensors, {}


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes of wrappers, as often as every name has one."""
    while tensors:
        prefix = next((p for p in WRAPPERS if all(name.startswith(p) for name in tensors)), None)
        if prefix is None:
            break
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor of its own memory, in the byte order of the machine (the only one of torch)."""
    if array.dtype.kind == "u" and array.dtype.itemsize > 1:
        # torch has no arithmetic on these; no parameter of a network is one.
        array = array.astype(np.int64)
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
