"""Findings about one sample, about a split, and the report about a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from segscape.data.base import IGNORE_INDEX
from segscape.errors import UserError
from segscape.losses.class_weights import class_weights

# Kinds of problems with their headings, in the order of the report.
KINDS = {
    "split": "splits that cannot be opened",
    "missing": "missing files",
    "unreadable": "files that cannot be read",
    "size": "labels of another size than their image",
    "ids": "labels with ids of no class",
    "refused": "what a training would refuse",
    "overlap": "samples that are in two splits",
    "repeated": "the same image twice in a split",
    "unlabelled": "labels without a single class",
    "classes": "classes that do not occur",
    "crop": "crops",
}
# A class with less than this share of what it would have if all were equally frequent is rare.
RARE = 0.1
RULES = ("median_frequency", "enet")


@dataclass(frozen=True)
class Problem:
    """A fault of a data set.

    Attributes:
        kind: one of KINDS.
        split: where it is; two, separated by a comma, for what concerns both.
        what: one line that names the file, sample or option.
        hint: how to correct it.
        file: the file at fault, if any.
        fatal: whether a training or a scoring would fail.
    """

    kind: str
    split: str
    what: str
    hint: str | None = None
    file: str | None = None
    fatal: bool = True

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "severity": "error" if self.fatal else "warning",
            "split": self.split,
            "file": self.file,
            "what": self.what,
            "hint": self.hint,
        }

    def error(self) -> UserError:
        """As an error."""
        return UserError(self.what, self.hint)


@dataclass(frozen=True)
class Finding:
    """The result of inspecting one sample.

    Attributes:
        name: of the sample, unique within its split.
        file: its image file, or its name if it has none.
        size: height and width; None when the image cannot be read.
        pixels: of each training id, int64 (256,); None when the label cannot be used.
        digest: of the image's content; None when it cannot be read.
        problems: of its files.
    """

    name: str
    file: str
    size: tuple[int, int] | None = None
    pixels: np.ndarray | None = None
    digest: bytes | None = None
    problems: tuple[Problem, ...] = ()


@dataclass
class SplitReport:
    """A split, of which some or all samples were inspected.

    Attributes:
        split: its name.
        classes: names of the classes.
        samples: of the split, without those that lack a file.
        labelled: whether the split has labels.
        checked: samples that were inspected.
        sizes: number of images by (height, width).
        pixels: of each training id.
        images: in which each training id occurs.
        names: file by name of the sample.
        digests: file by content; the first of several equal ones.
        problems: in the order of the samples.
    """

    split: str
    classes: tuple[str, ...]
    samples: int = 0
    labelled: bool = True
    checked: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    pixels: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    images: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    names: dict[str, str] = field(default_factory=dict)
    digests: dict[bytes, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Add one sample."""
        self.checked += 1
        self.problems.extend(finding.problems)
        if finding.size is not None:
            self.sizes[finding.size] += 1
        if finding.digest is not None:
            first = self.digests.setdefault(finding.digest, finding.file)
            if first != finding.file:
                what = f"{finding.file}: has the same content as {first}"
                self._warn("repeated", what, finding.file)
        if finding.pixels is not None:
            self.pixels += finding.pixels
            self.images += finding.pixels > 0
            if not finding.pixels[:IGNORE_INDEX].any():
                self._warn("unlabelled", f"{finding.file}: every pixel is ignored", finding.file)

    @property
    def shares(self) -> list[float]:
        """Share of the labelled pixels of each class, 0..1."""
        counts = self.pixels[: len(self.classes)]
        return [float(share) for share in counts / max(int(counts.sum()), 1)]

    @property
    def ignored(self) -> float:
        """Share of all pixels that are ignored, 0..1."""
        return float(self.pixels[IGNORE_INDEX] / max(int(self.pixels.sum()), 1))

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        rows = zip(self.classes, self.pixels, self.images, self.shares, strict=False)
        return {
            "samples": self.samples,
            "checked": self.checked,
            "sizes": {f"{w}x{h}": count for (h, w), count in self.sizes.most_common()},
            "ignored": self.ignored if self.labelled else None,
            "classes": {
                name: {"pixels": int(pixels), "images": int(images), "share": share}
                for name, pixels, images, share in rows
            }
            if self.labelled
            else None,
        }

    def _warn(self, kind: str, what: str, file: str) -> None:
        self.problems.append(Problem(kind, self.split, what, file=file, fatal=False))


@dataclass(frozen=True)
class Pace:
    """The measured rate of training samples, and the time of an epoch that follows.

    Attributes:
        per_process: samples per second of one process: read, decode, augment.
        workers: loader processes of the configuration.
        processes: those of them that run at the same time, by the CPUs of the machine.
        samples: of an epoch.
        measured: samples that were read for the measurement.
    """

    per_process: float
    workers: int
    processes: int
    samples: int
    measured: int

    @property
    def per_second(self) -> float:
        """Samples per second of all loader processes together."""
        return self.per_process * self.processes

    @property
    def epoch_seconds(self) -> float:
        """Seconds that the loader needs for an epoch."""
        return self.samples / self.per_second

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "samples": self.samples,
            "measured_samples": self.measured,
            "samples_per_second_per_process": self.per_process,
            "workers": self.workers,
            "samples_per_second": self.per_second,
            "seconds": self.epoch_seconds,
        }


@dataclass(frozen=True)
class Report:
    """Everything found about a data set.

    Attributes:
        data: its name.
        root: its folder, if it has one.
        splits: in the order requested.
        problems: of all of them, in the order of KINDS.
        pace: None when nothing could be measured.
        complete: whether every sample was inspected.
    """

    data: str
    root: str | None
    splits: Mapping[str, SplitReport]
    problems: Sequence[Problem]
    pace: Pace | None
    complete: bool

    @property
    def ok(self) -> bool:
        """Whether a training could read all its data."""
        return not any(problem.fatal for problem in self.problems)

    @property
    def counted(self) -> SplitReport | None:
        """The split whose class shares are reported: train, or the first with labels."""
        found = [s for s in self.splits.values() if s.labelled and sum(s.shares) > 0]
        return next((s for s in found if s.split == "train"), found[0] if found else None)

    @property
    def weights(self) -> dict[str, list[float]]:
        """Class weights by rule, of the counted split; empty without one."""
        if self.counted is None:
            return {}
        return {rule: class_weights(rule, self.counted.shares) for rule in RULES}

    def as_data(self) -> dict[str, Any]:
        """For JSON."""
        counted = self.counted
        names = counted.classes if counted else ()
        return {
            "data": self.data,
            "root": self.root,
            "ok": self.ok,
            "complete": self.complete,
            "splits": {name: split.as_data() for name, split in self.splits.items()},
            "class_weights": {
                rule: dict(zip(names, values, strict=True)) for rule, values in self.weights.items()
            },
            "class_weights_of": counted.split if counted else None,
            "rare_classes": [names[i] for i in rare(counted.shares)] if counted else [],
            "epoch": self.pace.as_data() if self.pace else None,
            "problems": [problem.as_data() for problem in self.problems],
        }


def rare(shares: Sequence[float]) -> list[int]:
    """Classes that occur, but far below an equal share."""
    return [i for i, share in enumerate(shares) if 0 < share < RARE / len(shares)]


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Problems without repetitions, fatal ones first, then by kind."""
    kinds = list(KINDS)
    unique = dict.fromkeys(problems)
    return sorted(unique, key=lambda p: (not p.fatal, kinds.index(p.kind)))
