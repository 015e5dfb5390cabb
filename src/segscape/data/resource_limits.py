"""CPUs and memory of the machine that this process may use.

A container, a batch system or an administrator limits a process by control groups. The limit may
be set at any level above the process's own group, and the mounted tree may begin at its own group
(in a container) or at the machine's root (elsewhere), so every visible level is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_MEMINFO = Path("/proc/meminfo")


def available_cpus(cgroup: Path = CGROUP, own: Path = OWN) -> int:
    """CPUs that this process may use: affinity and the quota of its control groups.

    Args:
        cgroup: where the control groups are mounted.
        own: the list of this process's control groups.
    """
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [_quota_v2(folder) for folder in _levels(cgroup, own, "")]
    quotas += [_quota_v1(folder) for folder in _levels(cgroup / "cpu", own, "cpu")]
    known = [int(quota) for quota in quotas if quota is not None]
    return max(1, min([cpus or 1, *known]))


def available_memory(
    cgroup: Path = CGROUP, own: Path = OWN, meminfo: Path = _MEMINFO
) -> int | None:
    """Bytes that this process can still allocate; None if unknown.

    Args:
        cgroup: where the control groups are mounted.
        own: the list of this process's control groups.
        meminfo: the kernel's table of the machine's memory.
    """
    found = [_free_of_machine(meminfo)]
    for folder in _levels(cgroup, own, ""):
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        found.append(_left(limit, used, folder, "inactive_file"))
    for folder in _levels(cgroup / "memory", own, "memory"):
        limit = _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.usage_in_bytes")
        found.append(_left(limit, used, folder, "total_inactive_file"))
    known = [value for value in found if value is not None]
    return min(known) if known else None


def _levels(mount: Path, own: Path, controller: str) -> Iterator[Path]:
    """The existing folders of the process's control group and of those above.

    Args:
        mount: of the hierarchy.
        own: the list of this process's control groups.
        controller: of version 1; "" for version 2.
    """
    yield mount
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        folder = mount / path.strip("/")
        while folder != mount and mount in folder.parents:
            yield folder
            folder = folder.parent


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        return None
    return _ratio(quota, period)


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = (folder / "cpu.cfs_quota_us").read_text().strip()
        period = (folder / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return _ratio(quota, period)


def _ratio(quota: str, period: str) -> float | None:
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _left(limit: int | None, used: int | None, folder: Path, reclaimable: str) -> int | None:
    """Bytes that a group has left; file pages that the kernel can reclaim count as free."""
    if limit is None or used is None:
        return None
    reclaimed = 0
    try:
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == reclaimable:
                reclaimed = int(value)
    except (OSError, ValueError):
        reclaimed = 0
    return max(0, limit - used + reclaimed)


def _free_of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None
