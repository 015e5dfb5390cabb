"""What holds for all tests: which may run side by side, and that none ends its own process."""

from __future__ import annotations

import sys

import pytest

from segscape import cli


@pytest.fixture(autouse=True)
def _stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that is called in this process ends by SystemExit."""
    monkeypatch.setattr(cli, "leave", sys.exit)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, which shares its fixtures, and those on SLURM too.

    The cluster is one machine's: jobs of two files would wait for each other.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        group = "slurm" if "slurm" in item.path.name else str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
