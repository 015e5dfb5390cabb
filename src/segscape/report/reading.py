"""Reads what one source says of its run. What it does not say stays unknown."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from segscape.config.targets import PARTS
from segscape.errors import UserError
from segscape.report import options
from segscape.report.protocol import environment_of
from segscape.report.sources import Source

SCORE = "val/miou"
_CONSTANT = ("model/", "latency/")
_NO_CHOICES = ("hydra/", "sweep", "logger", "callbacks", "profile")


@dataclass(frozen=True)
class Record:
    """A run as read, before it is compared with others.

    Attributes:
        source: where from.
        name: readable.
        state: as in `records.Run`.
        config: plain data, empty when unknown.
        overrides: as typed.
        choices: option of each group.
        figures: numbers by key.
        texts: other values.
        curves: columns of metrics.csv.
        gallery: files.
        environment: what must agree for figures to be compared.
        host: the machine, if the latency was measured on its processor.
        started: when it began, ISO 8601.
        updated: when it last wrote its status.
        error: why it failed.
    """

    source: Source
    name: str
    state: str
    config: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    gallery: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    started: str = ""
    updated: str = ""
    error: str | None = None


def read(source: Source) -> Record:
    """What a source says.

    Raises:
        UserError: a file is damaged or holds no figures.
    """
    if source.kind == "json":
        return _json(source)
    if source.kind == "wandb":
        return _wandb(source)
    return _run(source)


def digest(path: Path) -> str:
    """Ten digits for a path."""
    return hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:10]


# -- run directories -----------------------------------------------------------------------------


def _run(source: Source) -> Record:
    place = source.path
    frozen = load_json(place / "job.json")
    status = load_json(place / "status.json")
    summary = load_json(place / "summary.json")
    config = frozen.get("config") or load_yaml(place / "config.yaml") or {}
    overrides = frozen.get("overrides") or load_yaml(place / "overrides.yaml") or []
    choices = (
        (source.job.choices if source.job else None)
        or load_json(place / "choices.json")
        or options.choices_of(config, overrides)
    )
    choices = kept_choices(choices)
    rows = _rows(place / "metrics.csv")
    state, error = _state(place, status, summary)
    # A summary that a continued run has left behind is not what this run is now.
    values = summary if state in ("finished", "unknown") else {}
    values = values or {**load_json(place / "cost.json"), **_best(rows)}
    figures, texts = split(values)
    machine = load_json(place / "environment.json")
    on_cpu = texts.get("latency/device") == (machine.get("cpu") or {}).get("model", "")
    # Measured again after the sweep, when nothing else ran.
    alone = "latency/measured" in texts
    return Record(
        source=source,
        name=source.job.name if source.job else _name(place, frozen, config, overrides, choices),
        state=state,
        config=config,
        overrides=overrides,
        choices=choices,
        figures=figures,
        texts=texts,
        curves=_curves(rows),
        gallery=[str(path) for path in sorted((place / "gallery").glob("*.png"))],
        environment=environment_of(values, machine, config, choices),
        host=str(status.get("host") or "") if on_cpu and not alone else "",
        started=str(status.get("started") or ""),
        updated=str(status.get("updated") or ""),
        error=error,
    )


def _state(
    place: Path, status: Mapping[str, Any], summary: Mapping[str, Any]
) -> tuple[str, str | None]:
    if not status:
        # An evaluation, or a directory that was handed over without its status.
        if summary:
            return "finished", None
        return ("unknown", None) if (place / "metrics.csv").is_file() else ("waiting", None)
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
    frozen: Mapping[str, Any],
    config: Mapping[str, Any],
    overrides: Sequence[str],
    choices: Mapping[str, str],
) -> str:
    if frozen.get("name"):
        return str(frozen["name"])
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


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error


def _curves(rows: Sequence[Mapping[str, str]]) -> dict[str, list[float | None]]:
    """The columns that a training changes."""
    keys = [key for key in (rows[0] if rows else ()) if key and not key.startswith(_CONSTANT)]
    columns = {key: [_number(row.get(key)) for row in rows] for key in keys}
    return {k: v for k, v in columns.items() if any(value is not None for value in v)}


def _best(rows: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The row that a run which has not ended would be judged by: its best so far, else its last."""
    scores = [_number(row.get(SCORE)) for row in rows]
    known = [index for index, score in enumerate(scores) if score is not None]
    if not rows:
        return {}
    row = rows[max(known, key=lambda i: scores[i] or 0.0)] if known else rows[-1]
    return {key: _cell(value) for key, value in row.items() if key and value not in ("", None)}


def _cell(text: str) -> Any:
    """As summary.json has it: whole numbers stay whole."""
    number = _number(text)
    if number is not None:
        return int(text) if text.lstrip("-").isdigit() else number
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# -- what others have ----------------------------------------------------------------------------


def _json(source: Source) -> Record:
    values = load_json(source.path)
    figures, texts = split(values)
    if not figures:
        raise UserError(
            f"{source.path} holds no figures",
            'it needs keys and numbers at its top, such as {"val/miou": 0.71}',
        )
    own = values.get("choices")
    choices = kept_choices(own) if isinstance(own, Mapping) else {}
    stem = source.path.stem
    if stem == "wandb-summary":  # in the folder `files` of its run
        name = source.path.parent.parent.name
    else:
        name = source.path.parent.name if stem == "summary" else stem
    return Record(
        source=source,
        name=str(values.get("name") or name),
        state="unknown",
        choices=choices,
        figures=figures,
        texts=texts,
        environment=environment_of(values, {}, {}, choices),
    )


def _wandb(source: Source) -> Record:
    from segscape.report import offline

    found = offline.read(source.path)
    config = {key: value for key, value in found.config.items() if key != "_wandb"}
    hidden = ("_", "gallery/")
    shown = {k: v for k, v in sorted(found.summary.items()) if not k.startswith(hidden)}
    figures, texts = split(shown)
    choices = kept_choices(options.choices_of(config, ()))
    varying = {k for k in figures if not k.startswith(_CONSTANT)}
    # Images are logged in rows of their own.
    rows = [row for row in found.history if varying & row.keys() - {"step", "epoch"}]
    keys = {key: None for row in rows for key in row if key in varying}
    curves = {key: [_plain_number(row.get(key)) for row in rows] for key in keys}
    states = {None: "unknown", 0: "finished"}
    given = {"git": {"commit": found.git}} if found.git else {}
    return Record(
        source=source,
        name=found.name,
        state=states.get(found.exit_code, "failed"),
        config=config,
        choices=choices,
        figures=figures,
        texts=texts,
        curves=curves,
        environment=environment_of(found.summary, given, config, choices),
        error=f"exit code {found.exit_code}" if found.exit_code else None,
    )


# -- values ----------------------------------------------------------------------------------------


def split(values: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Figures and texts of a summary; what is null or not finite is neither."""
    figures: dict[str, float] = {}
    texts: dict[str, str] = {}
    for key, value in values.items():
        number = _plain_number(value)
        if number is not None:
            figures[str(key)] = number
        elif isinstance(value, str):
            texts[str(key)] = value
        elif isinstance(value, bool):
            texts[str(key)] = str(value).lower()
        elif isinstance(value, list) and value and all(isinstance(v, int | float) for v in value):
            texts[str(key)] = "x".join(f"{v:g}" for v in value)
        elif isinstance(value, Mapping) and key == "model/uncounted_ops":
            texts[str(key)] = ", ".join(f"{name} ({calls})" for name, calls in value.items())
    return figures, texts


def _plain_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


def load_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty when the file is not there.

    Raises:
        UserError: it is damaged, or something else than an object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object", "expected {KEY: FIGURE, ...}")
    return found


def load_yaml(path: Path) -> Any:
    """What a yaml file says; None when it is not there."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
