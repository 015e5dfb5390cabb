"""The report as text: tables of 80 columns, problems last, next to the prompt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from segscape.data.checks.report import KINDS, Pace, Problem, Report, SplitReport, rare

_COLUMNS = 80
_PROBLEMS, _SIZES, _CLASSES = 40, 8, 40


def show(report: Report, console: Console) -> None:
    """Print a report.

    Args:
        report: what was found.
        console: a terminal, or a file, which then gets plain text of 80 columns.
    """
    if not console.is_terminal or console.width < _COLUMNS:
        console.width = _COLUMNS
    where = f"  {report.root}" if report.root else ""
    console.print(Text(f"data={report.data}{where}", "bold"), soft_wrap=True)
    labelled = [split for split in report.splits.values() if split.samples]
    if labelled:
        console.print(_splits(labelled))
    if report.counted is not None:
        _print_classes(report, report.counted, console)
    if report.pace is not None:
        console.print(_pace(report.pace), soft_wrap=True)
    for kind, problems in groupby(report.problems, lambda p: (p.kind, p.fatal)):
        _print_problems(*kind, list(problems), report.root, console)
    console.print(_verdict(report), soft_wrap=True)


def _splits(splits: Sequence[SplitReport]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("split", "samples", "checked", "sizes (width x height)", "ignored pixels"):
        table.add_column(name, justify="left" if name.startswith("s") else "right")
    table.columns[1].justify = "right"
    for split in splits:
        sizes = split.sizes.most_common(_SIZES)
        lines = [f"{w}x{h}" + (f": {n}" if len(sizes) > 1 else "") for (h, w), n in sizes]
        if len(split.sizes) > _SIZES:
            rest = sum(split.sizes.values()) - sum(n for _, n in sizes)
            lines.append(f"{len(split.sizes) - _SIZES} more: {rest}")
        ignored = f"{split.ignored:.1%}" if split.labelled else "no labels"
        table.add_row(
            split.split, str(split.samples), str(split.checked), "\n".join(lines), ignored
        )
    return table


def _print_classes(report: Report, counted: SplitReport, console: Console) -> None:
    """Shares and weights of the classes; the rarest if there are very many."""
    shares, seldom = counted.shares, set(rare(counted.shares))
    shown = list(range(len(shares)))
    title = f"classes in {counted.split}"
    if len(shown) > _CLASSES:
        shown = sorted(sorted(shown, key=lambda i: shares[i])[:_CLASSES])
        title += f", the {_CLASSES} rarest of {len(shares)} (--json has all)"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("class", max_width=24, no_wrap=True)
    for name in ("pixels", "images", "median freq.", "ENet"):
        table.add_column(name, justify="right")
    table.add_column("")
    weights = report.weights
    for i in shown:
        mark = "never" if not shares[i] else "rare" if i in seldom else ""
        row = (
            f"{shares[i]:.3%}",
            str(counted.images[i]),
            f"{weights['median_frequency'][i]:.3f}",
            f"{weights['enet'][i]:.3f}",
        )
        style = {"never": "red", "rare": "yellow"}.get(mark)
        table.add_row(counted.classes[i], *row, mark, style=style)
    console.print(table)
    rules = "loss.class_weights=median_frequency, or enet"
    console.print(f"weights: {rules} (of at most 200 images)\n", style="dim")


def _pace(pace: Pace) -> str:
    how = (
        "in the training process"
        if pace.workers == 0
        else f"{pace.workers} worker process{'es' if pace.workers > 1 else ''}"
    )
    if pace.workers > pace.processes:
        how += f" on {pace.processes} CPUs"
    return (
        f"epoch: {pace.samples} samples in {_duration(pace.epoch_seconds)} for reading and "
        f"augmenting,\n       {how}, {pace.per_process:.1f} samples/s each "
        f"(measured on {pace.measured})\n"
    )


def _duration(seconds: float) -> str:
    if seconds < 0.1:
        return "under 0.1 s"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{seconds / 3600:.1f} h"


def _print_problems(
    kind: str, fatal: bool, problems: Sequence[Problem], root: str | None, console: Console
) -> None:
    word, style = ("error", "bold red") if fatal else ("warning", "yellow")
    console.print(Text(f"{word}: {KINDS[kind]} ({len(problems)})", style), soft_wrap=True)
    for problem in problems[:_PROBLEMS]:
        # one line each, however long, so that grep and cut work on it
        line = f"  {problem.split}: {_within(problem.what, root)}"
        console.print(Text(line), soft_wrap=True)
    if len(problems) > _PROBLEMS:
        console.print(f"  and {len(problems) - _PROBLEMS} more (--json names all)")
    for hint in _different(problem.hint for problem in problems[:_PROBLEMS]):
        console.print(Text(f"  {_within(hint, root)}", "dim"), soft_wrap=True)
    console.print()


def _different(hints: Iterable[str | None]) -> list[str]:
    """The first three hints, without repetitions."""
    return list(dict.fromkeys(hint for hint in hints if hint))[:3]


def _within(text: str, root: str | None) -> str:
    """The text with paths relative to the data set's folder, which the heading names."""
    return text.replace(f"{root.rstrip('/')}/", "") if root else text


def _verdict(report: Report) -> Text:
    errors = sum(problem.fatal for problem in report.problems)
    warnings = len(report.problems) - errors
    checked = sum(split.checked for split in report.splits.values())
    also = f", {_count(warnings, 'warning')}" if warnings else ""
    if errors:
        return Text(f"a training would fail: {_count(errors, 'error')}{also}", "bold red")
    scope = "" if report.complete else f", judged by {checked} samples"
    return Text(f"ready to train{scope}{also}", "bold green")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + "s" * (number != 1)
