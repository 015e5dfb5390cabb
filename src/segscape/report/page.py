"""One self-contained HTML page of a collection: opens from disk, needs no network.

The page is the template, the style and the scripts of `assets`, Vega for the charts, and the
collection as JSON.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import html
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from segscape.errors import UserError
from segscape.paths import cache_folder
from segscape.report import effects, figure_keys
from segscape.report.curves import fitting
from segscape.report.pictures import galleries
from segscape.report.records import Collection, Run
from segscape.runs.files import write_atomically

# Of floats: enough that effects computed in the page are those of the report; of curves, which are
# only viewed, fewer.
_DIGITS, _DIGITS_OF_CURVES = 9, 4
# In this order: `data` makes the global `page`, the others add to it, `start` runs it.
SCRIPTS: tuple[str, ...] = (
    *("data", "charts", "filters", "colours", "designs", "scatter", "details", "cost"),
    *("marginal_means", "effects", "curves", "classes", "gallery", "table", "start"),
)


def write_page(
    collection: Collection, path: str | os.PathLike[str], refresh_s: float | None = None
) -> Path:
    """Write the page.

    Args:
        collection: what it shows.
        path: the file; readers see the old page or the new one, never half of one.
        refresh_s: the page reloads itself so often, in seconds, while a sweep runs.

    Returns:
        The file.

    Raises:
        UserError: the package with the charts is missing, or the file cannot be written.
    """
    file = Path(path)
    text = page(collection, file.parent, refresh_s)
    try:
        write_atomically(file, text)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}") from error
    return file


def page(collection: Collection, beside: Path, refresh_s: float | None = None) -> str:
    """The text of the page.

    Args:
        collection: what it shows.
        beside: the directory it will be in; files below it are linked.
        refresh_s: see `write_page`.
    """
    contents = {
        "TITLE": html.escape(collection.title.encode(errors="replace").decode()),
        "STYLE": _asset("page.css"),
        "DATA": as_json(payload(collection, beside, refresh_s)),
        "VEGA": _for_script(_vega()),
        "SCRIPT": _for_script("\n".join(_asset(f"{name}.js") for name in SCRIPTS)),
    }
    return _filled(_asset("page.html"), contents)


def payload(collection: Collection, beside: Path, refresh_s: float | None = None) -> dict[str, Any]:
    """What the scripts of the page read, as plain data."""
    data = dataclasses.asdict(collection)
    pictures = galleries(collection, beside)
    curves, left_out = fitting(collection.runs)
    varied = collection.varied()
    for run, known, columns in zip(data["runs"], collection.runs, curves, strict=True):
        run["gallery"] = pictures.get(run["id"], [])
        run["marks"] = {name: v for name in varied if (v := known.value(name)) is not None}
        run["curves"] = {
            key: values if key in ("epoch", "step") else _shortened(values, _DIGITS_OF_CURVES)
            for key, values in columns.items()
        }
    return {
        **data,
        "varied": varied,
        "effect_rules": effects.rules(
            len(collection.runs), figure_keys.compared_figures(collection.objectives)
        ),
        "keys": {key: _described(key) for key in _keys(collection.runs)},
        "classes": _classes(collection.runs),
        "left_out": left_out,
        "refresh_s": refresh_s,
    }


def _described(key: str) -> dict[str, Any]:
    kind = figure_keys.kind(key)
    return {
        "kind": kind,
        "label": figure_keys.label(key, unit=False),
        "direction": figure_keys.direction(key),
    }


def _keys(runs: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(key for run in runs for key in run.figures))


def _classes(runs: Iterable[Run]) -> list[str]:
    """Names of the classes, in the order of the first run that has each."""
    prefix = "val/iou/"
    return [key.removeprefix(prefix) for key in _keys(runs) if key.startswith(prefix)]


def as_json(data: Any) -> str:
    """JSON that is safe inside of a script element, whatever texts it holds.

    ASCII: the name of a file need not be text that UTF-8 can hold.
    """
    text = json.dumps(_shortened(data), separators=(",", ":"), allow_nan=False, default=str)
    return text.replace("<", "\\u003c")


def _shortened(value: Any, digits: int = _DIGITS) -> Any:
    """Floats with so many significant digits; what is not finite becomes null."""
    if isinstance(value, dict):
        return {str(key): _shortened(each, digits) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(each, digits) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, float):
        short = float(f"{value:.{digits}g}")
        return int(short) if short.is_integer() and abs(short) < 2**53 else short
    return value


def _filled(template: str, contents: Mapping[str, str]) -> str:
    """The template with its marks replaced in one pass: contents are not searched for marks."""
    return re.sub(r"\{\{([A-Z]+)\}\}", lambda mark: contents[mark[1]], template)


def _for_script(text: str) -> str:
    """A script that nothing in it can end."""
    return text.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _asset(name: str) -> str:
    text: str = (resources.files("segscape.report") / "assets" / name).read_text(encoding="utf-8")
    return text


@functools.cache
def _vega() -> str:
    """Vega, Vega-Lite and vega-embed as one script. Making it takes seconds, so it is kept."""
    try:
        import vl_convert
    except ImportError as error:
        raise UserError(
            "the page's charts come from vl-convert, which is not installed",
            'pip install "segscape[report]"',
        ) from error
    kept = cache_folder() / f"vega-{metadata.version('vl-convert-python')}.js"
    with contextlib.suppress(OSError):
        return kept.read_text(encoding="utf-8")
    make: Any = vl_convert.javascript_bundle
    bundle: str = make()
    with contextlib.suppress(OSError):  # a home that cannot be written to
        write_atomically(kept, bundle)
    return bundle
