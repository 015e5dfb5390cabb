"""Hydra as a library: composing beside a Hydra application that is running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

from omegaconf import DictConfig

from segscape.config.files import CONFIG_NAME, config_dir, extra_folders


@contextmanager
def own_hydra() -> Iterator[None]:
    """Compose without changing the state of a Hydra application that is running."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.initialize import initialize_config_dir

    state = dict(GlobalHydra.instance().__dict__)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().__dict__.update(state)


def raw_compose(overrides: Sequence[str], *, with_hydra: bool = False) -> DictConfig:
    """What Hydra composes for these overrides; errors are Hydra's and OmegaConf's.

    Args:
        overrides: in Hydra's notation.
        with_hydra: keep Hydra's own settings under `hydra`.
    """
    from hydra.compose import compose

    with own_hydra():
        return compose(CONFIG_NAME, overrides=list(overrides), return_hydra_config=with_hydra)


@lru_cache(maxsize=1)
def hydra_choices() -> dict[str, str]:
    """The options of Hydra's own groups (`hydra/launcher`, ...) where none is typed."""
    choices = raw_compose([], with_hydra=True).hydra.runtime.choices
    return {str(k): str(v) for k, v in choices.items() if str(k).startswith("hydra/")}


def search_path() -> list[str]:
    """The override that makes Hydra find the folders given with --config-dir."""
    folders = extra_folders()
    if not folders:
        return []
    escaped = [str(folder).replace("\\", "\\\\").replace("'", "\\'") for folder in folders]
    listed = ",".join(f"'file://{folder}'" for folder in escaped)
    return [f"hydra.searchpath=[{listed}]"]
