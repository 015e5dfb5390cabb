"""The complete inspection of a data set, and the short one before a training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np

from segscape.data.base import SegmentationDataset, has_labels
from segscape.data.checks import verdicts
from segscape.data.checks.report import Pace, Problem, Report, SplitReport, in_order
from segscape.data.checks.samples import inspect_samples
from segscape.data.datasets.missing_files import MissingFile, collect_missing
from segscape.data.loader import Failure, TrainItems, default_workers
from segscape.data.module import SegmentationDataModule
from segscape.data.resource_limits import available_cpus
from segscape.errors import UserError

# Called after each sample with the split, the samples done and the samples to do.
Progress = Callable[[str, int, int], None]

CHECK_SECONDS = 4.0
MOST_THREADS = 16
# Generated scenes cannot be damaged: a few of them are enough.
GENERATED_SAMPLES = 64
_PACE_SAMPLES, _PACE_SECONDS = 48, 3.0
_LISTED = 8


def inspect_data(
    data: SegmentationDataModule,
    splits: Sequence[str] = ("train", "val"),
    sample: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Inspect splits of a data set, every file once.

    Args:
        data: the data module.
        splits: train, val or test.
        sample: inspect only so many samples of each split, spread over it.
        progress: called after each sample.

    Returns:
        Everything that was found; no fault of the data set raises.
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
            _inspect_split(dataset, report, sample, progress)
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
    splits: Sequence[str] = ("train", "val"),
    seconds: float = CHECK_SECONDS,
    processes: tuple[int, int] | None = None,
) -> None:
    """Find out before a training what would stop it later: lists, files, samples, options.

    A small data set is read completely, of a large one as much as fits in the time, at random.

    Args:
        data: the data module.
        splits: those that will be used.
        seconds: for the files of each split.
        processes: rank and number of the training processes; None: those of the data module.

    Raises:
        UserError: the problem, or a list of all that were found.
    """
    problems: list[Problem] = []
    reports: dict[str, SplitReport] = {}
    for split in splits:
        report = reports[split] = SplitReport(split, data.classes)
        try:
            dataset = data.dataset(split)
            if not has_labels(dataset):
                dataset.read(0)  # raises the reason why nothing can be scored
        except UserError:
            missing = _missing(data, split)
            if not missing:  # no folder or no list: every other problem would follow from it
                raise
            problems += missing
            continue
        report.samples = len(dataset)
        order = np.random.default_rng(0).permutation(len(dataset)).tolist()
        indices = order[: 1 if data.generated else None]
        for finding in inspect_samples(dataset, split, indices, _threads(), seconds):
            report.add(finding)
        problems += [problem for problem in report.problems if problem.fatal]
    problems += verdicts.refusals(data, reports, processes or data.processes)
    problems = _merged(problems)
    if len(problems) == 1:
        raise problems[0].error()
    if problems:
        raise _several(data, problems, reports)


def measure(data: SegmentationDataModule, dataset: SegmentationDataset) -> Pace | None:
    """How fast one process reads and augments training samples; None if it cannot."""
    try:
        items = TrainItems(dataset, data.augment, data.seed)
    except UserError:  # the augment names an unknown class
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
    """The samples of a split that have their files; missing ones are added to the report."""
    split, dataset = report.split, None
    with collect_missing() as missing:
        try:
            dataset = data.open(split)  # not data.dataset: nothing is written into a cache
        except UserError as error:
            failure = Problem("split", split, error.what, error.hint)
        except (OSError, UnicodeError) as error:
            what = f"{split} cannot be opened ({type(error).__name__}: {error})"
            failure = Problem("split", split, what)
    report.problems += _as_problems(missing, split)
    if dataset is None:
        report.problems.append(failure)
        return None
    report.samples = len(dataset)
    for index in range(len(dataset)):
        report.names[dataset.name(index)] = _file(dataset, index)
    report.labelled = has_labels(dataset)
    return dataset


def _file(dataset: SegmentationDataset, index: int) -> str:
    """The image file of a sample, or its name if there is none."""
    files = getattr(dataset, "files", None)
    return str(files(index)[0]) if files is not None else dataset.name(index)


def _inspect_split(
    dataset: SegmentationDataset, report: SplitReport, sample: int | None, progress: Progress | None
) -> None:
    count = report.samples if sample is None else min(sample, report.samples)
    indices = np.sort(np.random.default_rng(0).permutation(report.samples)[:count]).tolist()
    findings = inspect_samples(dataset, report.split, indices, _threads())
    for done, finding in enumerate(findings, 1):
        report.add(finding)
        if progress is not None:
            progress(report.split, done, count)


def _threads() -> int:
    return min(available_cpus(), MOST_THREADS)


def _missing(data: SegmentationDataModule, split: str) -> list[Problem]:
    """All files whose absence prevents a split from being opened."""
    with collect_missing() as missing, suppress(UserError):
        data.open(split)
    return _as_problems(missing, split)


def _as_problems(missing: Sequence[MissingFile], split: str) -> list[Problem]:
    return [
        Problem("missing", split, each.error.what, each.error.hint, str(each.file))
        for each in missing
    ]


def _merged(problems: Sequence[Problem]) -> list[Problem]:
    """One problem for what concerns several splits alike, such as a folder that does not exist."""
    merged: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        key = problem.kind, problem.what
        known = merged.get(key)
        if known is not None and problem.split not in known.split.split(", "):
            problem = replace(known, split=f"{known.split}, {problem.split}")
        merged[key] = problem
    return list(merged.values())


def _several(
    data: SegmentationDataModule, problems: Sequence[Problem], reports: Mapping[str, SplitReport]
) -> UserError:
    checked = " and ".join(f"{r.checked} of {r.samples} of {r.split}" for r in reports.values())
    lines = [f"\n       - {problem.what}" for problem in problems[:_LISTED]]
    more = len(problems) - _LISTED
    rest = f"\n       and {more} more" if more > 0 else ""
    root = getattr(data, "root", None)
    place = f" data.root={Path(root)}" if root is not None else ""
    # What helps with the first one often helps with all: fetch the right files.
    first = next((problem.hint for problem in problems if problem.hint), None)
    return UserError(
        f"data={data.name}: {len(problems)} problems (samples checked: {checked})"
        f"{''.join(lines)}{rest}",
        f"{first + ' ' if first else ''}"
        f"segscape data check data={data.name}{place} lists all of them",
    )
