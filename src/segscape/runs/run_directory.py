"""The directory that holds everything about one run: the one place that names its files.

All of them are written and read by `segscape.runs.files`: each is always whole, a missing one is
empty, and a damaged one is an error that names it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segscape.errors import UserError
from segscape.runs import environment
from segscape.runs.files import (
    plain,
    read_json,
    read_table,
    read_yaml,
    write_atomically,
    write_json,
    write_table,
    write_yaml,
)
from segscape.runs.locks import try_lock
from segscape.runs.source_snapshot import snapshot

STATES = ("running", "finished", "failed", "stopped")
_FIRST_COLUMNS = ("epoch", "step")

# POSIX locks do not conflict within a process, and closing any descriptor of the file drops the
# lock: this process keeps a record of the directories it holds.
_held: set[Path] = set()


class RunDirectory:
    """Names, writes and reads the files of one run.

    Making the object touches nothing; the first write makes the directory. A training writes only
    inside `with run.lock():`. It may be given wherever a path is expected.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def overrides_path(self) -> Path:
        """The overrides of the command line."""
        return self.path / "overrides.yaml"

    @property
    def metrics_path(self) -> Path:
        """One row per validation."""
        return self.path / "metrics.csv"

    @property
    def summary_path(self) -> Path:
        """The figures of the finished run."""
        return self.path / "summary.json"

    @property
    def cost_path(self) -> Path:
        """What the model costs, measured when the run began."""
        return self.path / "cost.json"

    @property
    def status_path(self) -> Path:
        """Whether the run is running, finished, failed or stopped."""
        return self.path / "status.json"

    @property
    def environment_path(self) -> Path:
        """Code, packages and device of the first start."""
        return self.path / "environment.json"

    @property
    def checkpoints(self) -> Path:
        """Directory of `best.ckpt` and `last.ckpt`."""
        return self.path / "checkpoints"

    @property
    def gallery(self) -> Path:
        """Directory of the panels of validation images."""
        return self.path / "gallery"

    def __fspath__(self) -> str:
        return str(self.path)

    @contextlib.contextmanager
    def lock(self) -> Iterator[RunDirectory]:
        """Keep other processes from training in this directory for as long as the block runs.

        The kernel drops the lock with the process, so none remains after a killed run, and
        DataLoader workers do not inherit it. Where locks are not available (Windows, some network
        file systems) nothing is locked. Only the process of rank zero takes it.

        Raises:
            UserError: a live process holds the directory.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        key = self.path.resolve()
        if key in _held:
            raise _in_use(self.path, str(os.getpid()))
        descriptor = os.open(key / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not try_lock(descriptor):
                holder = os.read(descriptor, 200).decode(errors="replace").strip()
                raise _in_use(self.path, holder or "unknown")
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode())
            _held.add(key)
            try:
                yield self
            finally:
                _held.discard(key)
        finally:
            os.close(descriptor)

    # -- configuration, status, summary ----------------------------------------------------------

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Write `config.yaml` from plain, resolved data."""
        write_yaml(self.config_path, dict(config))

    def read_config(self) -> dict[str, Any] | None:
        """Read `config.yaml`; None when there is none yet."""
        return read_yaml(self.config_path)

    def write_overrides(self, overrides: Sequence[str]) -> None:
        """Write `overrides.yaml`, one override a line."""
        write_yaml(self.overrides_path, [str(each) for each in overrides])

    def read_overrides(self) -> list[str]:
        """Read `overrides.yaml`; empty when there is none."""
        return read_yaml(self.overrides_path) or []

    def write_choices(self, choices: Mapping[str, str]) -> None:
        """Write `choices.json`: the option of each group."""
        write_json(self.path / "choices.json", choices)

    def read_choices(self) -> dict[str, str]:
        """Read `choices.json`; empty for runs that have none."""
        return read_json(self.path / "choices.json")

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Write `summary.json`; figures that are not finite become null."""
        write_json(self.summary_path, values)

    def read_summary(self) -> dict[str, Any]:
        """Read `summary.json`; empty when there is none yet."""
        return read_json(self.summary_path)

    def write_cost(self, values: Mapping[str, Any]) -> None:
        """Write `cost.json`."""
        write_json(self.cost_path, values)

    def read_cost(self) -> dict[str, Any]:
        """Read `cost.json`; empty when there is none yet."""
        return read_json(self.cost_path)

    def write_status(self, state: str, **info: Any) -> None:
        """Write `status.json`.

        The start time of a run that is resumed stays that of its first start.

        Args:
            state: one of `STATES`.
            **info: anything else worth keeping, e.g. `error="..."`, `step=120`.
        """
        assert state in STATES, state
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        status: dict[str, Any] = {
            "state": state,
            "started": self.read_status().get("started", now),
            "updated": now,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        write_json(self.status_path, status | info)

    def read_status(self) -> dict[str, Any]:
        """Read `status.json`; empty when there is none yet."""
        return read_json(self.status_path)

    def is_finished(self) -> bool:
        """Whether the training has reached its end."""
        return self.read_status().get("state") == "finished"

    def write_environment(self, repo_dir: str | Path | None = None) -> Path:
        """Write `environment.json` and `git.diff`: what this start ran on.

        A resumed run keeps the record of its first start; when code or packages are others now,
        it gets a further one: `environment.2.json`, `git.2.diff`.

        Args:
            repo_dir: the repository to record; by default that of segscape's source, or of the
                working directory when segscape is installed.

        Returns:
            The file that describes this start.
        """
        taken = snapshot(repo_dir)
        diff = taken["git"].pop("diff") if taken["git"] else ""
        content = plain({**environment.describe(), **taken})
        number, path = 1, self.environment_path
        while path.is_file():
            earlier = read_json(path)
            if all(earlier.get(key) == content[key] for key in ("git", "packages")):
                return path
            number += 1
            path = self.path / f"environment.{number}.json"
        if diff:
            write_atomically(
                self.path / ("git.diff" if number == 1 else f"git.{number}.diff"), diff
            )
        write_json(path, content)
        return path

    def read_environment(self) -> dict[str, Any]:
        """Read `environment.json`, that of the first start; empty when there is none."""
        return read_json(self.environment_path)

    # -- metrics ----------------------------------------------------------------------------------

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Add one row to `metrics.csv`; a row of the same step is replaced.

        Floats are written so that reading gives back the same bits; not a number becomes an empty
        cell. A key that no earlier row had becomes a further column.

        Args:
            row: `step` and, by key, numbers or short texts.

        Raises:
            ValueError: the file already holds a later step: `truncate_metrics` comes first.
        """
        columns, rows = read_table(self.metrics_path)
        step = int(row["step"])
        if rows and (last := int(rows[-1]["step"])) >= step:
            if last > step:
                raise ValueError(
                    f"{self.metrics_path} already holds step {last}, after step {step}: "
                    f"call truncate_metrics({step}) when a run continues from there"
                )
            rows.pop()
        columns = _order([*columns, *(key for key in row if key not in columns)])
        write_table(
            self.metrics_path,
            columns,
            [*rows, {key: _to_cell(value) for key, value in row.items()}],
        )

    def read_metrics(self) -> list[dict[str, Any]]:
        """Rows of `metrics.csv` as int, float, str, or None for an empty cell."""
        _, rows = read_table(self.metrics_path)
        return [{key: _from_cell(cell) for key, cell in row.items()} for row in rows]

    def truncate_metrics(self, step: int) -> None:
        """Drop the rows after a step: what a resumed run will write again. -1 drops all.

        The columns stay, so that a resumed run ends with the same file as an unbroken one.
        """
        columns, rows = read_table(self.metrics_path)
        kept = [row for row in rows if int(row["step"]) <= step]
        if not kept:
            self.metrics_path.unlink(missing_ok=True)
        elif len(kept) < len(rows):
            write_table(self.metrics_path, columns, kept)


def _to_cell(value: Any) -> str:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (bool, list, tuple, dict)):
        return json.dumps(value)
    return value if isinstance(value, str) else repr(value)


def _from_cell(cell: str) -> Any:
    if not cell:
        return None
    try:
        number = float(cell)
    except ValueError:
        return cell
    return int(cell) if cell.lstrip("-").isdigit() else number


def _order(columns: Iterable[str]) -> list[str]:
    found = list(columns)
    return [key for key in _FIRST_COLUMNS if key in found] + [
        key for key in found if key not in _FIRST_COLUMNS
    ]


def _in_use(path: Path, holder: str) -> UserError:
    return UserError(
        f"run_dir is in use by pid {holder}: {path}",
        "Wait for it or stop it, or give this run a directory of its own: run_dir=...",
    )
