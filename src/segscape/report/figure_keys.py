"""What the keys of figures mean: which way is better, and how they are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segscape.config.training import LATENCY, SCORE
from segscape.errors import UserError, unknown
from segscape.report.records import Run

ACCURACY = (SCORE, "test/miou", "train/miou", "miou")
COST = (LATENCY, "model/macs", "model/flops", "model/params")

_SHARES = ("miou", "iou", "boundary_iou", "pixel_accuracy", "class_accuracy")
_COUNTS = ("params", "macs", "flops")
_LABELS = {
    "miou": "mIoU",
    "boundary_iou": "boundary IoU",
    "pixel_accuracy": "pixel accuracy",
    "class_accuracy": "class accuracy",
    "params": "parameters",
    "macs": "MACs",
    "flops": "FLOPs",
    "fps": "images per second",
    "to_mask_p50_ms": "latency to class map p50",
}
_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_HIGHER = ("fps", "images_per_second", "recall", "precision", "accuracy", "dice", "f1")
_LOWER = ("loss", "data_wait", "lr", "error", "seconds", "epoch", "step", "threads", "batch")


def kind(key: str) -> str:
    """What a figure is: `share` (0 to 1, shown in percent), `count`, `ms` or `number`."""
    words = key.split("/")
    if words[-1] in _SHARES or (len(words) > 2 and words[1] == "iou"):
        return "share"
    if any(word in _COUNTS for word in words[:2]) or words[-1] in _COUNTS:
        return "count"
    return "ms" if words[-1].endswith("_ms") else "number"


def direction(key: str) -> str | None:
    """`max` where more is better, `min` where less is, None for keys that are not known."""
    found = kind(key)
    if found != "number":
        return "max" if found == "share" else "min"
    words = key.split("/")
    if any(word in _HIGHER for word in words):
        return "max"
    return "min" if any(word in _LOWER for word in words) else None


def label(key: str, unit: bool | str = True) -> str:
    """A figure's name for a heading or an axis, e.g. `mIoU (%)`, `MACs of encoder`.

    Args:
        key: of the figure.
        unit: the one to name; True: that of the key.
    """
    words = key.split("/")
    name = words[-1]
    if len(words) > 2 and words[1] == "iou":
        text = f"IoU of {'/'.join(words[2:])}"
    elif len(words) > 2 and words[1] in _COUNTS:
        text = f"{_LABELS[words[1]]} of {'/'.join(words[2:])}"
    elif name in _LABELS:
        text = _LABELS[name]
    elif kind(key) == "ms":
        text = f"latency {name.removesuffix('_ms')}"
    else:
        text = key
    if words[0] in ("test", "train") and kind(key) == "share":
        text = f"{words[0]} {text}"
    sign = scale(key, ())[1] if unit is True else unit
    return f"{text} ({sign})" if sign else text


def scale(key: str, values: Iterable[float]) -> tuple[float, str]:
    """What a column or axis counts in: a divisor that suits the largest value, and its unit."""
    what = kind(key)
    if what == "share":
        return 0.01, "%"
    if what == "ms":
        return 1.0, "ms"
    largest = max((abs(value) for value in values), default=0.0)
    units = _UNITS if what == "count" else ()
    return next(((size, unit) for size, unit in units if largest >= size), (1.0, ""))


def resolve(text: str, known: Iterable[str]) -> str:
    """The key that a user means: itself, or the only one that ends with it (`macs`).

    Raises:
        UserError: no run has such a figure, or several keys end so.
    """
    keys = list(dict.fromkeys(known))
    if text in keys:
        return text
    ends = [key for key in keys if key.endswith(f"/{text}")]
    short = [key for key in ends if key.startswith(("val/", "model/", "latency/"))]
    for found in (ends, short):
        if len(found) == 1:
            return found[0]
    if ends:
        raise UserError(f"{text} could be {' or '.join(ends)}", "write the whole key")
    raise unknown(f"no run has {text!r}", text, keys, shown=short_list(keys), label="keys")


def short_list(keys: Sequence[str], most: int = 30) -> list[str]:
    """Keys without those of single classes and parts, which are many."""
    kept = [key for key in keys if key.count("/") < 2]
    return [*kept[:most], *(["..."] if len(kept) > most or len(kept) < len(keys) else [])]


def split_direction(text: str) -> tuple[str | None, str]:
    """`max:KEY` or `min:KEY` as (direction, key), any other text as (None, text)."""
    head, colon, rest = text.partition(":")
    return (head, rest) if colon and head in ("max", "min") else (None, text)


def directed(text: str, known: Iterable[str]) -> tuple[str, str]:
    """`max:KEY`, `min:KEY` or KEY as (direction, key).

    Raises:
        UserError: no run has the key, or it is not known which way is better.
    """
    given, name = split_direction(text)
    key = resolve(name, known)
    way = given or direction(key)
    if way is None:
        raise UserError(f"{key}: is more better, or less?", f"say so: max:{key} or min:{key}")
    return way, key


def figure_keys(runs: Iterable[Run]) -> list[str]:
    """Every key that some run has a figure of, in the order of their records."""
    return list({key: None for run in runs for key in run.figures})


def compared_figures(objectives: Iterable[tuple[str, str]]) -> list[str]:
    """The figures that effects are computed of."""
    keys = [*(key for _, key in objectives), *ACCURACY[:2], *COST]
    return [key for key in dict.fromkeys(keys) if key != "model/flops"]
