"""The table of a report as CSV, Markdown, LaTeX and JSON."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from segscape.profiling.si_units import NONE
from segscape.report.figure_keys import figure_keys
from segscape.report.records import Collection
from segscape.report.rows import Row, rows, sort
from segscape.report.table import Cell, Table, build, effects_table, plain

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\`{}",
    NONE: "--",
    "×": r"$\times$",
    "±": r"$\pm$",
}


def as_csv(collection: Collection, group_seeds: bool = False, by: str | None = None) -> str:
    """Everything recorded, in full precision and the units of the records.

    Args:
        collection: the runs.
        group_seeds: one line per design: means, and `KEY.std` where there are several runs.
        by: sorted by this.
    """
    lines = sort(rows(collection, group_seeds), by, collection.objectives)
    keys = figure_keys(collection.runs)
    buffer = io.StringIO(newline="")
    table = _designs(lines, keys) if group_seeds else _runs(lines, collection)
    csv.writer(buffer, lineterminator="\n").writerows(table)
    return buffer.getvalue()


def _designs(lines: Sequence[Row], keys: Sequence[str]) -> Iterator[list[Any]]:
    marks = list(lines[0].marks) if lines else []
    spread = {key for row in lines for key in row.spreads}
    columns = [name for key in keys for name in (key, f"{key}.std")[: 1 + (key in spread)]]
    yield ["name", *marks, "state", "runs", "front", *columns]
    for row in lines:
        values = {**row.figures, **{f"{key}.std": value for key, value in row.spreads.items()}}
        yield [row.name, *row.marks.values(), row.state, row.count, int(row.on_front)] + [
            values.get(column, "") for column in columns
        ]


def _runs(lines: Sequence[Row], collection: Collection) -> Iterator[list[Any]]:
    runs = {run.id: run for run in collection.runs}
    columns = [
        (field, key)
        for field in ("choices", "settings", "figures", "environment", "texts")
        for key in dict.fromkeys(key for run in collection.runs for key in getattr(run, field))
        if key != "model/uncounted_ops"
    ]
    # A condition and a text may have the name of a figure: device, precision.
    yield ["id", "name", "path", "state", "error", "design", "seed", "front"] + [
        f"{field}.{key}" if field in ("environment", "texts") else key for field, key in columns
    ]
    for row in lines:
        run = runs[row.ids[0]]
        seed = "" if run.seed is None else run.seed
        own = [run.id, run.name, run.path, run.state, run.error or "", run.design, seed]
        cells = [getattr(run, field).get(key, "") for field, key in columns]
        yield [*own, int(row.on_front), *cells]


def as_markdown(
    collection: Collection,
    group_seeds: bool = False,
    by: str | None = None,
    columns: Sequence[str] | None = None,
) -> str:
    """The table and the effects, the best figures bold, with what must be known to read them.

    Args:
        collection: the runs.
        group_seeds: one line per design.
        by: sorted by this.
        columns: figures to show; None: the usual ones.
    """
    main = build(collection, group_seeds, by, columns=columns)
    parts = [f"## {_markdown(collection.title)}", _markdown(main.common), _markdown_table(main)]
    parts.append(_markdown(main.note))
    effects = effects_table(collection)
    if effects is not None:
        parts += ["### Effect of each choice", _markdown_table(effects), _markdown(effects.note)]
    notes = [*collection.missing, *collection.warnings]
    if notes:
        parts.append("\n".join(f"- {_markdown(note)}" for note in notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown_table(table: Table) -> str:
    rule = ["---:" if column.number else "---" for column in table.columns]
    lines = [[_markdown(heading) for heading in table.headings], rule]
    lines += [[_markdown_cell(cell) for cell in line] for line in table.lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _markdown_cell(cell: Cell) -> str:
    text = _markdown(plain(cell))
    return f"**{text}**" if cell.best else text


def _markdown(text: str) -> str:
    """A text that is shown as it is: signs of Markdown and HTML have no effect."""
    escaped = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def as_latex(
    collection: Collection,
    group_seeds: bool = False,
    by: str | None = None,
    columns: Sequence[str] | None = None,
) -> str:
    r"""A `tabular` with the rules of booktabs: `\input` it into a `table`.

    The best figure of every column is bold. What must be known to read the figures, and what keeps
    them from being compared, is in comments above.

    Args:
        collection: the runs.
        group_seeds: one line per design.
        by: sorted by this.
        columns: figures to show; None: the usual ones.
    """
    table = build(collection, group_seeds, by, columns=columns)
    notes = [collection.title, table.common, table.note, *collection.missing, *collection.warnings]
    comments = [f"% {' '.join(note.split())}" for note in notes if note]
    header = " & ".join(_latex(heading) for heading in table.headings) + r" \\"
    body = [" & ".join(_latex_cell(cell) for cell in line) + r" \\" for line in table.lines]
    # With the rules of booktabs there is no space at the outer edges.
    aligned = "".join("r" if column.number else "l" for column in table.columns)
    lines = [
        "% needs \\usepackage{booktabs}",
        *_beyond_latin1([header, *body]),
        *comments,
        f"\\begin{{tabular}}{{@{{}}{aligned}@{{}}}}",
        "\\toprule",
        header,
        "\\midrule",
        *body,
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _beyond_latin1(lines: Sequence[str]) -> list[str]:
    """A comment on signs beyond Latin-1, which pdflatex does not support by itself."""
    signs = sorted({sign for line in lines for sign in line if ord(sign) > 255})
    if not signs:
        return []
    return [f"% has {' '.join(signs[:20])}: use lualatex, and a font that has these signs"]


def _latex_cell(cell: Cell) -> str:
    if cell.text == "*":
        return r"$\ast$"
    text = _latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    return rf"{text} $\pm$ {_latex(cell.spread)}" if cell.spread else text


def _latex(text: str) -> str:
    """A text that is shown as it is, on one line; two hyphens are not drawn into a dash."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return "".join(
        "-{}" if shown[at : at + 2] == "--" else _LATEX.get(sign, sign)
        for at, sign in enumerate(shown)
    )


def as_json(collection: Collection, group_seeds: bool = False, by: str | None = None) -> str:
    """The whole collection; with `group_seeds` also the means, under `designs`.

    Args:
        collection: the runs.
        group_seeds: also the means and deviations of designs.
        by: in which order the designs, and else the runs, come.
    """
    data = asdict(collection)
    lines = sort(rows(collection, group_seeds), by, collection.objectives)
    if group_seeds:
        data["designs"] = [vars(row) for row in lines]
    else:
        place = {row.ids[0]: index for index, row in enumerate(lines)}
        data["runs"].sort(key=lambda run: place[run["id"]])
    return json.dumps(_strict(data), indent=2, default=str, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    """Without numbers that JSON does not have: a setting may be infinite."""
    if isinstance(value, Mapping):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
