"""What the data sets read from an official download have in common.

None of them is shipped or fetched. Whoever lacks one is told once: the owner's page, the files,
and the layout that is expected.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from segscape.data.base import IGNORE_INDEX, FileDataset, FileSample, Palette, SegmentationDataset
from segscape.data.codecs import read_image
from segscape.data.module import SegmentationDataModule
from segscape.data.options import LoaderOptions
from segscape.errors import UserError, nearest


@dataclass(frozen=True)
class Download:
    """Where a data set comes from and what its folder looks like, for messages.

    Attributes:
        page: of the owner.
        files: what to fetch there.
        layout: what lies in data.root afterwards, a line each.
    """

    page: str
    files: tuple[str, ...]
    layout: tuple[str, ...]

    def hint(self) -> str:
        """How to come by the data."""
        tree = "".join(f"\n         {line}" for line in self.layout)
        return f"Fetch {' and '.join(self.files)} from {self.page}; expected in data.root:{tree}"

    def folder(self, root: Path) -> Path:
        """The root, which must be there.

        Raises:
            UserError: it is not, with the nearest name that is.
        """
        if root.is_dir():
            return root
        meant = ""
        if root.parent.is_dir():
            close = nearest(root.name, (f.name for f in root.parent.iterdir() if f.is_dir()))
            meant = f"Did you mean {root.parent / close}? " if close else ""
        what = "is a file, not a folder" if root.is_file() else absence(root, "folder")
        raise UserError(f"data.root={root}: {what}", meant + self.hint())

    def missing(self, root: Path, what: str, marker: str) -> UserError:
        """The error for a part of the data set that is not in the root.

        Args:
            root: where it was looked for.
            what: is missing.
            marker: a folder that stands directly in a right root, to find the right one.
        """
        inside = sorted(f for f in root.iterdir() if f.is_dir()) if root.is_dir() else []
        inner = next((f for f in inside if (f / marker).is_dir()), None)
        meant = f"Did you mean data.root={inner}? " if inner and inner.name != marker else ""
        return UserError(f"data.root={root}: {what}", meant + self.hint())


def absence(path: Path, kind: str = "file") -> str:
    """In which way a path is not there."""
    if path.is_symlink():
        return "is a symbolic link that leads nowhere or in a circle"
    if kind == "file" and path.is_dir():
        return "is a folder, not a file"
    return "there is no such folder" if kind == "folder" else "the file does not exist"


def inverse(ids: Mapping[int, int]) -> dict[int, int]:
    """Training id -> id of a file, of a mapping that is one to one."""
    assert len(set(ids.values())) == len(ids)
    return {training: own for own, training in ids.items()}


class ImagesOnly(FileDataset):
    """A split whose labels its owners keep: its images can be opened, nothing can be scored.

    Args:
        images: the files.
        classes: what the data set knows.
        palette: their colours.
        why: what is said to whoever asks for a label.
        hint: what to do instead.
        ending: of the files, that is no part of a sample's name.
    """

    def __init__(
        self,
        images: Sequence[Path],
        classes: tuple[str, ...],
        palette: Palette,
        why: str,
        hint: str | None = None,
        ending: str = ".jpg",
    ) -> None:
        super().__init__([(image, image) for image in images])
        self.classes = classes
        self.palette = palette
        self.ending = ending
        self._why = UserError(why, hint)

    def open(self, index: int) -> FileSample:
        """There is no label to open.

        Raises:
            UserError: always.
        """
        raise self._why

    def image(self, index: int) -> np.ndarray:
        """The image (H, W, 3), RGB uint8.

        Raises:
            UserError: naming the file that is at fault.
        """
        return read_image(self.pairs[index].image)

    def files(self, index: int) -> tuple[Path, ...]:  # type: ignore[override]
        """The image file alone."""
        return (self.pairs[index].image,)

    def name(self, index: int) -> str:
        """The image file's name without its ending."""
        return self.pairs[index].image.name.removesuffix(self.ending)


class OfficialDataModule(SegmentationDataModule):
    """A data set in a folder on this machine, as its owners publish it.

    Subclasses set `download`, `file_ids` and how a split is opened.

    Args:
        root: folder of the data set.
        **options: see `SegmentationDataModule`; eval_batch_size above 1 only where all images have
            one size.

    Raises:
        UserError: an argument is out of range. The folder is looked at by `check` and
            `dataset`, not here.
    """

    download: Download
    # what the owners' evaluation expects: training id -> id in the files; 255 is what is no class
    file_ids: Mapping[int, int]

    def __init__(self, root: str | Path | None = None, **options: Unpack[LoaderOptions]) -> None:
        super().__init__(**options)
        self.root = root

    def build_dataset(self, split: str) -> SegmentationDataset:
        """Open a split of the folder."""
        if self.root is None:
            raise UserError(
                f"data={self.name} needs the folder of the data set: data.root=DIR is needed",
                self.download.hint(),
            )
        return self.open_split(self.download.folder(Path(self.root)), split)

    @abstractmethod
    def open_split(self, root: Path, split: str) -> SegmentationDataset:
        """Open a split of a folder that is there."""

    def to_submission(self, ids: np.ndarray) -> np.ndarray:
        """Predicted training ids as the owners' evaluation wants them.

        Args:
            ids: uint8, (H, W); 255 where no class is predicted.

        Returns:
            Ids as in the label files, uint8, (H, W).
        """
        table = np.zeros(256, np.uint8)
        known = np.zeros(256, bool)
        for training, published in self.file_ids.items():
            table[training], known[training] = published, True
        if not known[ids].all():
            strange = int(ids[~known[ids]].max())
            raise UserError(
                f"class {strange} is none of data={self.name}",
                f"its ids are 0..{self.num_classes - 1}, and {IGNORE_INDEX} for no class",
            )
        return table[ids]
