"""Launchers and sweepers of Hydra and of installed plugins."""

from __future__ import annotations

# Those that were run, see docs/sweeps.md.
_PLUGINS = ("joblib", "ray", "submitit")


def of_plugins(group: str) -> list[str]:
    """Launchers or sweepers of Hydra and of installed plugins, as far as Hydra has found them."""
    from hydra.core.config_store import ConfigStore

    if group not in ("hydra/launcher", "hydra/sweeper"):
        return []
    try:
        return [name.removesuffix(".yaml") for name in ConfigStore.instance().list(group)]
    except OSError:  # Hydra has not looked for plugins yet
        return []


def package_of(group: str, option: str) -> str | None:
    """How to get a launcher that is not installed; None for one that was never run here."""
    plugin = option.partition("_")[0]
    if group != "hydra/launcher" or plugin not in _PLUGINS:
        return None
    return f"pip install hydra-{plugin}-launcher brings it; "
