"""Which tests may run side by side."""

from __future__ import annotations

import pytest


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
