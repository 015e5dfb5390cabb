"""From places on the disk to a collection: everything that a report shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from segscape.errors import UserError
from segscape.report import comparability
from segscape.report.effects import effects
from segscape.report.figure_keys import (
    ACCURACY,
    COST,
    compared_figures,
    directed,
    figure_keys,
    short_list,
)
from segscape.report.reading import digest, read
from segscape.report.records import Collection, Record, Run, front_of
from segscape.report.sources import Source, existing, find
from segscape.sweep.launchers.queues import statuses
from segscape.sweep.memory.directory import SweepDirectory
from segscape.sweep.settings import objective

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
    records, unknown = _with_queues([read(source) for source in sources])
    records = _distinguished(records)
    runs = [record.run for record in records]
    objectives = _objectives(sources, runs, y, x)
    collection = Collection(_title(places, sources, runs), runs, objectives, created=_now())
    done = [run for run in runs if run.done]
    made, notes = effects(runs, collection.varied(), compared_figures(objectives))
    return replace(
        collection,
        front=front_of(runs, objectives),
        effects=made,
        warnings=[
            *comparability.warnings(done),
            *comparability.crowded(_spans(records)),
            *comparability.repeated(done),
            *notes,
        ],
        missing=[
            *_unfinished(runs),
            *_without_end(records),
            *_without(done, objectives),
            *unknown,
        ],
    )


def _distinguished(records: Sequence[Record]) -> list[Record]:
    """The runs with ids and names that no other has, and the settings in which they differ."""
    settings = comparability.settings_of(records)
    names = comparability.names_of(records, settings)
    counts = Counter(record.run.id for record in records)
    found = []
    for record, name, values in zip(records, names, settings, strict=True):
        id_ = record.run.id
        if counts[id_] > 1:
            id_ = f"{id_}-{digest(record.source.path)[:6]}"
        found.append(replace(record, run=replace(record.run, id=id_, name=name, settings=values)))
    return found


# -- status of jobs ------------------------------------------------------------------------------


def _with_queues(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records with the states that the sweeps' queues report, and which queues failed."""
    found = list(records)
    notes = []
    open_: dict[Path, list[int]] = {}
    for index, record in enumerate(records):
        if record.source.kind == "job" and not record.run.done:
            open_.setdefault(record.source.path.parents[1], []).append(index)
    for place, here in sorted(open_.items()):
        jobs = [job for index in here if (job := records[index].source.job)]
        try:
            states = statuses(SweepDirectory(place), jobs=jobs)
        except (UserError, OSError) as error:
            reason = error.what if isinstance(error, UserError) else str(error)
            notes.append(
                f"The queue of {place.name} could not be asked ({reason}); "
                "the states are those of its files."
            )
            continue
        for index, known in zip(here, states, strict=True):
            run = replace(records[index].run, state=str(known.state), error=known.cause)
            found[index] = replace(records[index], run=run)
    return found, notes


def _unfinished(runs: Sequence[Run]) -> list[str]:
    """A sentence on what is planned or begun and not finished, one on each cause of failure."""
    left = [run for run in runs if not run.done]
    if not left:
        return []
    counts = Counter(run.state for run in left)
    listed = ", ".join(f"{count} {state}" for state, count in counts.items())
    verb = "is" if len(left) == 1 else "are"
    sentences = [f"{len(left)} of {len(runs)} runs {verb} not finished: {listed}."]
    causes: dict[str, list[str]] = {}
    for run in left:
        if run.error and run.state in ("failed", "lost"):
            lines = run.error.strip().splitlines() or [""]
            causes.setdefault(f"{run.state}: {lines[0]}", []).append(run.name)
    return sentences + [f"{comparability.named(n)} {cause}" for cause, n in causes.items()]


def _without_end(records: Sequence[Record]) -> list[str]:
    """A sentence on records without the end of their run; JSON files never have it."""
    names = [r.run.name for r in records if r.run.state == "unknown" and r.source.kind != "json"]
    if not names:
        return []
    return [f"The end of {comparability.named(names)} is not recorded: figures may not be final."]


def _without(done: Sequence[Run], objectives: Sequence[tuple[str, str]]) -> list[str]:
    found = []
    for _, key in objectives:
        names = [run.name for run in done if key not in run.figures]
        if names and len(names) < len(done):
            found.append(f"{comparability.named(names)}: no {key}, so not on the front.")
    return found


def _spans(records: Sequence[Record]) -> dict[str, tuple[str, str, str]]:
    return {
        r.run.name: (r.host, r.started, _now() if r.run.state == "running" else r.updated)
        for r in records
        if r.host
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
    # A default objective, but never the same figure again.
    given = first or second
    others = [each for each in (*usual, *_usual(known)) if given and each[1] != given[1]]
    first = first or others[0]
    second = second or next((each for each in others if each in usual[1:]), others[0])
    return first, second


def _of_sweep(sources: Sequence[Source]) -> tuple[tuple[str, str], ...]:
    """The objectives that all sweeps share."""
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
