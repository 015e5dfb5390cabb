"""What holds for all tests: none ends its own process, and those on SLURM run one by one."""

from __future__ import annotations

import fcntl
import sys
from collections.abc import Iterator

import pytest

from segscape import cli


@pytest.fixture(autouse=True)
def _stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is called in this process ends by SystemExit."""
    monkeypatch.setattr(cli, "exit_fast", sys.exit)


@pytest.fixture(autouse=True)
def _alone_on_the_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Tests that run side by side would wait for each other's jobs, or push them aside."""
    if not hasattr(request.module, "slurm_cluster"):
        yield
        return
    # Above the folders that the processes have each of their own.
    with (tmp_path_factory.getbasetemp().parent / "slurm.lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield
