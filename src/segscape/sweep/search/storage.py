"""Where a study is kept: Optuna's journal in the sweep's directory, or a database.

A trial whose searcher has sent no heartbeat for `GRACE_S` is failed by Optuna
(`fail_stale_trials`) and put in line again, under a new number and with its parameters.
"""

from __future__ import annotations

import copy
import fcntl
import os
import time
import warnings
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages import RetryHeartbeatStaleTrialCallback as Retry
from optuna.storages._heartbeat import BaseHeartbeat
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from segscape.errors import UserError

#: Seconds; a heartbeat is a line of the journal.
HEARTBEAT_S: float = 20
GRACE_S: float = 60
#: User attribute of a trial that has had a heartbeat.
BEATS = "beats"
_HEARTBEAT = "heartbeat"
# Of one attempt only: how it ended.
_ENDED = (BEATS, "cause", "log", "absent")
_SCHEMES = ("sqlite", "mysql", "postgresql")
# Searchers on one SQLite file wait for each other, each for as long as a write takes.
_SQLITE_WAIT_S = 60


def put_in_line(study: Study, trial: FrozenTrial) -> None:
    """Put this trial in line for the next searcher, under a new number.

    Args:
        study: that the trial is of.
        trial: any of it.
    """
    trial = copy.deepcopy(trial)
    for key in _ENDED:
        trial.user_attrs.pop(key, None)
    trial.system_attrs.pop(_HEARTBEAT, None)
    Retry()(study, trial)


class HeartbeatJournal(JournalStorage, BaseHeartbeat):
    """Optuna's journal with the heartbeats that Optuna's databases have."""

    def record_heartbeat(self, trial_id: int) -> None:
        """Keep the time with the trial; machines that share a journal need equal clocks."""
        self.set_trial_system_attr(trial_id, _HEARTBEAT, time.time())

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        running = self.get_all_trials(study_id, deepcopy=False, states=(TrialState.RUNNING,))
        oldest = time.time() - GRACE_S
        return [
            each._trial_id for each in running if each.system_attrs.get(_HEARTBEAT, oldest) < oldest
        ]

    def get_heartbeat_interval(self) -> int | None:
        """Seconds between two heartbeats, in whole ones."""
        return ceil(HEARTBEAT_S)

    def get_heartbeat_stale_trial_callback(self) -> Callable[[Study, FrozenTrial], None] | None:
        """What is done with a trial whose searcher was killed."""
        return put_in_line


HeartbeatStorage = HeartbeatJournal | RDBStorage


class JournalLock(JournalFileOpenLock):
    """Lets one process at a time append to a journal, and cuts off half a line that is its end.

    Optuna would append to the half line of a killed writer, and could read nothing from there on.
    Its own lock, which stays for half a minute when a process is killed, is used where a file
    system has none.
    """

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._held: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        descriptor = os.open(self._journal, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._held = descriptor
        except OSError:
            os.close(descriptor)
            super().acquire()
        with self._journal.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            if size and file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        return True

    def release(self) -> None:
        """Let the next one write."""
        if self._held is None:
            super().release()
        else:
            os.close(self._held)
            self._held = None


def open_storage(where: str | None, folder: Path) -> HeartbeatStorage:
    """The journal of a sweep, or the database that the user names.

    Args:
        where: `sweep.storage`: None, the path of a journal, or a database's address.
        folder: directory of the sweep.

    Raises:
        UserError: the database cannot be opened.
    """
    # Optuna 5 calls heartbeats experimental, and expects them to be sent by its own loop.
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    warnings.filterwarnings("ignore", "Heartbeat of storage")
    if where is None or "://" not in where:
        journal = (Path(where) if where else folder / "study.journal").absolute()
        journal.parent.mkdir(parents=True, exist_ok=True)
        return HeartbeatJournal(JournalFileBackend(str(journal), JournalLock(journal)))
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
        return RDBStorage(
            where,
            engine_kwargs=options,
            heartbeat_interval=ceil(HEARTBEAT_S),
            grace_period=ceil(GRACE_S),
            heartbeat_stale_trial_callback=put_in_line,
        )
    except Exception as error:  # every database has errors of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"sweep.storage={where} cannot be opened: {reason}",
            "is the address right, and its driver installed?",
        ) from error
