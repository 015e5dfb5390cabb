"""Small copies of the galleries, inside of the page, within a budget."""

from __future__ import annotations

import base64
import functools
import io
from pathlib import Path
from typing import Any

from segscape.config.training import SCORE
from segscape.report.records import Collection, Run

#: For all pictures of a page together, in bytes of base64.
BUDGET = 2_200_000
#: A panel is image, label and prediction side by side, in pixels.
WIDEST = 720
_QUALITY = 62


def galleries(
    collection: Collection, beside: Path, budget: int = BUDGET
) -> dict[str, list[dict[str, Any]]]:
    """The panels of every run, the first ones of the best runs as pictures in the page.

    The first image of every run comes before the second of any, so that runs can be compared on
    the same images.

    Args:
        collection: whose runs.
        beside: the directory of the page: files below it are linked.
        budget: bytes for all pictures together.

    Returns:
        By id of the run: `name`, `src` (a data URI, or None) and `file` (relative to the page, or
        None) of every panel.
    """
    root = beside.resolve()
    found = {
        run.id: [
            {"name": Path(file).stem, "src": None, "file": _relative(Path(file), root)}
            for file in run.gallery
        ]
        for run in collection.runs
    }
    names = list(dict.fromkeys(Path(f).stem for run in collection.runs for f in run.gallery))
    order = _best_first(collection)
    left = budget
    for name in names:
        for run in order:
            place = next((i for i, f in enumerate(run.gallery) if Path(f).stem == name), None)
            if place is None:
                continue
            source = _thumbnail(Path(run.gallery[place]))
            if source is None:
                continue
            left -= len(source)
            if left < 0:
                return found
            found[run.id][place]["src"] = source
    return found


def _best_first(collection: Collection) -> list[Run]:
    front = set(collection.front)
    way, key = collection.objectives[0] if collection.objectives else ("max", SCORE)

    def rank(run: Run) -> tuple[bool, bool, bool, float]:
        value = run.figures.get(key)
        known = value is not None
        score = 0.0 if value is None else (-value if way == "max" else value)
        return run.id not in front, not run.done, not known, score

    return sorted(collection.runs, key=rank)


def _relative(file: Path, root: Path) -> str | None:
    try:
        return file.resolve().relative_to(root).as_posix()
    except ValueError:
        return None


def _thumbnail(file: Path) -> str | None:
    """A panel as a data URI; None for one that is gone or cannot be read."""
    try:
        return _made(file, file.stat().st_mtime_ns)
    except OSError:
        return None


@functools.lru_cache(maxsize=1024)
def _made(file: Path, stamp: int) -> str | None:
    """A page that is written every few seconds reads only the pictures that have changed."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except OSError:
        return None
    if image.width > WIDEST:
        height = max(1, round(image.height * WIDEST / image.width))
        image = image.resize((WIDEST, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
