"""What keeps the figures of runs from being compared, said in sentences that name the runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from segscape.report.records import Run

# condition: what it changes
_LATENCY = "latencies"
_SCORES = "scores"
_CONDITIONS = {
    "device": ("device", _LATENCY),
    "threads": ("number of threads", _LATENCY),
    "backend": ("backend", _LATENCY),
    "latency batch": ("batch size of the latency", _LATENCY),
    "latency precision": ("precision of the latency", _LATENCY),
    "latency size": ("input size of the latency", _LATENCY),
    "input size": ("input size", "MACs"),
    "precision": ("precision", _SCORES),
    "void": ("treatment of void", _SCORES),
    "data": ("data set", _SCORES),
    "split": ("split", _SCORES),
    "validation": ("set of validation images", _SCORES),
    "torch": ("version of PyTorch", ""),
    "commit": ("commit of the code", ""),
}
_NAMED = 4
# After the start of a run: data and network are set up, then its latency is timed for seconds.
_MEASURING = timedelta(seconds=30)


def warnings(runs: Sequence[Run]) -> list[str]:
    """Every condition in which runs differ or that only some of them tell.

    Args:
        runs: those whose figures are shown.
    """
    shown = [run for run in runs if run.figures]
    found = []
    unknown: dict[tuple[str, ...], list[str]] = {}
    for key, (words, what) in _CONDITIONS.items():
        groups: dict[str | None, list[str]] = {}
        for run in shown:
            if _matters(run, what):
                groups.setdefault(run.environment.get(key), []).append(run.name)
        known = [value for value in groups if value is not None]
        if len(known) > 1:
            result = f"so {what} cannot be compared" if what else "which may change figures"
            found.append(f"The {words} differs, {result}: {_listed(groups)}.")
        elif known and None in groups:
            unknown.setdefault(tuple(groups[None]), []).append(words)
    return found + [
        f"Not known of {named(names)}: {', '.join(missing)}." for names, missing in unknown.items()
    ]


def repeated(runs: Sequence[Run]) -> list[str]:
    """Runs of the same configuration and seed, which are no independent evidence."""
    groups: dict[tuple[str, int | None], list[str]] = {}
    for run in runs:
        if run.design and run.figures:
            split = run.environment.get("split", "")
            groups.setdefault((f"{run.design} {split}", run.seed), []).append(run.name)
    return [
        f"{len(names)} runs have the same configuration and seed: {named(names)}. "
        "They count as several in means."
        for names in groups.values()
        if len(names) > 1
    ]


def crowded(spans: Mapping[str, tuple[str, str, str]]) -> list[str]:
    """Runs during whose first moments, when latency is measured, others used the same processor.

    Args:
        spans: by name of the run: the machine, when it began and when it last wrote, ISO 8601.
            Only runs whose latency was measured on a processor belong here.
    """
    times = {
        name: (machine, datetime.fromisoformat(start), datetime.fromisoformat(end))
        for name, (machine, start, end) in spans.items()
        if machine and start and end
    }
    disturbed = [
        name
        for name, (machine, start, end) in times.items()
        if any(
            other != name
            and there == machine
            and start < until
            and begin < min(start + _MEASURING, end)
            for other, (there, begin, until) in times.items()
        )
    ]
    if not disturbed:
        return []
    return [
        f"While the latency of {named(disturbed)} was measured, another run used the same "
        "processor: these latencies may be too high."
    ]


def named(names: Sequence[str]) -> str:
    """A few of the names, and how many more there are."""
    quoted = [f"'{name}'" for name in names[:_NAMED]]
    if len(names) > _NAMED:
        quoted.append(f"{len(names) - _NAMED} more")
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"


def _matters(run: Run, what: str) -> bool:
    if what == _LATENCY:
        return "latency/p50_ms" in run.figures
    if what == "MACs":
        return "model/macs" in run.figures
    return True


def _listed(groups: Mapping[str | None, Sequence[str]]) -> str:
    """Values with their runs; of the most common one only the number."""
    ordered: Iterable[tuple[str | None, Sequence[str]]] = sorted(
        groups.items(), key=lambda pair: -len(pair[1])
    )
    texts = []
    for index, (value, names) in enumerate(ordered):
        shown = "unknown" if value is None else value
        many = len(names) > 1 and index == 0
        texts.append(f"{shown} ({len(names)} runs)" if many else f"{shown} ({named(names)})")
    return "; ".join(texts)
