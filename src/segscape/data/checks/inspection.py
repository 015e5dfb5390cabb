"""The whole examination of a data set, and the short one before a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from segscape.data.base import SegmentationDataset
from segscape.data.checks import verdicts
from segscape.data.checks.report import Pace, Problem, Report, SplitReport, in_order
from segscape.data.checks.samples import look
from segscape.data.datasets.missing_files import Absent, collecting
from segscape.errors import UserError

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule

# Told after each sample: split, samples done, samples to look at.
Tell = Callable[[str, int, int], None]

MOST_THREADS = 16
# Of scenes that a program draws, none can be damaged: so many tell what there is to tell.
GENERATED_SAMPLES = 64
_PACE_SAMPLES, _PACE_SECONDS = 48, 3.0
_LISTED = 8


def examine(
    data: SegmentationDataModule,
    splits: Sequence[str] = ("train", "val"),
    sample: int | None = None,
    tell: Tell | None = None,
) -> Report:
    """Look at splits of a data set, every file once.

    Args:
        data: the data module.
        splits: train, val or test.
        sample: look at so many samples of each split only, spread over it.
        tell: hears of the progress.

    Returns:
        All that was found; nothing that is wrong with the data set raises.
    """
    if sample is None and data.generated:
        sample = GENERATED_SAMPLES
    reports: dict[str, SplitReport] = {}
    datasets: dict[str, SegmentationDataset] = {}
    for split in splits:
        report = reports[split] = SplitReport(split, data.classes)
        dataset = _opened(data, report)
        if dataset is not None:
            datasets[split] = dataset
            _look_at(dataset, report, sample, tell)
    problems = [problem for report in reports.values() for problem in report.problems]
    complete = all(report.checked == report.samples for report in reports.values())
    problems += verdicts.overlaps(list(reports.values()))
    problems += verdicts.refusals(data, reports)
    problems += verdicts.remarks(data, reports, complete)
    train = datasets.get("train")
    root = getattr(data, "root", None)
    return Report(
        data=data.name,
        root=None if root is None else str(root),
        splits=reports,
        problems=in_order(_merged(problems)),
        pace=None if train is None else measure(data, train),
        complete=complete,
    )


def quick_check(
    data: SegmentationDataModule,
    splits: Sequence[str],
    seconds: float,
    processes: tuple[int, int] = (0, 1),
) -> None:
    """Find out before a training what would end it later.

    A small data set is read whole, of a large one what can be read in the time, spread over it.

    Args:
        data: the data module.
        splits: those that will be used.
        seconds: for the files of each split.
        processes: rank and number of those that train.

    Raises:
        UserError: the problem, or a list of all that were found.
    """
    problems: list[Problem] = []
    reports: dict[str, SplitReport] = {}
    for split in splits:
        report = reports[split] = SplitReport(split, data.classes)
        try:
            dataset = data.dataset(split)
            if verdicts.keeps_labels(dataset):
                dataset.read(0)  # says why nothing can be scored
        except UserError:
            absent = _absent(data, split)
            if not absent:  # no folder, no list: whatever else there is follows from it
                raise
            problems += absent
            continue
        report.samples = len(dataset)
        order = np.random.default_rng(0).permutation(len(dataset)).tolist()
        for finding in look(
            dataset, split, order[: 1 if data.generated else None], _threads(), seconds
        ):
            report.add(finding)
        problems += [problem for problem in report.problems if problem.fatal]
    problems += verdicts.refusals(data, reports, processes)
    problems = _merged(problems)
    if len(problems) == 1:
        raise problems[0].error()
    if problems:
        raise _several(data, problems, reports)


def measure(data: SegmentationDataModule, dataset: SegmentationDataset) -> Pace | None:
    """How fast one process reads and augments training samples; None if it cannot."""
    from segscape.data.loader import Failure, TrainItems, default_workers
    from segscape.data.resource_limits import available_cpus

    try:
        items = TrainItems(dataset, data.augment, data.seed)
    except UserError:  # the augment names a class that is not there
        return None
    order = np.random.default_rng(1).permutation(len(dataset))[: _PACE_SAMPLES + 1]
    done, spent = -1, 0.0  # the first one warms up
    for index in order:
        begin = monotonic()
        if isinstance(items[0, int(index)], Failure):
            continue
        spent += monotonic() - begin if done >= 0 else 0.0
        done += 1
        if spent > _PACE_SECONDS:
            break
    if done < 1:
        return None
    workers = default_workers() if data.num_workers is None else data.num_workers
    processes = max(1, min(workers, available_cpus()))
    per_epoch = len(dataset) // data.batch_size * data.batch_size
    return Pace(done / max(spent, 1e-9), workers, processes, per_epoch, done)


def _opened(data: SegmentationDataModule, report: SplitReport) -> SegmentationDataset | None:
    """The samples of a split that have their files; what lacks one is noted in the report."""
    split = report.split
    with collecting() as absent:
        try:
            dataset = data.open(split)  # not data.dataset: nothing is written into a cache
        except UserError as error:
            problem = Problem("split", split, error.what, error.hint)
            report.problems += [*_as_problems(absent, split), problem]
            return None
        except (OSError, UnicodeError) as error:
            what = f"{split} cannot be opened ({type(error).__name__}: {error})"
            report.problems += [*_as_problems(absent, split), Problem("split", split, what)]
            return None
    report.problems += _as_problems(absent, split)
    report.samples = len(dataset)
    for index in range(len(dataset)):
        report.names[dataset.name(index)] = _file(dataset, index)
    report.labelled = not verdicts.keeps_labels(dataset)
    return dataset


def _file(dataset: SegmentationDataset, index: int) -> str:
    """The image file of a sample, or its name if there is none."""
    files = getattr(dataset, "files", None)
    return str(files(index)[0]) if files is not None else dataset.name(index)


def _look_at(
    dataset: SegmentationDataset, report: SplitReport, sample: int | None, tell: Tell | None
) -> None:
    count = report.samples if sample is None else min(sample, report.samples)
    indices = np.sort(np.random.default_rng(0).permutation(report.samples)[:count]).tolist()
    for done, finding in enumerate(look(dataset, report.split, indices, _threads()), 1):
        report.add(finding)
        if tell is not None:
            tell(report.split, done, count)


def _threads() -> int:
    from segscape.data.resource_limits import available_cpus

    return min(available_cpus(), MOST_THREADS)


def _absent(data: SegmentationDataModule, split: str) -> list[Problem]:
    """All files that keep a split from being opened."""
    with collecting() as absent:
        try:
            data.open(split)
        except UserError:
            return _as_problems(absent, split)
    return _as_problems(absent, split)


def _as_problems(absent: Sequence[Absent], split: str) -> list[Problem]:
    return [
        Problem("missing", split, note.error.what, note.error.hint, str(note.file))
        for note in absent
    ]


def _merged(problems: Sequence[Problem]) -> list[Problem]:
    """What concerns several splits alike, such as a folder that is not there, is said once."""
    merged: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        key = problem.kind, problem.what
        known = merged.get(key)
        if known is not None and problem.split not in known.split.split(", "):
            problem = replace(known, split=f"{known.split}, {problem.split}")
        merged[key] = problem
    return list(merged.values())


def _several(
    data: SegmentationDataModule,
    problems: Sequence[Problem],
    reports: Mapping[str, SplitReport],
) -> UserError:
    looked = " and ".join(f"{r.checked} of {r.samples} of {r.split}" for r in reports.values())
    lines = [f"\n       - {problem.what}" for problem in problems[:_LISTED]]
    more = len(problems) - _LISTED
    rest = f"\n       and {more} more" if more > 0 else ""
    root = getattr(data, "root", None)
    place = f" data.root={Path(root)}" if root is not None else ""
    # What to do about the first one is often what to do about all: fetch the right files.
    first = next((problem.hint for problem in problems if problem.hint), None)
    return UserError(
        f"data={data.name}: {len(problems)} problems (samples looked at: {looked})"
        f"{''.join(lines)}{rest}",
        f"{first + ' ' if first else ''}"
        f"segscape data check data={data.name}{place} lists all of them",
    )
