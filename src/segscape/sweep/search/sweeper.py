"""Hydra's sweeper for searches: `hydra/sweeper=optuna`."""

from __future__ import annotations

from segscape.errors import UserError
from segscape.sweep.sweeper import SegscapeSweeper


class Optuna(SegscapeSweeper):
    """Searches for the best designs instead of trying them all."""

    def _sweep(self, arguments: list[str]) -> int:
        require_optuna()
        from segscape.sweep.search.command import run  # where Optuna is imported

        return run(self, arguments)


def require_optuna() -> None:
    """Optuna must be there.

    Raises:
        UserError: it is not, or too old.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "hydra/sweeper=optuna needs Optuna, which is not installed",
            'pip install "segscape[sweep]"',
        ) from error
    if int(optuna.__version__.split(".")[0]) < 5:
        raise UserError(
            f"hydra/sweeper=optuna needs Optuna 5, found {optuna.__version__}",
            'pip install -U "segscape[sweep]"',
        )
