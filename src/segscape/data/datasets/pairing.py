"""Which label file belongs to which image file, of folders with very many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segscape.data.datasets.missing_files import report_absent
from segscape.data.datasets.official_download import absence
from segscape.errors import UserError


@dataclass(frozen=True)
class Folder:
    """Files of one kind, each known by what its name says before the ending.

    Attributes:
        path: of the folder.
        ending: of the files' names.
        nested: the files lie in folders of this one (Cityscapes' cities), not directly in it.
    """

    path: Path
    ending: str
    nested: bool = False

    def files(self) -> dict[str, Path]:
        """The files by key, in the order of their names; empty when there is no such folder.

        Raises:
            UserError: a symbolic link among the inner folders leads nowhere.
        """
        if not self.path.is_dir():
            return {}
        found = {}
        for folder in self._inner() if self.nested else [self.path]:
            # names are compared, files not looked at: a second for a hundred thousand
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
                report_absent(entry, UserError(f"{entry}: {absence(entry)}"))
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
) -> list[tuple[Path, Path]]:
    """Image and label of each key, in the order of the images.

    Args:
        images: by key.
        labels: by key.
        image_folder: where an image belongs, for the message.
        label_folder: where a label belongs, for the message.
        hint: what to do about a missing file.
        spare_labels: whether labels without an image are left out without a word.

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
        report_absent(
            file, UserError(f"{file}: there is no {what} for {files[key]}" + count * counted, hint)
        )
