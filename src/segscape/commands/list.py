"""`segscape list`: what can be chosen, and what it costs."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from segscape.config import files
from segscape.errors import unknown
from segscape.profiling import option_costs
from segscape.profiling.si_units import format_count

_NOTES = {
    "model": "whole networks for inference, {classes} classes",
    "encoder": "encoders alone",
    "context": "in the place of the context of model={reference}",
    "decoder": "with their fusions, in the place of the decoder of model={reference}",
    "fusion": "in the place of the three fusions of model={reference}, all together",
    "head": "in the place of the head of model={reference}, {classes} classes",
}


def list_choices(rest: Sequence[str]) -> int:
    """`segscape list [GROUP] [--json] [--config-dir DIR]`.

    Without GROUP every group and option in a line; with a group of parts, or `model`, also the
    parameters and multiply-adds (MACs) at 512x1024 (height x width).
    """
    parser = argparse.ArgumentParser("segscape list", description=list_choices.__doc__)
    parser.add_argument("group", nargs="?", help="e.g. fusion; without it, every group")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_args(rest)
    known = files.groups()
    if given.group is not None and given.group not in known:
        what = f"there is no group {given.group!r}"
        raise unknown(what, given.group, known, label="groups")
    chosen = [given.group] if given.group else list(known)
    table = {g: {o: files.describe(g, o) for o in known[g]} for g in chosen}
    measured = None
    if given.group in option_costs.GROUPS:
        measured = option_costs.option_costs(given.group, _announce)
    if given.json:
        print(json.dumps(_with_figures(table, measured), indent=2))
    elif measured is not None:
        _print_figures(given.group, table[given.group], measured)
    else:
        _print_names(table)
    return 0


def _announce(count: int) -> None:
    if sys.stderr.isatty():
        print(f"counting {count} options, once after each change of the code ...", file=sys.stderr)


def _with_figures(
    table: Mapping[str, Mapping[str, str]], measured: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """By group and option: `description`, and the figures where they were asked for."""
    return {
        group: {
            option: {"description": text, **(measured or {}).get(option, {})}
            for option, text in options.items()
        }
        for group, options in table.items()
    }


def _print_names(table: Mapping[str, Mapping[str, str]]) -> None:
    for group, options in table.items():
        print(group)
        width = max(24, *(len(option) + 2 for option in options))
        for option, text in options.items():
            _print_wrapped(f"  {option:<{width}}", text)
    if len(table) > 1:
        print("\nsegscape list GROUP (model, encoder, fusion, ...) shows parameters and MACs")


def _print_figures(
    group: str, options: Mapping[str, str], measured: Mapping[str, Mapping[str, Any]]
) -> None:
    width = max(len(option) for option in options)
    print(f"{group:<{width}}  parameters       MACs")
    marks = False
    for option, text in options.items():
        found = measured[option]
        elsewhere = found.get("measured_in") not in (None, option, "alone", option_costs.REFERENCE)
        marks = marks or elsewhere
        where = f" [in {found['measured_in']}]" if elsewhere else ""
        params, macs = format_count(found.get("params")), format_count(found.get("macs"))
        said = f" ({found['problem']})" if "problem" in found else ""
        _print_wrapped(f"{option:<{width}}  {params:>10}  {macs:>9}  ", f"{text}{where}{said}")
    height, across = option_costs.SIZE
    note = _NOTES[group].format(classes=option_costs.CLASSES, reference=option_costs.REFERENCE)
    print(f"\nat {height}x{across} (height x width): {note}")
    if marks:
        print("[in NAME]: does not fit there, counted in model=NAME")


def _print_wrapped(start: str, text: str) -> None:
    """A line, wrapped behind its first columns on a terminal and left whole in a pipe."""
    if not sys.stdout.isatty():
        print(f"{start}{text}".rstrip())
        return
    width = max(shutil.get_terminal_size().columns, len(start) + 20)
    lines = textwrap.wrap(text, width - len(start)) or [""]
    print(f"{start}{lines[0]}".rstrip())
    for line in lines[1:]:
        print(f"{' ' * len(start)}{line}")
