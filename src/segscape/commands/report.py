"""`segscape report`: what a set of runs shows, as a table, a page or a picture."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from segscape.errors import UserError
from segscape.report import figure, formats, page
from segscape.report.collect import collect
from segscape.report.records import Collection
from segscape.report.table import build, effects_table, render
from segscape.runs.files import write_atomically

STDOUT = "-"
EVERY_S = 10.0
_LIVE = ("waiting", "queued", "running")
_TEXTS = ("csv", "markdown", "latex", "json")
_CHOOSING = ("markdown", "latex")  # tables that show some figures; the others have all
_FILES = ("html", "png", "svg")
_MOST_NOTES = 12


def report(rest: Sequence[str]) -> int:
    """`segscape report SWEEP_OR_RUNS... [--html F] [--csv F] [--png F] ...`.

    Collects runs from sweeps (a directory, or a name below runs/sweeps), run directories, folders
    of them, third-party summary.json files and offline folders of W&B, and shows them as a
    table: best first, the Pareto front marked, the effect of each choice, and what keeps figures
    from being compared. With files to write, only those are written.
    """
    given = _parser().parse_args(_with_interval(list(rest)))
    outputs = {name: getattr(given, name) for name in (*_TEXTS, *_FILES) if getattr(given, name)}
    _check(given, outputs)
    if given.watch is not None:
        return _watch(given, outputs)
    collection = _collect(given)
    _write(collection, given, outputs)
    if not outputs:
        console = Console(highlight=False)
        console.print(_screen(collection, given, console.width))
    else:
        _print_notes(collection)
    return 0


def _check(given: argparse.Namespace, outputs: dict[str, str]) -> None:
    """Refuse what cannot be done, and what would have no effect.

    Raises:
        UserError: which option, and why.
    """
    for name in _FILES:
        if outputs.get(name) == STDOUT:
            raise UserError(f"--{name} - cannot be shown on a terminal", f"--{name} FILE.{name}")
    places = [Path(place).resolve() for place in outputs.values() if place != STDOUT]
    if twice := next((place for place in places if places.count(place) > 1), None):
        raise UserError(f"{twice} is named twice", "every output needs a file of its own")
    if list(outputs.values()).count(STDOUT) > 1:
        raise UserError("only one table can be written to standard output")
    if given.watch is not None:
        if not 0 < given.watch < 86400:
            raise UserError(
                f"--watch {given.watch:g} cannot be used", "give seconds, e.g. --watch 10"
            )
        if STDOUT in outputs.values():
            raise UserError("--watch shows the table; it cannot write to standard output too")
    table = not outputs or given.watch is not None
    for option, able in (("sort", _TEXTS), ("columns", _CHOOSING)):
        if getattr(given, option) and not table and not any(name in outputs for name in able):
            raise UserError(
                f"--{option} has no effect on --{' and --'.join(outputs)}",
                f"it is for the table on the screen and for --{', --'.join(able)}",
            )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "segscape report", description=report.__doc__, allow_abbrev=False
    )
    parser.add_argument("places", nargs="+", metavar="SWEEP_OR_RUNS", help="what to collect")
    parser.add_argument("--sort", metavar="KEY", help="a figure, a choice, name or state")
    parser.add_argument(
        "--columns",
        type=_keys,
        metavar="KEY,...",
        help="figures of the table, e.g. miou,boundary_iou,macs,p50_ms",
    )
    parser.add_argument("--y", metavar="KEY", help="first objective: KEY, max:KEY or min:KEY")
    parser.add_argument("--x", metavar="KEY", help="second objective, e.g. model/macs")
    parser.add_argument(
        "--group-seeds", action="store_true", help="mean and standard deviation over seeds"
    )
    for name in _TEXTS:
        parser.add_argument(f"--{name}", metavar="FILE", help=f"write {name}; - is the screen")
    parser.add_argument("--html", metavar="FILE", help="write a page that opens without network")
    for name in ("png", "svg"):
        parser.add_argument(f"--{name}", metavar="FILE", help="draw the front, for papers")
    parser.add_argument(
        "--watch",
        type=float,
        metavar="SECONDS",
        help=f"look again every SECONDS ({EVERY_S:g}) until all runs have ended",
    )
    return parser


def _keys(text: str) -> list[str]:
    keys = [key.strip() for key in text.split(",")]
    if not all(keys):
        raise argparse.ArgumentTypeError("keys with commas between them")
    return keys


def _with_interval(rest: list[str]) -> list[str]:
    """`--watch` may have no value, also before a directory."""
    texts = []
    for index, text in enumerate(rest):
        following = rest[index + 1] if index + 1 < len(rest) else ""
        alone = text == "--watch" and not re.fullmatch(r"-?\d+(\.\d*)?", following)
        texts.append(f"--watch={EVERY_S:g}" if alone else text)
    return texts


def _collect(given: argparse.Namespace) -> Collection:
    return collect(given.places, y=given.y, x=given.x)


# -- files ---------------------------------------------------------------------------------------


def _write(collection: Collection, given: argparse.Namespace, outputs: dict[str, str]) -> None:
    for name, place in outputs.items():
        if name in _TEXTS:
            chosen = {"columns": given.columns} if name in _CHOOSING else {}
            make: Callable[..., str] = getattr(formats, f"as_{name}")
            text = make(collection, given.group_seeds, given.sort, **chosen)
            if place == STDOUT:
                print(text, end="")
                continue
            _to_file(Path(place), partial(write_atomically, content=text))
        elif name == "html":
            # A page of runs that have all ended has nothing to wait for.
            live = any(run.state in _LIVE for run in collection.runs)
            refresh = given.watch if live else None
            _to_file(Path(place), partial(page.write_page, collection, refresh_s=refresh))
        else:
            draw = figure.write_png if name == "png" else figure.write_svg
            _to_file(Path(place), partial(draw, collection, group_seeds=given.group_seeds))
        # standard output may be a table that a program reads
        print(f"wrote {place}", file=sys.stderr if STDOUT in outputs.values() else sys.stdout)


def _to_file(path: Path, write: Callable[[Path], object]) -> None:
    if path.is_dir():
        raise UserError(f"{path} is a directory", "name the file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def _print_notes(collection: Collection) -> None:
    """The notes that the files have, on standard error."""
    for note in [*collection.missing, *collection.warnings][:_MOST_NOTES]:
        print(f"note: {note}", file=sys.stderr)


# -- screen --------------------------------------------------------------------------------------


def _screen(collection: Collection, given: argparse.Namespace, width: int) -> RenderableType:
    count = len(collection.runs)
    named = count == 1 or collection.title == f"{count} runs"
    title = collection.title if named else f"{collection.title}: {count} runs"
    parts: list[RenderableType] = [
        render(build(collection, given.group_seeds, given.sort, width, given.columns), title)
    ]
    effects = effects_table(collection, width)
    if effects is not None:
        parts += [Text(), render(effects, "effect of each choice")]
    notes = [*collection.missing, *collection.warnings]
    if notes:
        parts.append(Text())
        parts += [Text(f"! {note}", style="yellow") for note in notes[:_MOST_NOTES]]
        if len(notes) > _MOST_NOTES:
            parts.append(Text(f"! {len(notes) - _MOST_NOTES} more: --markdown lists all"))
    return Group(*parts)


def _watch(given: argparse.Namespace, outputs: dict[str, str]) -> int:
    """Show, and write, whenever something has changed; until all runs have ended, or Ctrl-C."""
    console = Console(highlight=False)
    before: Collection | None = None
    try:
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while True:
                collection = _collect(given)
                if before is None or replace(collection, created=before.created) != before:
                    _write_drawable(collection, given, outputs)
                    shown = _screen(collection, given, console.width)
                    if console.is_terminal:
                        live.update(shown, refresh=True)
                    else:
                        console.print(shown)
                    before = collection
                if not any(run.state in _LIVE for run in collection.runs):
                    break
                time.sleep(given.watch)
    except KeyboardInterrupt:
        print("left; the runs go on. The same command looks again.", file=sys.stderr)
        return 0
    print("all runs have ended")
    return 0


def _write_drawable(
    collection: Collection, given: argparse.Namespace, outputs: dict[str, str]
) -> None:
    """Write the files; pictures only once there is something to draw."""
    pictures = {"png", "svg"} & outputs.keys()
    later = pictures if pictures and not figure.drawable(collection) else ()
    _write(collection, given, {name: file for name, file in outputs.items() if name not in later})
