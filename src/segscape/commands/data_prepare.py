"""`segscape data prepare`: a data set in a form that is faster to read, or in another place."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.commands.data_check import data_module, split_choice
from segscape.commands.evaluate import split_keys
from segscape.data.resource_limits import available_cpus
from segscape.errors import UserError, unknown

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.data.storage.preparation import Outcome, Step

FORMATS = ("store", "webdataset")
_SHOWN = 20


def data_prepare(rest: Sequence[str]) -> int:
    """`segscape data prepare data=NAME data.root=DIR [split=train,val] [--format FORMAT]`.

    store (default): decodes every sample into the disk cache that data.cache=disk reads, in
    data.cache_dir. webdataset: packs the samples, as they are, into tar files in out=DIR, which
    data.source=DIR reads, from there or from an object store they are copied to.

    What is done stays, so an interrupted preparation goes on where it was. At the end everything is
    read back and compared. A damaged source file is named; the others are prepared, and the exit
    code is 2.
    """
    parser = argparse.ArgumentParser("segscape data prepare", description=data_prepare.__doc__)
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="as for train.py; also out=, cache_dir="
    )
    parser.add_argument("--format", default="store", help=" or ".join(FORMATS))
    parser.add_argument("--workers", type=int, help="processes; default: the CPUs of this job")
    parser.add_argument("--shard-mb", type=int, default=256, help="size of a shard, megabytes")
    given = parser.parse_intermixed_args(rest)
    _check(given.format, given.workers, given.shard_mb)

    splits, settings = split_choice(given.settings, ("train", "val"))
    own, settings = split_keys(settings, ("out", "cache_dir"))
    wrong = "cache_dir" if given.format == "webdataset" else "out"
    if wrong in own:
        raise UserError(
            f"{wrong}= has no effect with --format {given.format}",
            "out=DIR goes with --format webdataset, cache_dir=DIR with --format store",
        )
    data, _ = data_module(settings)
    processes = given.workers or available_cpus()
    if given.format == "store":
        if "cache_dir" in own:
            data.cache_dir = Path(own["cache_dir"]).expanduser()
        damaged = [_store(data, split, processes) for split in splits]
        reading = ["data.cache=disk"]
        if data.cache_dir is not None:
            reading.append(f"data.cache_dir={data.cache_dir.absolute()}")
    else:
        if "out" not in own:
            raise UserError("where to? out=DIR is needed", "e.g. out=/data/cityscapes-shards")
        out = Path(own["out"]).expanduser()
        damaged = [_shards(data, split, out, processes, given.shard_mb) for split in splits]
        settings = [text for text in settings if not text.startswith("data.root=")]
        reading = [f"data.source={out.absolute()}"]
    if any(damaged):
        return 2
    typed = [text for text in settings if not text.startswith("data.cache")]
    print("train with: " + shlex.join(["segscape", "train", *typed, *reading]))
    return 0


def _check(form: str, workers: int | None, shard_mb: int) -> None:
    if form not in FORMATS:
        raise unknown(f"--format {form} is not a choice", form, FORMATS)
    if workers is not None and workers < 1:
        raise UserError(f"--workers {workers} cannot be used", "give 1 or more")
    if shard_mb < 1:
        raise UserError(f"--shard-mb {shard_mb} cannot be used", "give 1 or more")


def _store(data: SegmentationDataModule, split: str, processes: int) -> bool:
    """Fill the disk cache of a split; whether a sample of it is damaged."""
    from segscape.data.storage.cache import disk_store, other_versions
    from segscape.data.storage.preparation import Outcome, fill_store
    from segscape.data.storage.store import RESERVE

    dataset = data.open(split)
    store = disk_store(dataset, f"{data.name}-{split}", data.cache_dir)
    free, missing = store.room(), store.nbytes - store.filled()
    if not store.writable:
        raise UserError(f"{store.path} may not be written", "give a folder of yours: cache_dir=DIR")
    if free is not None and missing > max(free - RESERVE, 0):
        raise UserError(
            f"{store.path.parent} has {_size(free)} free; the {split} split needs "
            f"{_size(missing)}, and 1 GB is left to others",
            "give another folder: cache_dir=DIR",
        )
    outcome = Outcome()
    _show(split, fill_store(dataset, store, processes, outcome))
    kept = len(dataset) - len(outcome.damaged) - len(outcome.left_out)
    print(
        f"{split}: {kept} of {len(dataset)} samples, {_size(store.filled())}, verified: "
        f"{store.path}"
    )
    if outcome.left_out:
        shown = ", ".join(outcome.left_out[:_SHOWN])
        print(f"  {len(outcome.left_out)} are not kept and will be decoded each time: {shown}")
    for other in other_versions(store):
        taken = _size(other.stat().st_blocks * 512)
        print(f"  also there, of other files, options or versions: {other} ({taken})")
    return _say_damaged(split, outcome)


def _shards(
    data: SegmentationDataModule, split: str, out: Path, processes: int, shard_mb: int
) -> bool:
    """Write the shards of a split; whether a sample of it is damaged."""
    from segscape.data.storage.preparation import Outcome, write_shards
    from segscape.data.storage.shard_writer import ShardWriter

    folder = out / split
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writer = ShardWriter(data.open(split), data.name, folder, shard_mb * 10**6)
        outcome = Outcome()
        _show(split, write_shards(writer, processes, outcome))
    except OSError as error:
        raise UserError(f"out={out}: cannot be written ({error.strerror or error})") from error
    if outcome.left_out:
        raise UserError(
            f"{folder}: {len(outcome.left_out)} samples are not on the disk as they were written, "
            f"e.g. {outcome.left_out[0]}",
            "is the disk sound? The same command writes their shards again",
        )
    if not outcome.damaged:
        size = sum(file.stat().st_size for file in folder.glob("*.tar"))
        print(
            f"{split}: {len(writer.dataset)} samples in {len(writer.groups)} shards, "
            f"{_size(size)}, verified: {folder}"
        )
    return _say_damaged(split, outcome)


def _say_damaged(split: str, outcome: Outcome) -> bool:
    for what in outcome.damaged[:_SHOWN]:
        print(f"damaged: {what}", file=sys.stderr)
    if outcome.damaged:
        print(
            f"error: {len(outcome.damaged)} samples of the {split} split cannot be read; repair "
            "them and give the same command again",
            file=sys.stderr,
        )
    return bool(outcome.damaged)


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:.1f} MB"


def _show(split: str, steps: Iterator[Step]) -> None:
    """Follow the steps; with a bar on a terminal."""
    if not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        for _ in steps:
            pass
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}
        for step in steps:
            if step.what not in tasks:
                tasks[step.what] = bar.add_task(f"{split}: {step.what}", total=step.total)
            bar.update(tasks[step.what], completed=step.done)
