"""Finding the checkpoint to continue from, and making the records match it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only

from segscape.engine.checkpoint_io import remove_leftovers
from segscape.engine.loop_state import Position
from segscape.errors import UserError
from segscape.runs.checkpoint import LAST, read
from segscape.runs.run_directory import RunDirectory


@dataclass(frozen=True)
class Resume:
    """What is known of a run before it continues.

    Args:
        path: the checkpoint.
        position: batches and steps done.
        seed: that the run was started with.
        row: of the last validation before it, None when there was none.
        best: row of the best validation before it.
        ended: whether a callback ended the training there, before its budget was spent.
    """

    path: Path
    position: Position
    seed: int
    row: dict[str, Any] | None
    best: dict[str, Any] | None
    ended: bool = False


def prepare(run: RunDirectory, resume: str | Path) -> Resume | None:
    """Find the checkpoint and, in the main process, drop the records that are later than it.

    Doing it twice changes nothing. Call it before a tracker starts, so that the tracker continues
    from the rows that are kept.

    Args:
        run: the directory of the run.
        resume: `never`, `auto` (continue if there is something to continue), or a path.

    Returns:
        What to continue from; None when the run starts from the beginning.

    Raises:
        UserError: `never` in a directory that already holds a training; no such checkpoint; one
            that cannot be read, or that a training cannot continue from.
    """
    last = run.checkpoints / LAST
    if str(resume) == "never":
        if run.checkpoints.is_dir() and any(run.checkpoints.glob("*.ckpt")):
            raise UserError(
                f"{run.path} already holds a training",
                "continue it with resume=auto, or give this run another run_dir",
            )
        return None
    if str(resume) == "auto":
        found = _describe(last) if last.is_file() else None
    else:
        found = _describe(Path(resume))
    if getattr(rank_zero_only, "rank", 0) == 0:
        remove_leftovers(run.checkpoints)
        row = None if found is None else found.row
        run.truncate_metrics(-1 if row is None else int(row["step"]))
    return found


def _describe(path: Path) -> Resume:
    data = read(path)
    notes = data["segscape"]
    if "optimizer_states" not in data or "position" not in notes:
        raise UserError(
            f"{path} holds weights only: a training cannot continue from it",
            f"resume from {path.parent / 'last.ckpt'}, or start a new run from it with init={path}",
        )
    return Resume(
        path=path,
        position=Position.from_dict(notes["position"]),
        seed=int(notes["seed"]),
        row=notes["row"],
        best=notes["best"],
        ended=notes.get("ended", False),
    )
