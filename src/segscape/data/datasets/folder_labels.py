"""What the labels of a user's own data mean: classes, colours, and ids or colours of files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from segscape.data.base import IGNORE_INDEX, ColourMap, LabelMap, Palette
from segscape.data.datasets.folder_files import as_text
from segscape.data.overlay import distinct_colours
from segscape.errors import UserError, nearest

# 254 marks unknown ids and 255 ignored ones
MOST_CLASSES = 254
IGNORE = "ignore"
Colour = tuple[int, int, int]


def class_table(
    classes: Sequence[str] | str | None, palette: Any
) -> tuple[tuple[str, ...], Palette]:
    """Names and colours of the classes.

    Args:
        classes: names in the order of the training ids, or a yaml or JSON file: a list of names,
            or a mapping with `classes` and optionally `palette`.
        palette: their colours [red, green, blue], 0..255, or such a file; None takes those of
            the file of classes, or generates them.

    Raises:
        UserError: no names, too many, a name twice, or another number of colours.
    """
    given = from_file("data.classes", classes)
    if isinstance(given, Mapping):
        palette = given.get("palette") if palette is None else palette
        given = given.get("classes")
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise UserError(
            "data=folder needs the names of the classes: data.classes",
            "a list such as [road, car], or a yaml or JSON file with one; "
            f"found {given!r}" + (f" in {classes}" if isinstance(classes, str) else ""),
        )
    names = tuple(str(name) for name in given)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or len(names) > MOST_CLASSES:
        what = f"has {as_text(twice)} twice" if twice else f"has {len(names)} names"
        raise UserError(f"data.classes {what}", f"expected up to {MOST_CLASSES} different names")
    colours = from_file("data.palette", palette)
    if isinstance(colours, Mapping):
        colours = colours.get("palette")
    if colours is None:
        return names, tuple(distinct_colours(len(names)))
    if not isinstance(colours, Sequence) or len(colours) != len(names):
        count = len(colours) if isinstance(colours, Sequence) else colours
        raise UserError(f"data.palette has {count} colours for {len(names)} classes")
    return names, tuple(colour("data.palette", value) for value in colours)


def id_map(label_map: Any, ignored: int | Sequence[int] | None, classes: Sequence[str]) -> LabelMap:
    """The training ids of the ids in label files.

    Args:
        label_map: id of a file -> class (name or training id) or `ignore`, or a yaml or JSON
            file with that; None: the ids of the files are the training ids.
        ignored: further ids that mean no class.
        classes: names by training id.

    Raises:
        UserError: an invalid id or class.
    """
    given = from_file("data.label_map", label_map)
    if given is None:
        given = {number: number for number in range(len(classes))}
    if not isinstance(given, Mapping):
        raise UserError(f"data.label_map={given!r}", "expected a mapping such as {7: road}")
    ids: dict[int, int] = {}
    for source, target in given.items():
        number = _file_id("data.label_map", source)
        ids[number] = training_id("data.label_map", target, classes)
    for source in [ignored] if isinstance(ignored, int) else (ignored or ()):
        number = _file_id("data.label_ignore", source)
        if ids.get(number, IGNORE_INDEX) != IGNORE_INDEX:
            raise UserError(
                f"data.label_ignore={number} is class {classes[ids[number]]!r} in data.label_map",
                "one of the two is wrong",
            )
        ids[number] = IGNORE_INDEX
    return LabelMap(ids, keep_ignore=False)


def colour_map(label_colours: Any, classes: Sequence[str], palette: Palette) -> ColourMap:
    """The training ids of the colours in label files.

    Args:
        label_colours: class (name or training id) or `ignore` -> its colour in the files, or a
            list of several; or a yaml or JSON file with that. None: the palette.
        classes: names by training id.
        palette: colours by training id.

    Raises:
        UserError: a colour of two classes, a class without one, or an invalid colour.
    """
    given = from_file("data.label_colours", label_colours)
    if given is None:
        given = {number: [list(value)] for number, value in enumerate(palette)}
    if not isinstance(given, Mapping):
        raise UserError(
            f"data.label_colours={given!r}", "expected a mapping such as {road: [128, 64, 128]}"
        )
    ids: dict[Colour, int] = {}
    for name, value in given.items():
        target = training_id("data.label_colours", name, classes)
        several = isinstance(value, Sequence) and value and isinstance(value[0], Sequence)
        for one in value if several else [value]:
            key = colour(f"data.label_colours.{name}", one)
            if ids.get(key, target) != target:
                first = ids[key]
                other = IGNORE if first == IGNORE_INDEX else classes[first]
                raise UserError(f"the label colour {key} is both {other!r} and {name!r}")
            ids[key] = target
    without = [name for i, name in enumerate(classes) if i not in ids.values()]
    if without:
        raise UserError(f"data.label_colours has no colour for {as_text(without)}")
    return ColourMap(ids)


def training_id(option: str, value: Any, classes: Sequence[str]) -> int:
    """The training id of a class, given by name or by id; 255 for `ignore`.

    Raises:
        UserError: there is no such class.
    """
    if isinstance(value, str) and value in classes:
        return list(classes).index(value)
    if value in (IGNORE, IGNORE_INDEX):
        return IGNORE_INDEX
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(classes):
        return value
    if isinstance(value, str) and value.isdigit():
        return training_id(option, int(value), classes)
    close = nearest(str(value), [*classes, IGNORE])
    raise UserError(
        f"{option}: there is no class {value!r}",
        (f"did you mean {close}? " if close else "")
        + f"classes: {as_text(classes)}; or 0..{len(classes) - 1}, or {IGNORE}",
    )


def colour(option: str, value: Any) -> Colour:
    """Three numbers from 0 to 255.

    Raises:
        UserError: something else.
    """
    right = isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3
    if not right or not all(type(part) is int and 0 <= part <= 255 for part in value):
        raise UserError(f"{option}: {value!r} is no colour", "expected [red, green, blue], 0..255")
    red, green, blue = value
    return red, green, blue


def from_file(option: str, given: Any) -> Any:
    """The content of a yaml or JSON file, given by its name; anything else as it is.

    Raises:
        UserError: there is no such file, or it cannot be read.
    """
    if not isinstance(given, str):
        return given
    path = Path(given)
    if not path.is_file():
        raise UserError(f"{option}={given}: there is no such file", "expected a yaml or JSON file")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{option}={given}: is neither yaml nor JSON ({reason})") from None


def _file_id(option: str, value: Any) -> int:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 255:
        raise UserError(
            f"{option}: {value!r} is no id of a label file", "ids are whole numbers from 0 to 255"
        )
    return value
