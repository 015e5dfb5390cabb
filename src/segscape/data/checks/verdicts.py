"""Conclusions from the findings: overlaps, what a training would refuse, remarks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from segscape.data.checks.report import Problem, SplitReport
from segscape.data.module import SegmentationDataModule
from segscape.data.sampler import TrainOrder
from segscape.data.transforms import Identity, for_classes
from segscape.errors import UserError


def overlaps(reports: Sequence[SplitReport]) -> list[Problem]:
    """Samples that are in two splits, by content or by name."""
    found = []
    for first, second in itertools.combinations(reports, 2):
        both = f"{first.split}, {second.split}"
        same = set()
        for digest, file in second.digests.items():
            if digest in first.digests:
                same.add(file)
                other = first.digests[digest]
                what = (
                    f"{file} is in {second.split} and in {first.split}"
                    if file == other
                    else f"{file} ({second.split}) has the content of {other} ({first.split})"
                )
                found.append(Problem("overlap", both, what, file=file, fatal=False))
        names = [n for n, file in second.names.items() if n in first.names and file not in same]
        if names:
            listed = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            what = f"{len(names)} names are in {first.split} and {second.split}: {listed}"
            hint = "the images differ; only their names are the same"
            found.append(Problem("overlap", both, what, hint, fatal=False))
    return found


def refusals(
    data: SegmentationDataModule,
    reports: Mapping[str, SplitReport],
    processes: tuple[int, int] = (0, 1),
) -> list[Problem]:
    """What a training or a scoring would refuse, although every file may be right.

    Args:
        data: the data module.
        reports: by split.
        processes: rank and number of the training processes.
    """
    found = []
    for split, report in reports.items():
        if not report.samples:
            continue
        if split == "train":
            found += _of_training(data, report, processes)
        elif data.eval_batch_size > 1 and len(report.sizes) > 1:
            what = f"data.eval_batch_size={data.eval_batch_size}: {_sizes(report)}"
            hint = "use data.eval_batch_size=1: a batch holds images of one size"
            found.append(Problem("refused", split, what, hint))
    return found


def _of_training(
    data: SegmentationDataModule, report: SplitReport, processes: tuple[int, int]
) -> list[Problem]:
    found = []
    for attempt in (
        lambda: TrainOrder(report.samples, data.batch_size, data.seed, *processes),
        lambda: for_classes(data.augment, data.classes),
    ):
        try:
            attempt()
        except UserError as error:
            found.append(Problem("refused", "train", error.what, error.hint))
    whole = data.augment is None or isinstance(data.augment, Identity)
    if whole and data.batch_size > 1 and len(report.sizes) > 1:
        what = f"data.batch_size={data.batch_size} without a crop: {_sizes(report)}"
        found.append(Problem("refused", "train", what, "use an augment that crops"))
    if report.labelled and report.pixels.any() and not any(report.shares):
        found.append(Problem("refused", "train", "no pixel of the training split has a class"))
    return found


def remarks(
    data: SegmentationDataModule, reports: Mapping[str, SplitReport], complete: bool
) -> list[Problem]:
    """What does not stop a training, but matters for its result."""
    found = []
    where = "" if complete else " (in the samples that were checked)"
    for split, report in reports.items():
        if not report.labelled or not any(report.shares):
            continue
        absent = [
            name for name, count in zip(report.classes, report.pixels, strict=False) if not count
        ]
        if absent:
            listed = ", ".join(absent[:12]) + (", ..." if len(absent) > 12 else "")
            effect = "cannot be learnt" if split == "train" else "cannot be scored"
            what = f"{len(absent)} of {len(report.classes)} classes do not occur in {split}{where}"
            found.append(Problem("classes", split, f"{what} and {effect}: {listed}", fatal=False))
    crop, train = data.train_size_hw, reports.get("train")
    if crop is not None and train is not None:
        small = sum(count for (h, w), count in train.sizes.items() if h < crop[0] or w < crop[1])
        if small:
            what = (
                f"{small} of {sum(train.sizes.values())} images of train are smaller than the "
                f"crop {crop[1]}x{crop[0]}: they are padded unless they are enlarged first"
            )
            found.append(Problem("crop", "train", what, fatal=False))
    return found


def _sizes(report: SplitReport) -> str:
    listed = ", ".join(f"{w}x{h}" for (h, w), _ in report.sizes.most_common(3))
    more = ", ..." if len(report.sizes) > 3 else ""
    return f"the images of {report.split} differ in size ({listed}{more})"
