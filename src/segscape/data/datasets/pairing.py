"""Pairs of image and label files: of two folders, or in a list."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segscape.data.datasets.missing_files import none_missing, report_missing, why_missing
from segscape.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
Pairs = list[tuple[Path, Path]]

# File names may contain blanks: the first column ends after the extension of an image.
_COLUMNS = re.compile(
    rf"^(.+?\.(?:{'|'.join(suffix[1:] for suffix in SUFFIXES)}))\s+(\S.*)$", re.IGNORECASE
)


def list_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a list with their numbers, without empty ones.

    Raises:
        UserError: it is not text in UTF-8, or empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a text file in UTF-8 ({error})") from None
    lines = [(n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise UserError(f"{path}: the list is empty")
    return lines


def split_columns(line: str) -> list[str]:
    """The columns of a line of a list, separated by a tab or blanks; one if there is only one."""
    if "\t" in line:
        return [column.strip() for column in line.split("\t") if column.strip()]
    matched = _COLUMNS.match(line)
    return list(matched.groups()) if matched else [line]


def listed_pairs(path: Path, locate: Callable[[str], Path], example: str) -> Pairs:
    """The files of a list with the columns image and label.

    Args:
        path: of the list.
        locate: the path of a name in the list.
        example: a correct line, for the message.

    Raises:
        UserError: a file is missing, or a line has not two columns.
    """
    pairs = []
    for number, line in list_lines(path):
        columns = split_columns(line)
        if len(columns) != 2:
            raise UserError(
                f"{path}, line {number}: expected two columns, image and label: {line!r}",
                f"e.g. {example}",
            )
        image, label = map(locate, columns)
        missing = [file for file in (image, label) if not file.is_file()]
        if none_missing(missing, f"{path}, line {number}: {line}"):
            pairs.append((image, label))
    return pairs


@dataclass(frozen=True)
class Folder:
    """Files of one kind; the key of each is its name without the ending.

    Attributes:
        path: of the folder.
        ending: of the files' names.
        nested: the files are in folders of this one (Cityscapes' cities), not directly in it.
    """

    path: Path
    ending: str
    nested: bool = False

    def files(self) -> dict[str, Path]:
        """The files by key, sorted by name; empty when the folder does not exist.

        Raises:
            UserError: an inner folder is a broken symbolic link.
        """
        if not self.path.is_dir():
            return {}
        found = {}
        for folder in self._inner() if self.nested else [self.path]:
            # by name, without a stat of each file: a second for a hundred thousand
            names = sorted(f.name for f in folder.iterdir() if f.name.endswith(self.ending))
            prefix = f"{folder.name}/" if self.nested else ""
            for name in names:
                if not name.startswith("."):
                    found[prefix + name.removesuffix(self.ending)] = folder / name
        return found

    def _inner(self) -> list[Path]:
        entries = sorted(self.path.iterdir())
        for entry in entries:
            if not entry.exists():
                report_missing(entry, UserError(f"{entry}: {why_missing(entry)}"))
        return [entry for entry in entries if entry.is_dir()]

    def file(self, key: str) -> Path:
        """Where the file of a key belongs."""
        return self.path / f"{key}{self.ending}"


def pair_up(
    images: Mapping[str, Path],
    labels: Mapping[str, Path],
    image_folder: Folder,
    label_folder: Folder,
    hint: str | None = None,
    spare_labels: bool = False,
) -> Pairs:
    """Image and label of each key, in the order of the images.

    Args:
        images: by key.
        labels: by key.
        image_folder: where an image is expected, for the message.
        label_folder: where a label is expected, for the message.
        hint: what to do about a missing file.
        spare_labels: whether labels without an image are no error.

    Raises:
        UserError: an image without a label, or the reverse; the first is named, all are counted.
    """
    alone = [key for key in images if key not in labels]
    _report(alone, images, label_folder, "label", "images", hint)
    alone = [] if spare_labels else [key for key in labels if key not in images]
    _report(alone, labels, image_folder, "image", "labels", hint)
    return [(image, labels[key]) for key, image in images.items() if key in labels]


def _report(
    alone: list[str],
    files: Mapping[str, Path],
    other: Folder,
    what: str,
    kind: str,
    hint: str | None,
) -> None:
    article = "an" if what == "image" else "a"
    count = f" ({len(alone)} of {len(files)} {kind} are without {article} {what})"
    for number, key in enumerate(alone):
        file, counted = other.file(key), len(alone) > 1 and number == 0
        report_missing(
            file, UserError(f"{file}: there is no {what} for {files[key]}" + count * counted, hint)
        )
