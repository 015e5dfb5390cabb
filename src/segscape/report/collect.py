"""From places on the disk to a collection: everything that a report shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from segscape.errors import UserError
from segscape.report import comparable, differences
from segscape.report.effects import effects
from segscape.report.figure_keys import (
    ACCURACY,
    COST,
    compared_figures,
    directed,
    figure_keys,
    short_list,
)
from segscape.report.reading import Record, read
from segscape.report.records import Collection, Run
from segscape.report.sources import Source, existing, find
from segscape.runs import pareto

DEFAULT = Collection("", ()).objectives


def collect(
    places: Sequence[str | os.PathLike[str]], y: str | None = None, x: str | None = None
) -> Collection:
    """Read every run below the places.

    Args:
        places: as for `sources.find`.
        y: first objective, KEY or max:KEY or min:KEY; by default that of the sweep, or the
            accuracy.
        x: second objective; by default that of the sweep, or the latency.

    Raises:
        UserError: a place holds no run, a record is damaged, or no run has an objective.
    """
    sources = find(places)
    records, unknown = _with_standings([read(source) for source in sources])
    settings = differences.settings_of(records)
    names = differences.names_of(records, settings)
    runs = [
        _run(record, id_, name, values)
        for record, id_, name, values in zip(
            records, differences.ids_of(records), names, settings, strict=True
        )
    ]
    objectives = _objectives(sources, runs, y, x)
    collection = Collection(_title(places, sources, runs), runs, objectives, created=_now())
    done = [run for run in runs if run.state in pareto.DONE]
    made, notes = effects(runs, collection.varied(), compared_figures(objectives))
    warnings = [
        *comparable.warnings(done),
        *comparable.crowded(_spans(records, names)),
        *comparable.repeated(done),
        *notes,
    ]
    return replace(
        collection,
        front=pareto.front_of_runs(runs, objectives),
        effects=made,
        warnings=warnings,
        missing=[
            *_unfinished(records, names),
            *_without_end(records, names),
            *_without(done, objectives),
            *unknown,
        ],
    )


def _run(record: Record, id_: str, name: str, settings: Mapping[str, Any]) -> Run:
    return Run(
        id=id_,
        name=name,
        path=str(record.source.path),
        state=record.state,
        design=differences.design_of(record),
        seed=differences.seed_of(record),
        choices=record.choices,
        settings=settings,
        figures=record.figures,
        texts=record.texts,
        curves=record.curves,
        gallery=record.gallery,
        environment=record.environment,
        error=record.error,
    )


# -- how jobs stand ------------------------------------------------------------------------------


def _with_standings(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records with the states that the sweeps' queues tell, and what could not be asked."""
    found = list(records)
    notes = []
    places = {r.source.path.parents[1] for r in records if r.source.kind == "job"}
    for place in sorted(places):
        here = [
            index
            for index, record in enumerate(records)
            if record.source.kind == "job"
            and record.source.path.parents[1] == place
            and record.state not in pareto.DONE
        ]
        if not here:
            continue
        try:
            states = _standings(place, [records[index] for index in here])
        except (UserError, OSError) as error:
            reason = error.what if isinstance(error, UserError) else str(error)
            notes.append(
                f"The queue of {place.name} could not be asked ({reason}); "
                "the states are those of its files."
            )
            continue
        for index in here:
            job = records[index].source.job
            assert job is not None
            state, cause = states[job.id]
            found[index] = replace(records[index], state=state, error=cause)
    return found, notes


def _standings(place: Path, records: Sequence[Record]) -> dict[str, tuple[str, str | None]]:
    from segscape.sweep.memory.directory import SweepDirectory
    from segscape.sweep.memory.status import standings

    jobs = [record.source.job for record in records if record.source.job]
    found = standings(SweepDirectory(place), jobs=jobs)
    return {each.job.id: (str(each.state), each.cause) for each in found}


def _unfinished(records: Sequence[Record], names: Sequence[str]) -> list[str]:
    """A sentence on what is planned or begun and not finished, one on each cause of failure."""
    left = [(r, n) for r, n in zip(records, names, strict=True) if r.state not in pareto.DONE]
    if not left:
        return []
    counts = Counter(record.state for record, _ in left)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    verb = "is" if len(left) == 1 else "are"
    sentences = [f"{len(left)} of {len(records)} runs {verb} not finished: {told}."]
    causes: dict[str, list[str]] = {}
    for record, name in left:
        if record.error and record.state in ("failed", "lost"):
            lines = record.error.strip().splitlines() or [""]
            causes.setdefault(f"{record.state}: {lines[0]}", []).append(name)
    return sentences + [f"{comparable.named(n)} {cause}" for cause, n in causes.items()]


def _without_end(records: Sequence[Record], names: Sequence[str]) -> list[str]:
    """Of a JSON file nobody expects to be told that its run has ended."""
    open_ = [
        name
        for record, name in zip(records, names, strict=True)
        if record.state == "unknown" and record.source.kind != "json"
    ]
    if not open_:
        return []
    return [f"Nothing says that {comparable.named(open_)} has ended: figures may not be final."]


def _without(done: Sequence[Run], objectives: Sequence[tuple[str, str]]) -> list[str]:
    found = []
    for _, key in objectives:
        names = [run.name for run in done if key not in run.figures]
        if names and len(names) < len(done):
            found.append(f"{comparable.named(names)}: no {key}, so not on the front.")
    return found


def _spans(records: Sequence[Record], names: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    return {
        name: (record.host, record.started, _now() if record.state == "running" else record.updated)
        for record, name in zip(records, names, strict=True)
        if record.host
    }


# -- objectives and title ------------------------------------------------------------------------


def _objectives(
    sources: Sequence[Source], runs: Sequence[Run], y: str | None, x: str | None
) -> tuple[tuple[str, str], ...]:
    known = figure_keys(runs)
    usual = _of_sweep(sources) or _usual(known)
    if y is None and x is None:
        return usual
    first = directed(y, known) if y else None
    second = directed(x, known) if x else None
    if first and second and first[1] == second[1]:
        raise UserError(
            f"--x and --y are both {first[1]}",
            f"two different figures make a front: {', '.join(short_list(known))}",
        )
    # What is not asked for is as usual, but never the same figure again.
    given = first or second
    others = [each for each in (*usual, *_usual(known)) if given and each[1] != given[1]]
    first = first or others[0]
    second = second or next((each for each in others if each in usual[1:]), others[0])
    return first, second


def _of_sweep(sources: Sequence[Source]) -> tuple[tuple[str, str], ...]:
    """The objectives that all sweeps share."""
    from segscape.sweep.memory.directory import SweepDirectory
    from segscape.sweep.settings import objective

    if any(source.kind != "job" for source in sources):
        return ()
    found = set()
    for place in {source.path.parents[1] for source in sources}:
        given = SweepDirectory(place).read_description().get("settings") or {}
        texts = given.get("objectives") or ()
        found.add(
            tuple(objective(t) if isinstance(t, str) else (str(t[0]), str(t[1])) for t in texts)
        )
    return found.pop() if len(found) == 1 else ()


def _usual(known: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Accuracy over latency, or over the nearest thing that the runs have."""
    score = next((key for key in ACCURACY if key in known), DEFAULT[0][1])
    cost = next((key for key in COST if key in known), DEFAULT[1][1])
    return ("max", score), ("min", cost)


def _title(
    places: Sequence[str | os.PathLike[str]], sources: Sequence[Source], runs: Sequence[Run]
) -> str:
    sweeps = list(dict.fromkeys(source.sweep for source in sources))
    if sweeps == [sweeps[0]] and sweeps[0]:
        return sweeps[0]
    if len(runs) == 1:
        return runs[0].name
    if len(places) == 1:
        return existing(places[0]).resolve().name
    return f"{len(runs)} runs"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
