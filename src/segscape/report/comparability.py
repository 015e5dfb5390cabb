"""Which runs may be compared: the conditions of their figures, and what distinguishes runs.

`conditions_of` collects what a run's figures were taken under. Where runs differ in it, `warnings`
names them; `protocol` lists what they share. `settings_of` and `names_of` find what
else distinguishes runs, and `effect_notes` names effects that rest on a part of the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from segscape.config.identity import FREE_DATA, FREE_ON_RESUME
from segscape.report.figure_keys import label
from segscape.report.records import Effect, Record, Run


class Condition(NamedTuple):
    """What figures were taken under: in words, and which figures it changes."""

    words: str
    changes: str  # "latencies", "MACs", "scores", or "" for what may change any figure


CONDITIONS = {
    "device": Condition("device", "latencies"),
    "threads": Condition("number of threads", "latencies"),
    "backend": Condition("backend", "latencies"),
    "latency batch": Condition("batch size of the latency", "latencies"),
    "latency precision": Condition("precision of the latency", "latencies"),
    "latency size": Condition("input size of the latency", "latencies"),
    "input size": Condition("input size", "MACs"),
    "precision": Condition("precision", "scores"),
    "void": Condition("treatment of void", "scores"),
    "data": Condition("data set", "scores"),
    "split": Condition("split", "scores"),
    "validation": Condition("set of validation images", "scores"),
    "torch": Condition("version of PyTorch", ""),
    "commit": Condition("commit of the code", ""),
}
_FIGURE_OF = {"latencies": "latency/p50_ms", "MACs": "model/macs"}
_FREE = {*FREE_ON_RESUME, "sweep", "seed"} - {"init"}
_MOST_NAMES = 4
_MOST_CHARACTERS = 40  # of a value within a name
# After the start of a run: data and network are set up, then its latency is timed for seconds.
_MEASURING = timedelta(seconds=30)


# -- conditions of one run -------------------------------------------------------------------------


def conditions_of(
    values: Mapping[str, Any],
    machine: Mapping[str, Any],
    config: Mapping[str, Any],
    choices: Mapping[str, str],
) -> dict[str, str]:
    """The conditions of a run, as texts; those that are not recorded are left out.

    Args:
        values: summary.json.
        machine: environment.json.
        config: of the run.
        choices: option of each group.
    """
    torch = machine.get("torch") or {}
    data, profile = _node(config, "data"), _node(config, "profile")
    timed = any(str(key).startswith("latency/") for key in values)
    found = {
        "device": values.get("latency/device") or _device(machine),
        "threads": values.get("latency/threads") if timed else torch.get("threads"),
        "backend": values.get("latency/backend"),
        "latency batch": values.get("latency/batch"),
        "latency precision": values.get("latency/precision"),
        "latency size": _size(values.get("latency/input_size") or profile.get("size")),
        "input size": _size(values.get("model/input_size") or profile.get("size")),
        "precision": values.get("precision"),
        "void": values.get("void") or _node(config, "metrics").get("void"),
        "data": choices.get("data") or str(data.get("_target_") or "").rsplit(".", 1)[-1],
        "split": values.get("split") or "val",
        "validation": _validation(data, _node(config, "trainer")),
        "torch": torch.get("version") or (machine.get("packages") or {}).get("torch"),
        "commit": _commit(machine.get("git") or {}),
    }
    return {key: str(value) for key, value in found.items() if value not in (None, "")}


def _node(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A group; third-party configurations may have anything under its name."""
    node = config.get(key)
    return node if isinstance(node, Mapping) else {}


def _device(machine: Mapping[str, Any]) -> str | None:
    """Of the training; the first GPU, if there is one."""
    gpus = machine.get("gpus") or []
    return gpus[0].get("name") if gpus else (machine.get("cpu") or {}).get("model")


def _size(value: Any) -> str:
    if isinstance(value, list | tuple) and len(value) == 2:
        return f"{value[0]}x{value[1]}"
    return str(value) if value else ""


def _validation(data: Mapping[str, Any], trainer: Mapping[str, Any]) -> str:
    """What decides which images are scored, and how large."""
    parts = [_size(data.get("size"))]
    for node, key in ((data, "val_size"), (data, "scene_seed"), (trainer, "limit_val_batches")):
        if node.get(key) is not None:
            parts.append(f"{key}={node[key]}")
    return " ".join(part for part in parts if part)


def _commit(git: Mapping[str, Any]) -> str:
    if not git.get("commit"):
        return ""
    changed = f" + changes {str(git.get('diff_sha256'))[:6]}" if git.get("dirty") else ""
    return f"{str(git['commit'])[:10]}{changed}"


# -- conditions of several runs --------------------------------------------------------------------


def warnings(runs: Sequence[Run]) -> list[str]:
    """Every condition in which runs differ, or that is recorded for some of them only.

    Args:
        runs: those whose figures are shown.
    """
    shown = [run for run in runs if run.figures]
    found = []
    unknown: dict[tuple[str, ...], list[str]] = {}
    for key, (words, what) in CONDITIONS.items():
        groups: dict[str | None, list[str]] = {}
        for run in shown:
            if what not in _FIGURE_OF or _FIGURE_OF[what] in run.figures:
                groups.setdefault(run.environment.get(key), []).append(run.name)
        known = [value for value in groups if value is not None]
        if len(known) > 1:
            result = f"so {what} cannot be compared" if what else "which may change figures"
            found.append(f"The {words} differs, {result}: {_values(groups)}.")
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


def protocol(runs: Sequence[Run], keys: Sequence[str]) -> str:
    """What all runs agree in: the conditions of their costs and latencies.

    Args:
        runs: those that are shown.
        keys: of the figures that are shown.
    """

    def under(*kinds: str) -> list[Mapping[str, str]]:
        """The conditions of the runs that have one of the figures which begin so."""
        own = [key for key in keys if key.startswith(kinds)]
        return [run.environment for run in runs if any(key in run.figures for key in own)]

    sentences = []
    timed = under("latency/")
    common = shared(timed)
    devices = {each["device"] for each in timed if "device" in each}
    where = ["several devices" if len(devices) > 1 else common.get("device")]
    where += [common.get(key) for key in ("latency precision", "backend")]
    if threads := common.get("threads"):
        where.append(f"{threads} thread" + "s" * (threads != "1"))
    if size := common.get("latency size"):
        where.append(f"{size.replace('x', ' × ')} (H × W)")
    if batch := common.get("latency batch"):
        where.append(f"batch {batch}")
    if conditions := ", ".join(text for text in where if text):
        sentences.append(f"Latency: {conditions}.")
    if size := shared(under("model/macs", "model/flops")).get("input size"):
        sentences.append(f"MACs at {size.replace('x', ' × ')}.")
    return " ".join(sentences)


def shared(many: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The entries that all have."""
    first = many[0] if many else {}
    return {k: value for k, value in first.items() if all(each.get(k) == value for each in many)}


def named(names: Sequence[str]) -> str:
    """A few of the names, and how many more there are."""
    quoted = [f"'{name}'" for name in names[:_MOST_NAMES]]
    if len(names) > _MOST_NAMES:
        quoted.append(f"{len(names) - _MOST_NAMES} more")
    return _listed(quoted)


def _values(groups: Mapping[str | None, Sequence[str]]) -> str:
    """Values with their runs; of the most common one only the number."""
    texts: list[str] = []
    for value, names in sorted(groups.items(), key=lambda pair: -len(pair[1])):
        many = len(names) > 1 and not texts
        texts.append(f"{value or 'unknown'} ({f'{len(names)} runs' if many else named(names)})")
    return "; ".join(texts)


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"


# -- what distinguishes runs -----------------------------------------------------------------------


def same_numbers(value: Any) -> Any:
    """Whole floats as integers: trackers write 18.0 as 18."""
    if isinstance(value, Mapping):
        return {key: same_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [same_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def settings_of(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Of each run, the values in which the runs differ by more than the options they chose.

    A value that a chosen option brings along (the learning rate of a recipe) belongs to the
    option; one that was typed, or that differs between runs of the same options, is listed.
    """
    flat = [dict(_leaves(record.config)) for record in records]
    typed = {text.split("=", 1)[0].lstrip("+~") for record in records for text in record.overrides}
    alike: dict[tuple[tuple[str, str], ...], list[dict[str, Any]]] = {}
    for record, values in zip(records, flat, strict=True):
        if values:
            alike.setdefault(tuple(sorted(record.run.choices.items())), []).append(values)
    known = [values for values in flat if values]
    kept = [
        key
        for key in dict.fromkeys(key for values in flat for key in values)
        if any(_differ(pool, key) for pool in ([known] if key in typed else alike.values()))
    ]
    return [{key: values[key] for key in kept if key in values} for values in flat]


def _differ(pool: Sequence[Mapping[str, Any]], key: str) -> bool:
    return len({str(same_numbers(values.get(key))) for values in pool}) > 1


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
    names = [record.run.name for record in records]
    additions: list[Callable[[int], str]] = [
        lambda i: records[i].source.sweep,
        lambda i: " ".join(f"{k}={str(v)[:_MOST_CHARACTERS]}" for k, v in settings[i].items()),
        lambda i: "" if records[i].run.seed is None else f"seed={records[i].run.seed}",
        lambda i: records[i].run.texts.get("split", ""),
        lambda i: records[i].source.path.name,
        lambda i: str(records[i].source.path),
    ]
    for addition in additions:
        groups: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            groups.setdefault(name, []).append(index)
        for members in groups.values():
            added = {index: addition(index) for index in members}
            if len(members) > 1 and len(set(added.values())) > 1:
                for index, text in added.items():
                    names[index] = f"{names[index]} {text}".strip()
    return names


# -- effects ---------------------------------------------------------------------------------------


def effect_notes(
    too_fine: Mapping[str, tuple[int, int]],
    together: Sequence[Sequence[str]],
    effects: Sequence[Effect],
    measured: Mapping[tuple[str, str], int],
) -> list[str]:
    """What effects do not show, one sentence for all choices that share a reason.

    Args:
        too_fine: factors without effects, with the number of their values and of their runs.
        together: groups of factors that always change together.
        effects: those that are shown.
        measured: by factor and figure, how many runs have both.
    """
    pairs: dict[tuple[str, str], list[Effect]] = {}
    for effect in effects:
        pairs.setdefault((effect.factor, effect.figure), []).append(effect)
    partial: dict[str, list[tuple[str, str]]] = {}
    for pair, members in pairs.items():
        used = sum(effect.runs for effect in members)
        if members[0].balanced and used < measured[pair]:
            partial.setdefault(f"{used} of {measured[pair]}", []).append(pair)
    odd = [pair for pair, members in pairs.items() if not members[0].balanced]
    found = []
    if too_fine:
        texts = [f"{name} ({count} values in {n} runs)" for name, (count, n) in too_fine.items()]
        found.append(f"No effects of {_listed(texts)}: too many values for so few runs.")
    for names in together:
        found.append(
            f"The effects of {_listed(names)} cannot be separated: they always change together."
        )
    if partial:
        texts = [f"{count} for {_factors(some, pairs)}" for count, some in partial.items()]
        found.append(
            "Effects compare only runs whose partners all options of the choice have met: "
            f"{'; '.join(texts)}."
        )
    if odd:
        found.append(
            f"The options of {_factors(odd, pairs)} met different partners: "
            "their means show more than their own effect."
        )
    return found


def _factors(chosen: Sequence[tuple[str, str]], every: Iterable[tuple[str, str]]) -> str:
    """The factors of the pairs, with their figures where others of their figures are not meant."""
    counts = [factor for factor, _ in every]
    found = []
    for factor in dict.fromkeys(factor for factor, _ in chosen):
        own = [label(figure, unit=False) for name, figure in chosen if name == factor]
        found.append(factor if len(own) == counts.count(factor) else f"{factor} ({', '.join(own)})")
    return _listed(found)
