"""Reads the run of one source. What is not recorded there stays unknown."""

from __future__ import annotations

import hashlib
import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segscape.config.identity import design, identity
from segscape.config.targets import PARTS
from segscape.config.training import SCORE
from segscape.errors import UserError
from segscape.report import offline, options
from segscape.report.comparability import conditions_of, same_numbers
from segscape.report.records import DONE, Record, Run
from segscape.report.sources import Source
from segscape.runs.files import read_json
from segscape.runs.run_directory import RunDirectory

_CONSTANT = ("model/", "latency/")
_NO_CHOICES = ("hydra/", "sweep", "logger", "callbacks", "profile")


def read(source: Source) -> Record:
    """What a source records of its run.

    Raises:
        UserError: a file is damaged or holds no figures.
    """
    return {"json": _json, "wandb": _wandb}.get(source.kind, _run)(source)


def digest(path: Path) -> str:
    """Ten digits for a path."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:10]


def _made(
    source: Source,
    values: Mapping[str, Any],
    machine: Mapping[str, Any],
    config: Mapping[str, Any],
    choices: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]] = (),
    **known: Any,
) -> Run:
    """The run that a source describes, as the record that every source gives.

    Args:
        source: where from.
        values: summary.json, or what replaces it.
        machine: environment.json.
        config: plain data, empty when unknown.
        choices: option of each group.
        rows: of metrics.csv; their columns become curves.
        **known: other fields of the run.
    """
    figures, texts = split(values)
    seed = config.get("seed", figures.get("seed"))
    own = digest(source.path)
    columns = {key: [_curve_value(row.get(key)) for row in rows] for row in rows[:1] for key in row}
    return Run(
        id=source.job.id if source.job else identity(config) if config else own,
        path=str(source.path),
        # Equal for runs that differ in their seed only; without a configuration, of its own.
        design=design(same_numbers(config)) if config else own,
        seed=int(seed) if number(seed) is not None else None,
        choices=choices,
        figures=figures,
        texts=texts,
        curves={k: v for k, v in columns.items() if any(value is not None for value in v)},
        environment=conditions_of(values, machine, config, choices),
        **known,
    )


# -- run directories -----------------------------------------------------------------------------


def _run(source: Source) -> Record:
    directory = RunDirectory(source.path)
    saved = read_json(source.path / "job.json")
    status, summary = directory.read_status(), directory.read_summary()
    config = saved.get("config") or directory.read_config() or {}
    overrides = saved.get("overrides") or directory.read_overrides()
    choices = kept_choices(
        (source.job.choices if source.job else None)
        or directory.read_choices()
        or options.choices_of(config, overrides)
    )
    rows = directory.read_metrics()
    state, error = _state(directory, status, summary)
    # A summary that a continued run has left behind is not what this run is now.
    values = summary if state in DONE else {}
    values = values or {**directory.read_cost(), **_best(rows)}
    machine = directory.read_environment()
    cpu = (machine.get("cpu") or {}).get("model", "")
    # A latency that was measured again after the sweep, when nothing else ran, is undisturbed.
    disturbed = values.get("latency/device") == cpu and "latency/measured" not in values
    name = source.job.name if source.job else _name(source.path, saved, config, overrides, choices)
    shown = [{k: v for k, v in row.items() if k and not k.startswith(_CONSTANT)} for row in rows]
    gallery = [str(path) for path in sorted(directory.gallery.glob("*.png"))]
    known = {"name": name, "state": state, "gallery": gallery, "error": error}
    return Record(
        run=_made(source, values, machine, config, choices, shown, **known),
        source=source,
        config=config,
        overrides=overrides,
        host=str(status.get("host") or "") if disturbed else "",
        started=str(status.get("started") or ""),
        updated=str(status.get("updated") or ""),
    )


def _state(
    directory: RunDirectory, status: Mapping[str, Any], summary: Mapping[str, Any]
) -> tuple[str, str | None]:
    if not status:
        # An evaluation, or a directory that was handed over without its status.
        if summary:
            return "finished", None
        return ("unknown" if directory.metrics_path.is_file() else "waiting"), None
    state = str(status.get("state") or "unknown")
    if state == "running" and not _may_live(status):
        return "lost", "its process was killed, or vanished with the machine"
    return state, status.get("error")


def _may_live(status: Mapping[str, Any]) -> bool:
    """Whether the process can still be there; of another machine that is not known."""
    pid = status.get("pid")
    if not isinstance(pid, int) or status.get("host") != socket.gethostname():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _name(
    place: Path,
    saved: Mapping[str, Any],
    config: Mapping[str, Any],
    overrides: Sequence[str],
    choices: Mapping[str, str],
) -> str:
    if saved.get("name"):
        return str(saved["name"])
    model = (config.get("model") or {}).get("name") or place.name
    typed = {text.split("=", 1)[0] for text in overrides}
    parts = [f"{key}={choices[key]}" for key in (*PARTS, "loss") if key in typed & {*choices}]
    return " ".join([str(model), *parts])


def kept_choices(choices: Mapping[str, str]) -> dict[str, str]:
    """Without what does not change a result: launchers, sweepers, trackers, empty groups."""
    return {
        str(group): str(option)
        for group, option in choices.items()
        if not group.startswith(_NO_CHOICES) and option not in (None, "None", "null")
    }


def _best(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of a run that has not ended: the row of its best score so far, else its last."""
    known = [row for row in rows if number(row.get(SCORE)) is not None]
    row = max(known, key=lambda each: each[SCORE]) if known else rows[-1] if rows else {}
    return {key: _cell(value) for key, value in row.items() if key and value is not None}


def _cell(value: Any) -> Any:
    """As summary.json has it: a list is a text in a table."""
    if isinstance(value, str) and value.startswith("["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


# -- third-party records ---------------------------------------------------------------------------


def _json(source: Source) -> Record:
    values = read_json(source.path)
    if not split(values)[0]:
        raise UserError(
            f"{source.path} holds no figures",
            'it needs keys and numbers at its top, such as {"val/miou": 0.71}',
        )
    own = values.get("choices")
    choices = kept_choices(own) if isinstance(own, Mapping) else {}
    name = source.path.stem
    if name == "wandb-summary":  # in the folder `files` of its run
        name = source.path.parent.parent.name
    elif name == "summary":
        name = source.path.parent.name
    name = str(values.get("name") or name)
    return Record(_made(source, values, {}, {}, choices, name=name, state="unknown"), source)


def _wandb(source: Source) -> Record:
    found = offline.read(source.path)
    config = {key: value for key, value in found.config.items() if key != "_wandb"}
    hidden = ("_", "gallery/")
    values = {k: v for k, v in sorted(found.summary.items()) if not k.startswith(hidden)}
    choices = kept_choices(options.choices_of(config, ()))
    varying = {k for k in split(values)[0] if not k.startswith(_CONSTANT)}
    # Images are logged in rows of their own.
    rows = [row for row in found.history if varying & row.keys() - {"step", "epoch"}]
    keys = {key: None for row in rows for key in row if key in varying}
    rows = [{key: row.get(key) for key in keys} for row in rows]
    states = {None: "unknown", 0: "finished"}
    known = {
        "name": found.name,
        "state": states.get(found.exit_code, "failed"),
        "error": f"exit code {found.exit_code}" if found.exit_code else None,
    }
    machine = {"git": {"commit": found.git}} if found.git else {}
    return Record(_made(source, values, machine, config, choices, rows, **known), source, config)


# -- values ----------------------------------------------------------------------------------------


def split(values: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Figures and texts of a summary; what is null or not finite is neither."""
    figures: dict[str, float] = {}
    texts: dict[str, str] = {}
    for key, value in values.items():
        figure = number(value)
        if figure is not None:
            figures[str(key)] = figure
        elif isinstance(value, str):
            texts[str(key)] = value
        elif isinstance(value, bool):
            texts[str(key)] = str(value).lower()
        elif isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
            texts[str(key)] = "x".join(f"{v:g}" for v in value)
        elif isinstance(value, Mapping) and key == "model/uncounted_ops":
            texts[str(key)] = ", ".join(f"{name} ({calls})" for name, calls in value.items())
    return figures, texts


def number(value: Any) -> float | None:
    """A finite number as it is, anything else as None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def _curve_value(value: Any) -> float | None:
    found = number(value)
    return None if found is None else float(found)
