"""A real SLURM cluster for tests: the one of this shell, or that of scripts/local_slurm.sh."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "local_slurm.sh"


def local_config() -> Path:
    """The configuration that scripts/local_slurm.sh writes when it starts a cluster."""
    place = os.environ.get("SEGSCAPE_SLURM_DIR") or f"/tmp/segscape-slurm-{os.getuid()}"
    return Path(place) / "slurm.conf"


def why_not() -> str | None:
    """Why no test can use SLURM here; None when a cluster is running."""
    if shutil.which("sinfo") is None:
        return "SLURM is not installed: apt-get install slurm-wlm munge"
    if "SLURM_CONF" not in os.environ and local_config().is_file():
        os.environ["SLURM_CONF"] = str(local_config())
    try:
        done = subprocess.run(["sinfo", "-h"], capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        return "sinfo does not answer: scripts/local_slurm.sh start"
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"sinfo does not answer ({reason}): scripts/local_slurm.sh start"
    return None


def require() -> None:
    """Skip the test, with the reason, where no cluster is running."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason, allow_module_level=True)


def until(true: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something; what it was, or a failure."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds:g} s: {true.__doc__ or true}; {queue()}")


def cpus() -> int:
    """CPUs of the largest node."""
    done = subprocess.run(["sinfo", "-h", "-o", "%c"], capture_output=True, text=True, timeout=30)
    return max(int(line.strip().rstrip("+")) for line in done.stdout.splitlines())


def queue() -> str:
    """What waits and runs."""
    done = subprocess.run(["squeue"], capture_output=True, text=True, timeout=30)
    return done.stdout + done.stderr
