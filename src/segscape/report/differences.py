"""What tells runs apart: settings in which they differ, designs, and names that are unique."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from segscape.config.identity import FREE_DATA, FREE_ON_RESUME, design, identity
from segscape.report.reading import Record, digest

_FREE = {*FREE_ON_RESUME, "sweep", "seed"} - {"init"}
_MOST = 40  # characters of a value within a name


def seed_of(record: Record) -> int | None:
    """The seed of a run, if it is known."""
    seed = record.config.get("seed", record.figures.get("seed"))
    return int(seed) if isinstance(seed, int | float) and not isinstance(seed, bool) else None


def design_of(record: Record) -> str:
    """Equal for runs that differ in their seed only; without a configuration, of its own."""
    config = record.config
    if not config:
        return digest(record.source.path)
    return design(_same_numbers(config))  # trackers write 18.0 as 18


def _same_numbers(value: Any) -> Any:
    """Whole floats as integers."""
    if isinstance(value, Mapping):
        return {key: _same_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_same_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def ids_of(records: Sequence[Record]) -> list[str]:
    """An id for each: that of the job or the configuration; of the path where two are equal."""
    ids = [
        record.source.job.id
        if record.source.job
        else identity(record.config)
        if record.config
        else digest(record.source.path)
        for record in records
    ]
    return [
        id_ if ids.count(id_) == 1 else f"{id_}-{digest(record.source.path)[:6]}"
        for id_, record in zip(ids, records, strict=True)
    ]


def settings_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each run, the values in which the runs differ by more than the options they chose.

    A value that a chosen option brings along (the learning rate of a recipe) belongs to the
    option; one that was typed, or that differs between runs of the same options, is listed.
    """
    flat = [dict(_leaves(record.config)) for record in records]
    keys = list(dict.fromkeys(key for values in flat for key in values))
    typed = {text.split("=", 1)[0].lstrip("+~") for record in records for text in record.overrides}
    alike: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for index, record in enumerate(records):
        if flat[index]:
            alike.setdefault(tuple(sorted(record.choices.items())), []).append(index)
    known = [values for values in flat if values]
    kept = []
    for key in keys:
        pools = [known] if key in typed else [[flat[i] for i in group] for group in alike.values()]
        if any(_differ(pool, key) for pool in pools):
            kept.append(key)
    return [{key: values[key] for key in kept if key in values} for values in flat]


def _differ(pool: Sequence[Mapping[str, Any]], key: str) -> bool:
    return len({str(_same_numbers(values.get(key))) for values in pool}) > 1


def _leaves(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if key in _FREE:
            continue
        for path, leaf in _below(key, value):
            own_seed = path == "data.seed" and leaf == config.get("seed")
            if path.rsplit(".", 1)[-1] != "_target_" and path != "model.name" and not own_seed:
                yield path, leaf


def _below(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        yield path, value
        return
    for key, inner in value.items():
        if path != "data" or key not in FREE_DATA:
            yield from _below(f"{path}.{key}", inner)


def names_of(records: Sequence[Record], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each that no other has: as little as is needed is added to those that are equal.

    Args:
        records: the runs.
        settings: of each, what `settings_of` found.
    """
    names = [record.name for record in records]
    indices = range(len(records))
    additions: list[Callable[[int], str]] = [
        lambda i: records[i].source.sweep,
        lambda i: " ".join(f"{k}={str(v)[:_MOST]}" for k, v in settings[i].items()),
        lambda i: f"seed={seed}" if (seed := seed_of(records[i])) is not None else "",
        lambda i: records[i].texts.get("split", ""),
        lambda i: records[i].source.path.name,
        lambda i: str(records[i].source.path),
    ]
    for addition in additions:
        groups: dict[str, list[int]] = {}
        for index in indices:
            groups.setdefault(names[index], []).append(index)
        for members in groups.values():
            added = {index: addition(index) for index in members}
            if len(members) > 1 and len(set(added.values())) > 1:
                for index, text in added.items():
                    names[index] = f"{names[index]} {text}".strip()
    return names
