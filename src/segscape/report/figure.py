"""The front as a picture for papers: SVG or PNG, drawn by Vega-Lite without a browser."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segscape.errors import UserError
from segscape.report.comparability import protocol
from segscape.report.figure_keys import label, scale
from segscape.report.records import Collection
from segscape.report.rows import Row, rows
from segscape.runs.files import write_atomically
from segscape.runs.pareto import front

# Okabe and Ito's colours, distinct with every kind of colour vision; yellow is too pale on paper.
_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
_SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-left"]
_WIDTH, _HEIGHT = 260, 190  # with axes 340 points, shrunk to a column of 3.5 inches: 8 point text
_PPI = 400
_LABELLED = 8
_LEGEND_COLUMNS = 3


def write_svg(collection: Collection, path: Path, group_seeds: bool = False) -> None:
    """Write the front as SVG.

    Args:
        collection: the runs.
        path: the file.
        group_seeds: one point per design, with bars of one standard deviation.

    Raises:
        UserError: no run has both objectives, or vl-convert is not installed.
    """
    svg = _converter().vegalite_to_svg(spec(collection, group_seeds))
    # Papers are read where the fonts of this machine are not.
    write_atomically(
        path, re.sub(r'font-family="[^"]*"', 'font-family="Helvetica, Arial, sans-serif"', svg)
    )


def write_png(collection: Collection, path: Path, group_seeds: bool = False) -> None:
    """Write the front as PNG, 400 pixels per inch; see `write_svg`."""
    png = _converter().vegalite_to_png(spec(collection, group_seeds), ppi=_PPI)
    write_atomically(path, png)


def _converter() -> Any:
    try:
        import vl_convert
    except ImportError as error:
        raise UserError(
            "pictures are drawn by vl-convert, which is not installed",
            'pip install "segscape[report]"',
        ) from error
    return vl_convert


def spec(collection: Collection, group_seeds: bool = False) -> dict[str, Any]:
    """The picture as a specification of Vega-Lite.

    Raises:
        UserError: no finished run has both objectives.
    """
    (way_y, y), (way_x, x), *_ = _two(collection)
    shown = _shown(collection, group_seeds)
    if not shown:
        raise UserError(
            f"there is nothing to draw: no finished run has both {y} and {x}",
            "--x KEY and --y KEY choose other figures",
        )
    colour, shape = _encodings(shown)
    (size_x, unit_x), (size_y, unit_y) = (
        scale(key, (row.figures[key] for row in shown)) for key in (x, y)
    )
    # Of the two figures that are drawn, even where a search had more objectives.
    best = set(front([(row.figures[x], row.figures[y]) for row in shown], (way_x, way_y)))
    data = [
        _datum(row, {"x": (x, size_x), "y": (y, size_y)}, colour, shape) | {"front": index in best}
        for index, row in enumerate(shown)
    ]
    axes = {
        "x": _axis("x", label(x, unit_x), way_x, data),
        "y": _axis("y", label(y, unit_y), way_y, data),
    }
    edge = sorted((d for d in data if d["front"]), key=lambda d: (d["x"], d["y"]))
    layers = [
        _line(edge, axes, way_x),
        *_bars(data, axes),
        _points(data, axes, colour, shape),
        *_texts(edge, axes),
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": _WIDTH,
        "height": _HEIGHT,
        "background": "white",
        "padding": 4,
        "title": _note(_conditions(collection, shown, (x, y))),
        "layer": [layer for layer in layers if layer],
        "config": _config(),
    }


def drawable(collection: Collection) -> bool:
    """Whether there is a point to draw."""
    return bool(_shown(collection, False))


def _shown(collection: Collection, group_seeds: bool) -> list[Row]:
    """The lines of the table that are points: finished, and with both figures."""
    keys = [key for _, key in _two(collection)[:2]]
    return [
        row
        for row in rows(collection, group_seeds)
        if row.done and all(key in row.figures for key in keys)
    ]


def _conditions(collection: Collection, shown: Sequence[Row], keys: Sequence[str]) -> str:
    """What the points are, and what their figures were taken under."""
    ids = {id_ for row in shown for id_ in row.ids}
    runs = [run for run in collection.runs if run.id in ids and run.done]
    counts = {row.count for row in shown}
    designs = {(run.design, run.environment.get("split")) for run in runs}
    if max(counts) > 1:
        seeds = str(max(counts)) if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
        what = f"Means over {seeds} seeds ± one standard deviation; front of the means."
    else:
        several = len(designs) < len(runs)
        what = "Single runs: seeds of one design are points of their own." if several else ""
    return f"{what} {protocol(runs, keys)}".strip()


def _points(
    data: list[dict[str, Any]], axes: dict[str, Any], colour: str | None, shape: str | None
) -> dict[str, Any]:
    """Large and full on the front, small and pale elsewhere."""
    encoding = {**axes, **_legend("color", colour, data), **_legend("shape", shape, data)}
    for channel, best, other in (("size", 70, 34), ("fillOpacity", 1, 0.35)):
        encoding[channel] = {"condition": {"test": "datum.front", "value": best}, "value": other}
    return {
        "data": {"values": data},
        "mark": {"type": "point", "filled": True, "opacity": 1, "strokeWidth": 0.8},
        "encoding": encoding,
    }


def _two(collection: Collection) -> Sequence[tuple[str, str]]:
    if len(collection.objectives) < 2:
        raise UserError(
            "a front needs two objectives", "--x KEY names the second, e.g. --x model/macs"
        )
    return collection.objectives


def _encodings(shown: Sequence[Row]) -> tuple[str | None, str | None]:
    """What varies in few enough values to have a colour, and what a shape."""
    counts = {
        name: len({row.marks[name] for row in shown}) for name in shown[0].marks if name != "seed"
    }
    fitting = [name for name, count in counts.items() if 1 < count <= len(_COLOURS)]
    return (fitting[0] if fitting else None), (fitting[1] if len(fitting) > 1 else None)


def _datum(
    row: Row, axes: Mapping[str, tuple[str, float]], colour: str | None, shape: str | None
) -> dict[str, Any]:
    others = [value for key, value in row.marks.items() if key not in (colour, shape, "seed")]
    datum: dict[str, Any] = {
        "label": " ".join(text for text in others if text) or ("" if colour else row.name),
        "color": row.marks.get(colour or "", ""),
        "shape": row.marks.get(shape or "", ""),
    }
    for name, (key, size) in axes.items():
        datum[name] = row.figures[key] / size
        if spread := row.spreads.get(key):
            datum[f"{name}_low"] = datum[name] - spread / size
            datum[f"{name}_high"] = datum[name] + spread / size
    return datum


def _axis(name: str, title: str, way: str, data: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [datum[name] for datum in data]
    wide = min(values) > 0 and max(values) > 12 * min(values)
    axis: dict[str, Any] = {"tickCount": 5, "grid": True}
    scaling: dict[str, Any] = {"zero": False, "nice": True, "padding": 12}
    if wide:
        # A bar that reaches zero is cut off at the edge: it has no end here.
        ends = [datum.get(f"{name}_{end}", 0) for datum in data for end in ("low", "high")]
        low = min(each for each in [*values, *ends] if each >= min(values) / 10) / 1.25
        high = max(*values, *ends) * 1.25
        scaling = {"type": "log", "domain": [low, high], "nice": False}
        axis["values"] = _round_values(low, high)
    return {
        "field": name,
        "type": "quantitative",
        "title": f"← {title}" if way == "min" else f"{title} →",
        "scale": scaling,
        "axis": axis,
    }


def _round_values(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20, ... as far as they lie between."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    return [value for value in values if low <= value <= high]


def _legend(channel: str, name: str | None, data: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if name is None:
        return {"color": {"value": _COLOURS[0]}} if channel == "color" else {}
    options = list(dict.fromkeys(datum[channel] for datum in data))
    palette = _COLOURS if channel == "color" else _SHAPES
    return {
        channel: {
            "field": channel,
            "type": "nominal",
            "title": name,
            "scale": {"domain": options, "range": palette[: len(options)]},
        }
    }


def _line(
    edge: Sequence[dict[str, Any]], axes: dict[str, Any], way_x: str
) -> dict[str, Any] | None:
    """The boundary of the beaten region: from a point on, its value holds until the next one."""
    if len(edge) < 2:
        return None
    steps = "step-after" if way_x == "min" else "step-before"
    return {
        "data": {"values": [{"x": d["x"], "y": d["y"]} for d in edge]},
        "mark": {"type": "line", "interpolate": steps, "color": "#777777", "strokeWidth": 1},
        "encoding": axes,
    }


def _bars(data: Sequence[dict[str, Any]], axes: dict[str, Any]) -> list[dict[str, Any]]:
    """One standard deviation to either side."""
    layers = []
    for name, other in (("x", "y"), ("y", "x")):
        least = axes[name]["scale"].get("domain", [-math.inf])[0]
        values = [
            {**datum, f"{name}_low": max(datum[f"{name}_low"], least)}
            for datum in data
            if f"{name}_low" in datum
        ]
        if values:
            encoding = {
                other: axes[other],
                name: {**axes[name], "field": f"{name}_low"},
                f"{name}2": {"field": f"{name}_high"},
            }
            mark = {"type": "rule", "color": "#aaaaaa", "strokeWidth": 0.7}
            layers.append({"data": {"values": values}, "mark": mark, "encoding": encoding})
    return layers


def _texts(edge: Sequence[dict[str, Any]], axes: dict[str, Any]) -> list[dict[str, Any]]:
    """Names at the points of the front, where they are few and more specific than the legend."""
    if not 0 < len(edge) <= _LABELLED or not any(datum["label"] for datum in edge):
        return []
    xs = [datum["x"] for datum in edge]
    middle = (min(xs) + max(xs)) / 2
    layers = []
    # towards the middle, so that no name is cut off; above or below the line of the front
    for values, align, sign in (
        ([datum for datum in edge if datum["x"] < middle], "left", 1),
        ([datum for datum in edge if datum["x"] >= middle], "right", -1),
    ):
        mark = {"type": "text", "align": align, "dx": 5 * sign, "dy": 11 * sign, "fontSize": 10}
        encoding = {**axes, "text": {"field": "label", "type": "nominal"}}
        layers.append({"data": {"values": values}, "mark": mark, "encoding": encoding})
    return layers


def _note(text: str) -> dict[str, Any] | None:
    """What the figures were taken under, small and below."""
    if not text:
        return None
    return {
        "text": textwrap.wrap(text.replace(" × ", "\u00a0×\u00a0"), 64),
        "orient": "bottom",
        "anchor": "start",
        "fontSize": 9,
        "fontWeight": "normal",
        "color": "#555555",
        "limit": _WIDTH + 60,
        "offset": 6,
    }


def _config() -> dict[str, Any]:
    font = "Arial, Liberation Sans, DejaVu Sans, sans-serif"
    return {
        "font": font,
        "axis": {
            "labelFontSize": 11,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "gridColor": "#e8e8e8",
            "domainColor": "#555555",
            "tickColor": "#555555",
        },
        "legend": {
            "orient": "top",
            "direction": "horizontal",
            "labelFontSize": 11,
            "titleFontSize": 11,
            "titleFontWeight": "normal",
            "symbolSize": 60,
            "titleOrient": "left",
            "titleAnchor": "middle",
            "columns": _LEGEND_COLUMNS,
            "labelLimit": 110,
            "offset": 8,
            "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 4}},
        },
        "view": {"stroke": None},
    }
