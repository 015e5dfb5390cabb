"""Where a study is kept: a journal in the sweep's directory, or a database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

_SCHEMES = ("sqlite", "mysql", "postgresql")
# Searchers on one SQLite file wait for each other, each for as long as a write takes.
_SQLITE_WAIT_S = 60


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


def open_storage(where: str | None, folder: Path) -> BaseStorage:
    """The journal of a sweep, or the database that the user names.

    Args:
        where: `sweep.storage`: None, the path of a journal, or a database's address.
        folder: directory of the sweep.

    Raises:
        UserError: the database cannot be opened.
    """
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    from segscape.sweep.search.journal import JournalLock

    if where is None or "://" not in where:
        journal = Path(where) if where else folder / "study.journal"
        journal.parent.mkdir(parents=True, exist_ok=True)
        lock = JournalLock(journal.absolute())
        lock.mend()
        return JournalStorage(JournalFileBackend(str(journal.absolute()), lock_obj=lock))
    if not where.startswith(_SCHEMES):
        raise UserError(
            f"sweep.storage={where} cannot be used",
            f"give a file, or the address of a database: {', '.join(_SCHEMES)}, e.g. "
            "sqlite:///study.db",
        )
    options: dict[str, Any] = {}
    if where.startswith("sqlite"):
        options = {"connect_args": {"timeout": _SQLITE_WAIT_S}}
    try:
        return RDBStorage(where, engine_kwargs=options)
    except Exception as error:  # every database has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"sweep.storage={where} cannot be opened: {reason}",
            "is the address right, and its driver installed?",
        ) from error
