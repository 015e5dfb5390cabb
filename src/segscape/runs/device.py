"""The device that a training runs on, and the precision that suits it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from segscape.runs.environment import cpu_flags

# Lightning's names of mixed precisions: data type of autocast.
AUTOCAST = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}
# Processor flags (x86) that mean bfloat16 products in hardware.
_BFLOAT16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})


def choose_device(accelerator: str = "auto") -> torch.device:
    """The device that a trainer with this accelerator would use."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("cpu")


def resolve_precision(trainer: Mapping[str, Any]) -> str:
    """The precision in force under the settings of a trainer; `auto` depends on the device."""
    wanted = str(trainer["precision"])
    if wanted != "auto":
        return wanted
    return best_precision(choose_device(str(trainer["accelerator"])))


def best_precision(device: torch.device) -> str:
    """The fastest of Lightning's precisions that trains like 32 bit on a device.

    bfloat16 keeps the range of float32, so it needs no loss scaling; it pays only where the
    hardware multiplies it. NVIDIA GPUs do from compute capability 8.0 on, x86 processors with
    AMX-BF16 or AVX512-BF16.

    Returns:
        ``"bf16-mixed"`` or ``"32-true"``.
    """
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        native = multiplies_bfloat16(cpu_flags()) and torch.backends.mkldnn.is_available()
    else:
        native = False
    return "bf16-mixed" if native else "32-true"


def multiplies_bfloat16(flags: Collection[str]) -> bool:
    """Whether a processor with these flags multiplies bfloat16 in hardware."""
    return not _BFLOAT16_FLAGS.isdisjoint(flags)
