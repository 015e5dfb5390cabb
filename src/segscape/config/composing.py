"""The configuration that a command line selects.

No torch here: `python train.py --help` and every error of the command line are printed at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from hydra.errors import HydraException
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from segscape.config.command_line import admit
from segscape.config.explaining import explain
from segscape.config.hydra_session import raw_compose, search_path


def compose(overrides: Sequence[str] = ()) -> DictConfig:
    """The configuration that `python train.py OVERRIDES` would run.

    Raises:
        UserError: an override names no group, option or key, or cannot be parsed.
    """
    return compose_with_choices(overrides)[0]


def compose_with_choices(overrides: Sequence[str] = ()) -> tuple[DictConfig, dict[str, str]]:
    """Like `compose`, with the option that each group has in the end."""
    wanted = [*search_path(), *admit(overrides)]
    try:
        composed = raw_compose(wanted, with_hydra=True)
        choices = {str(k): str(v) for k, v in composed.hydra.runtime.choices.items()}
        with open_dict(composed):
            del composed["hydra"]
            # Of many runs, not of one.
            composed.pop("sweep", None)
        return composed, choices
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(overrides, error) from error
