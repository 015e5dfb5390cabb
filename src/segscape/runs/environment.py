"""The machine and the software that a figure was taken on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

#: Distributions whose versions change results or speed.
_PACKAGES = (
    "segscape",
    "torch",
    "torchvision",
    "lightning",
    "hydra-core",
    "omegaconf",
    "torchmetrics",
    "timm",
    "segmentation-models-pytorch",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "safetensors",
    "wandb",
)

_GPU_FIELDS = (
    "name",
    "driver_version",
    "pstate",
    "clocks.sm",
    "clocks.mem",
    "clocks.max.sm",
    "power.limit",
    "memory.total",
)
_CPUINFO = Path("/proc/cpuinfo")


def describe() -> dict[str, Any]:
    """Everything about the machine and the software that a result may depend on.

    Returns:
        A dictionary of plain values, ready for JSON. What a machine does not have or does not
        report is None or absent. Commit and working tree are not part of it.
    """
    return {
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "hostname": socket.gethostname(),
        "packages": _versions(),
        "cpu": _describe_cpu(),
        "torch": _describe_torch(),
        "gpus": _describe_gpus(),
        "driver": nvidia_smi(),
        "container": _container(),
        "slurm": {k: v for k, v in sorted(os.environ.items()) if _is_slurm_id(k)},
        "threads_env": {
            k: os.environ[k] for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if k in os.environ
        },
    }


@cache
def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Feature flags of the first processor, as Linux names them; empty on other systems.

    Args:
        cpuinfo: the file to read, in the format of ``/proc/cpuinfo``.
    """
    return frozenset(_cpu_field(cpuinfo, ("flags", "Features")).split())


@cache
def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Marketing name of the processor, or the best that the system knows."""
    name = _cpu_field(cpuinfo, ("model name",))
    return name or platform.processor() or platform.machine() or "cpu"


def _cpu_field(cpuinfo: Path, names: tuple[str, ...]) -> str:
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() in names:
            return value.strip()
    return ""


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def _describe_cpu() -> dict[str, Any]:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    flags = cpu_flags()
    return {
        "model": cpu_model(),
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "cores_available": available,
        "amx_bf16": "amx_bf16" in flags,
        "amx_int8": "amx_int8" in flags,
        "avx512_bf16": "avx512_bf16" in flags,
        "avx512": "avx512f" in flags,
    }


def _describe_torch() -> dict[str, Any]:
    import torch

    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "interop_threads": torch.get_num_interop_threads(),
        "mkldnn": torch.backends.mkldnn.is_available(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _describe_gpus() -> list[dict[str, Any]]:
    import torch

    if not torch.cuda.is_available():
        return []
    seen = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return [
        {
            "name": gpu.name,
            "capability": f"{gpu.major}.{gpu.minor}",
            "memory_bytes": gpu.total_memory,
            "multiprocessors": gpu.multi_processor_count,
        }
        for gpu in seen
    ]


def nvidia_smi() -> list[dict[str, str]]:
    """What the driver reports of every GPU of the machine; empty without the tool.

    The driver numbers all GPUs and PyTorch the visible ones, so the two lists are separate.
    """
    query = ["nvidia-smi", f"--query-gpu={','.join(_GPU_FIELDS)}", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return parse_nvidia_smi(answer.stdout)


def parse_nvidia_smi(text: str) -> list[dict[str, str]]:
    """One dictionary per GPU from the lines of ``nvidia-smi --format=csv,noheader``."""
    rows = [[cell.strip() for cell in line.split(",")] for line in text.splitlines()]
    return [
        dict(zip(_GPU_FIELDS, row, strict=True)) for row in rows if len(row) == len(_GPU_FIELDS)
    ]


def _container() -> str | None:
    """The kind of container that this process runs in, or None."""
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    for variable in ("APPTAINER_CONTAINER", "SINGULARITY_CONTAINER"):
        if os.environ.get(variable):
            return f"{variable.split('_')[0].lower()}: {Path(os.environ[variable]).name}"
    return "kubernetes" if "KUBERNETES_SERVICE_HOST" in os.environ else None


def _is_slurm_id(name: str) -> bool:
    return name.startswith("SLURM_") and name.endswith(
        ("_ID", "_JOB_NAME", "_NODELIST", "_NTASKS", "_CPUS_PER_TASK", "_PROCID", "_PARTITION")
    )
