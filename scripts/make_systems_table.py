"""Write docs/systems.md: what every system costs, beside what others state about it.

    python scripts/make_systems_table.py            # writes docs/systems.md
    python scripts/make_systems_table.py --check    # fails when it is out of date

The costs are counted on meta tensors; what others state is in scripts/published.yaml with
where it was read. A difference that rounding cannot explain must have an explanation there.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from segscape.config import files, systems
from segscape.profiling.designs import DesignCosts

ROOT = Path(__file__).resolve().parents[1]
PAGE, PUBLISHED = ROOT / "docs" / "systems.md", ROOT / "scripts" / "published.yaml"
CLASSES = 19
DATA = ("Cityscapes val", "Cityscapes test", "CamVid test", "ADE20K val")
TOLERANCE = 0.02
EXACT = ("official code", "authors' Caffe graph")
MARK = "†"

HEAD = """# Systems

Written by `python scripts/make_systems_table.py`; do not edit by hand. Sizes are height x width.

Parameters and multiply-adds (MACs) are those of the inference graph, without auxiliary heads,
counted on meta tensors: convolutions, linear layers and matrix products. FLOPs are twice the
MACs; most papers print MACs and call them FLOPs. {mark} marks a figure that was recalled and not
looked up again.
"""


@cache
def costs(size: tuple[int, int], classes: int) -> DesignCosts:
    """A counter for each size and number of classes."""
    return DesignCosts(size, classes)


def counted(model: str, size: Any = (512, 1024), classes: int = CLASSES) -> tuple[int, float]:
    """Parameters and GMACs of a model here."""
    found = costs((int(size[0]), int(size[1])), classes).of(systems.read(model).settings)
    return found.params, found.macs / 1e9


def overview(stated: dict[str, Any]) -> list[str]:
    """Every system, its parts and its cost at one size, beside the official graph's."""
    lines = [
        "| `model=` | encoder, context, decoder, fusion, head | parameters | GMACs at 512x1024 |",
        "| --- | --- | ---: | ---: |",
    ]
    for model in systems.names():
        params, gmacs = counted(model)
        lines.append(f"| {model} | {_parts(model)} | {params:,} | {gmacs:.3f} |".replace(",", " "))
    return lines


def _parts(model: str) -> str:
    """Only what the decoder uses; commas become thin dots, since numbers have none either."""
    from segscape.profiling.designs import uses

    system = systems.read(model)
    used = uses(system.settings["decoder"])
    return " · ".join(
        option
        for part, option in system.choices.items()
        if part not in ("context", "fusion") or part in used
    )


def comparison(stated: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Stated costs beside ours at the same size and classes; differences without a reason."""
    lines = [
        "| model | stated by | at, classes | parameters | here | GMACs | here | difference |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    unexplained = []
    for model in systems.names():
        entry = stated.get(model, {})
        official = [{**entry["official"], "from": "official code"}] if "official" in entry else []
        for figure in [*official, *entry.get("published", [])]:
            classes = figure.get("classes", CLASSES)
            params, gmacs = counted(model, figure["size"], classes)
            same, close = _compare(figure, params, gmacs)
            why = figure.get("why") or ("none" if same else "rounding")
            if not close and "why" not in figure:
                unexplained.append(f"{model} ({figure['from']}): {params}, {gmacs:.4f} GMACs")
            height, width = figure["size"]
            cells = [
                model,
                _origin(figure),
                f"{height}x{width}, {classes}",
                _params(figure.get("params"), figure["from"]),
                _params(params, "official code") if "params" in figure else "",
                f"{figure['gmacs']:.3f}" if "gmacs" in figure else "",
                f"{gmacs:.3f}" if "gmacs" in figure else "",
                why,
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return lines, unexplained


def _compare(figure: dict[str, Any], params: int, gmacs: float) -> tuple[bool, bool]:
    """Whether figures are the same, and whether rounding would explain the difference.

    The official code is counted exactly, with GMACs to three digits; the published figures of the
    smallest networks are rounded to two digits.
    """
    exact = figure["from"] in EXACT
    gaps = [
        abs(ours / figure[key] - 1)
        for key, ours in (("params", params), ("gmacs", gmacs))
        if key in figure
    ]
    same = figure.get("params", params) == params and (
        "gmacs" not in figure or abs(figure["gmacs"] - gmacs) < 6e-4
    )
    return same, same or (not exact and max(gaps) <= TOLERANCE)


def _origin(figure: dict[str, Any]) -> str:
    return f"{figure['from']} {MARK}" if "recalled" in figure["from"] else str(figure["from"])


def _params(value: float | None, origin: str) -> str:
    if value is None:
        return ""
    return f"{int(value):,}".replace(",", " ") if origin in EXACT else f"{value / 1e6:.3g} M"


def scores(stated: dict[str, Any]) -> list[str]:
    """The published accuracies; none of them was measured here."""
    lines = [
        f"| model | {' | '.join(DATA)} | at | source |",
        f"| --- | {'---: | ' * len(DATA)}--- | --- |",
    ]
    for model in systems.names():
        for entry in stated.get(model, {}).get("scores", []):
            mark = f" {MARK}" if "recalled" in entry["from"] else ""
            values = [f"{entry[d]}{mark}" if d in entry else "" for d in DATA]
            cells = [model, *values, str(entry.get("at", "")), str(entry["from"])]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def page() -> str:
    """The whole text.

    Raises:
        SystemExit: the published figures name an unknown model, or a difference has no reason.
    """
    stated = yaml.safe_load(PUBLISHED.read_text())
    unknown, forgotten = stated.keys() - set(systems.names()), set(systems.names()) - stated.keys()
    if unknown or forgotten:
        sys.exit(f"{PUBLISHED}: unknown models {sorted(unknown)}, none for {sorted(forgotten)}")
    compared, unexplained = comparison(stated)
    if unexplained:
        sys.exit("differences without an explanation:\n  " + "\n  ".join(unexplained))
    described = [f"- **{m}**: {files.describe('model', m)}" for m in systems.names()]
    sections = [
        HEAD.format(mark=MARK),
        f"## Cost here, {CLASSES} classes\n",
        *overview(stated),
        "\n## Beside what others state\n",
        '"official code": counted on the implementation that the system follows; here it is',
        "counted at the same size and with the same number of classes.\n",
        *compared,
        "\n## Published accuracy\n",
        "Mean IoU in percent as printed by the source, with the source's own protocol; none of it",
        "was measured here.\n",
        *scores(stated),
        "\n## What each is\n",
        *described,
    ]
    return "\n".join(sections) + "\n"


def main() -> None:
    """Write the page, or compare it with what would be written."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, fail when out of date")
    given = parser.parse_args()
    text = page()
    if given.check:
        if not PAGE.is_file() or PAGE.read_text() != text:
            sys.exit(f"{PAGE} is out of date: python scripts/make_systems_table.py")
        return
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(text)
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
