"""One table for the screen: how well a model does, what it costs, how fast it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from segscape.profiling.si_units import NONE, format_count, is_missing

_BAR = 24


def final_table(
    summary: Mapping[str, Any], classes: Sequence[str], *, split: str | None = None
) -> RenderableType:
    """The end of a training or an evaluation, from the record that summary.json holds.

    Rows whose keys are absent are left out, and so are whole tables (latency switched off, an
    evaluation without profile). A class that does not occur in the split has no IoU.

    Args:
        summary: figures under the project's keys: ``<split>/...``, ``model/...``, ``latency/...``.
        classes: names in the order of the class ids.
        split: whose scores to show; None takes ``test`` if it was scored, else ``val``.

    Returns:
        Something that a rich console prints.
    """
    split = split or ("test" if _present(summary, "test/miou") else "val")
    titled = (
        (f"{split} set", _scores(summary, classes, split)),
        (f"cost at {_size(summary, 'model')}, without auxiliary heads", _cost(summary)),
        (
            f"latency at {_size(summary, 'latency')}, batch {summary.get('latency/batch', 1)}",
            _latency(summary),
        ),
    )
    lines: list[RenderableType] = []
    for title, table in titled:
        if table.row_count:
            lines += [Text(title, style="bold"), table, Text()]
    note = _note(summary)
    return Group(*lines, *([Text(note, style="dim")] if note else []))


def _scores(summary: Mapping[str, Any], classes: Sequence[str], split: str) -> Table:
    table = _table(("class", "left"), ("IoU %", "right"), ("", "left"))
    for name in classes:
        key = f"{split}/iou/{name}"
        if key in summary:
            value = summary[key]
            bar = "" if is_missing(value) else "━" * round(_BAR * float(value))
            table.add_row(Text(name), _percent(value), Text(bar, style="cyan"))
    table.add_section()
    for label, key in (
        ("mIoU", "miou"),
        ("boundary IoU", "boundary_iou"),
        ("pixel accuracy", "pixel_accuracy"),
        ("class accuracy", "class_accuracy"),
    ):
        if f"{split}/{key}" in summary:
            style = "bold" if key == "miou" else None
            table.add_row(label, _percent(summary[f"{split}/{key}"]), "", style=style)
    return table


def _cost(summary: Mapping[str, Any]) -> Table:
    columns = ("parameters", "MACs", "share", "FLOPs")
    table = _table(("part", "left"), *((column, "right") for column in columns))
    if not _present(summary, "model/params"):
        return table
    total = summary.get("model/macs")
    prefix = "model/macs/"
    for part in (key.removeprefix(prefix) for key in summary if key.startswith(prefix)):
        macs = int(summary[prefix + part])
        share = f"{macs / total:.1%}" if total else ""
        params = format_count(summary.get(f"model/params/{part}"))
        table.add_row(Text(part), params, format_count(macs), share, format_count(2 * macs))
    table.add_section()
    flops = summary.get("model/flops")
    row = (
        "all",
        format_count(summary["model/params"]),
        format_count(total),
        "",
        format_count(flops),
    )
    table.add_row(*row, style="bold")
    return table


def _latency(summary: Mapping[str, Any]) -> Table:
    table = _table(("", "left"), ("", "left"))
    table.show_header = False
    if not _present(summary, "latency/p50_ms"):
        return table
    keys = [f"latency/{name}_ms" for name in ("p50", "p90", "p99")]
    milliseconds = " / ".join(_milliseconds(summary.get(key)) for key in keys)
    table.add_row("to logits, p50 / p90 / p99", f"{milliseconds} ms")
    if _present(summary, "latency/to_mask_p50_ms"):
        to_mask = _milliseconds(summary["latency/to_mask_p50_ms"])
        table.add_row("to class map, p50", f"{to_mask} ms")
    if _present(summary, "latency/fps"):
        table.add_row("images per second", f"{summary['latency/fps']:.1f}", style="bold")
    words = [str(summary[f"latency/{k}"]) for k in _SETTING if _present(summary, f"latency/{k}")]
    if _present(summary, "latency/threads"):
        threads = summary["latency/threads"]
        words.append(f"{threads} thread" + ("s" if threads != 1 else ""))
    if words:
        table.add_row("measured on", Text(", ".join(words)))
    return table


_SETTING = ("device", "precision", "backend")


def _note(summary: Mapping[str, Any]) -> str:
    """What the MACs leave out, if the record has it."""
    uncounted = summary.get("model/uncounted_ops")
    if not uncounted:
        return ""
    return "not in the MACs: " + ", ".join(f"{name} ({calls})" for name, calls in uncounted.items())


def _table(*columns: tuple[str, Any]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, justify in columns:
        table.add_column(name, justify=justify, header_style="dim")
    return table


def _size(summary: Mapping[str, Any], room: str) -> str:
    """The input size in words; sizes are stored height first and named so."""
    size = summary.get(f"{room}/input_size")
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        return "an input size that was not recorded"
    return f"{size[0]} × {size[1]} (H × W)"


def _percent(value: Any) -> str:
    return NONE if is_missing(value) else f"{100 * float(value):.2f}"


def _milliseconds(value: Any) -> str:
    if is_missing(value):
        return NONE
    return f"{value:.0f}" if value >= 100 else f"{float(value):#.3g}"


def _present(summary: Mapping[str, Any], key: str) -> bool:
    return not is_missing(summary.get(key))
