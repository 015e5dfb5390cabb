"""The data of the runs that a report shows: plain data, no files, no drawing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from segscape.config.training import LATENCY, SCORE
from segscape.report.sources import Source
from segscape.runs import pareto

DONE = ("finished", "unknown")
"""States whose figures are final."""


@dataclass(frozen=True)
class Run:
    """One run, as its directory or a third-party summary.json describes it.

    What was not recorded is missing or None, never a guess.

    Attributes:
        id: unique within a collection: the identity of the job, or a digest of the path.
        name: readable.
        path: the directory or file it was read from.
        state: `finished`, `running`, `failed`, ... as `sweep.memory.status.State`, or "unknown".
        design: equal for runs that differ in nothing but the seed.
        seed: of the run.
        choices: option of each group, e.g. {"encoder": "stdc1", "fusion": "add"}.
        settings: other values in which the runs of the collection differ, e.g. {"optim.lr": 0.01}.
        figures: numbers by key, as in summary.json: `val/miou`, `latency/p50_ms`, `model/macs`,
            `model/macs/encoder`, `val/iou/road`, ...
        texts: other values of summary.json: `latency/device`, `precision`, `void`, input sizes as
            "512x1024", ...
        curves: column of metrics.csv -> one value per validation; `epoch` and `step` are there too.
        gallery: files of the panels (image, label, prediction), best known first.
        environment: what must agree for figures to be compared: device, threads, precision, torch,
            commit, data, input size, void, ...
        error: why it failed, if it did.
    """

    id: str
    name: str
    path: str
    state: str
    design: str
    seed: int | None = None
    choices: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    gallery: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def done(self) -> bool:
        """Whether its figures are final."""
        return self.state in DONE

    def value(self, name: str) -> str | None:
        """The option or setting of a group or key, as a text; None where it has none."""
        for values in (self.choices, self.settings):
            if name in values:
                return str(values[name])
        return None


@dataclass(frozen=True)
class Record:
    """A run as read, before it is compared with others.

    Attributes:
        run: its id and name may be those of another run too, and it has no settings yet.
        source: where from.
        config: plain data, empty when unknown.
        overrides: as typed.
        host: the machine, if the latency was measured on its processor.
        started: when it began, ISO 8601.
        updated: when it last wrote its status.
    """

    run: Run
    source: Source
    config: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    host: str = ""
    started: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Effect:
    """What choosing an option does to a figure, other things being equal.

    Attributes:
        factor: the group or key, e.g. `fusion`.
        option: the value, e.g. `uafm_spatial`.
        figure: key of the figure, e.g. `val/miou`.
        mean: marginal mean over the runs with this option.
        low: lower end of the 95 % interval; None with a single run.
        high: upper end.
        runs: number of runs behind it.
        balanced: whether every option met the same partners, so that options may be compared.
    """

    factor: str
    option: str
    figure: str
    mean: float
    low: float | None
    high: float | None
    runs: int
    balanced: bool


@dataclass(frozen=True)
class Collection:
    """Everything a report shows.

    Attributes:
        title: name of the sweep, or of the sources.
        runs: the runs.
        objectives: (direction, key) of the front, e.g. ("max", "val/miou"), ("min",
            "latency/p50_ms").
        front: ids of the runs on the Pareto front of the objectives.
        effects: marginal effects of the choices that vary.
        warnings: what keeps figures from being compared, in sentences.
        missing: sentences on runs that are planned but not finished.
        created: when it was collected, ISO 8601.
    """

    title: str
    runs: Sequence[Run]
    objectives: Sequence[tuple[str, str]] = (("max", SCORE), ("min", LATENCY))
    front: Sequence[str] = ()
    effects: Sequence[Effect] = ()
    warnings: Sequence[str] = ()
    missing: Sequence[str] = ()
    created: str = ""

    def varied(self) -> list[str]:
        """Groups and keys in which the runs differ, choices first."""
        found = []
        for field_name in ("choices", "settings"):
            keys = {key: None for run in self.runs for key in getattr(run, field_name)}
            for key in keys:
                values = {str(getattr(run, field_name).get(key)) for run in self.runs}
                if len(values) > 1:
                    found.append(key)
        return found


def front_of(runs: Iterable[Run], objectives: Sequence[tuple[str, str]]) -> list[str]:
    """Ids of the finished runs on the front of the objectives, in the order of `runs`."""
    done = [run for run in runs if run.done]
    points = [[run.figures.get(key) for _, key in objectives] for run in done]
    return [done[index].id for index in pareto.front(points, [way for way, _ in objectives])]
