"""CPUs and memory that a job was given, from the files of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segscape.data.resource_limits import available_cpus, available_memory


@pytest.fixture
def groups(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_limit_at_any_level_counts(groups: Path) -> None:
    own = write(groups / "own", "0::/system.slice/slurmd/job_7/step_0\n")
    mount = groups / "fs"
    assert available_cpus(mount, own) == 12
    write(mount / "system.slice/slurmd/job_7/cpu.max", "400000 100000\n")
    write(mount / "system.slice/slurmd/job_7/step_0/cpu.max", "max 100000\n")
    assert available_cpus(mount, own) == 4
    # another job's limit is not ours, half a CPU is one
    write(mount / "system.slice/slurmd/job_8/cpu.max", "100000 100000\n")
    assert available_cpus(mount, own) == 4
    write(mount / "system.slice/cpu.max", "50000 100000\n")
    assert available_cpus(mount, own) == 1


def test_version_1(groups: Path) -> None:
    own = write(groups / "own", "4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n")
    mount = groups / "fs"
    for name, value in (("quota", 300000), ("period", 100000)):
        write(mount / f"cpu/slurm/job_7/cpu.cfs_{name}_us", f"{value}\n")
    assert available_cpus(mount, own) == 3
    write(mount / "cpu/slurm/job_7/cpu.cfs_quota_us", "-1\n")
    assert available_cpus(mount, own) == 12
    write(mount / "memory/slurm/job_7/memory.limit_in_bytes", "5000\n")
    write(mount / "memory/slurm/job_7/memory.usage_in_bytes", "2000\n")
    write(mount / "memory/slurm/job_7/memory.stat", "cache 9\ntotal_inactive_file 500\n")
    assert available_memory(mount, own, groups / "none") == 3500


def test_memory_is_the_least_of_machine_and_groups(groups: Path) -> None:
    own = write(groups / "own", "0::/job\n")
    meminfo = write(groups / "meminfo", "MemTotal: 99 kB\nMemAvailable:       64 kB\n")
    mount = groups / "fs"
    assert available_memory(mount, own, groups / "none") is None
    assert available_memory(mount, own, meminfo) == 64 * 1024
    write(mount / "memory.max", "50000\n")
    write(mount / "memory.current", "10000\n")
    assert available_memory(mount, own, meminfo) == 40000
    write(mount / "job/memory.max", "max\n")
    write(mount / "job/memory.current", "9999999\n")
    assert available_memory(mount, own, meminfo) == 40000
