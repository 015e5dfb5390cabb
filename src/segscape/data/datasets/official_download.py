"""What the data sets read from an official download have in common.

None of them is shipped or downloaded. When one is missing, the error names the owner's page, the
files to fetch, and the expected layout.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from segscape.data.base import IGNORE_INDEX, FileDataset, FileSample, Palette, SegmentationDataset
from segscape.data.datasets.missing_files import why_missing
from segscape.data.module import SegmentationDataModule
from segscape.data.options import LoaderOptions
from segscape.errors import UserError, nearest


@dataclass(frozen=True)
class Download:
    """The source and the folder layout of a data set, for messages.

    Attributes:
        page: of the owner.
        files: what to fetch there.
        layout: content of data.root afterwards, a line each.
    """

    page: str
    files: tuple[str, ...]
    layout: tuple[str, ...]

    def hint(self) -> str:
        """Where to get the data, and the expected layout."""
        tree = "".join(f"\n         {line}" for line in self.layout)
        return f"fetch {' and '.join(self.files)} from {self.page}; expected in data.root:{tree}"

    def folder(self, root: Path) -> Path:
        """The root, which must exist.

        Raises:
            UserError: it does not; names the nearest folder that does.
        """
        if root.is_dir():
            return root
        meant = ""
        if root.parent.is_dir():
            close = nearest(root.name, (f.name for f in root.parent.iterdir() if f.is_dir()))
            meant = f"did you mean {root.parent / close}? " if close else ""
        what = "is a file, not a folder" if root.is_file() else why_missing(root, "folder")
        raise UserError(f"data.root={root}: {what}", meant + self.hint())

    def missing(self, root: Path, what: str, marker: str) -> UserError:
        """The error for a part of the data set that is not in the root.

        Args:
            root: `data.root`.
            what: is missing.
            marker: a folder that a correct root contains, to suggest the correct one.
        """
        inside = sorted(f for f in root.iterdir() if f.is_dir()) if root.is_dir() else []
        inner = next((f for f in inside if (f / marker).is_dir()), None)
        meant = f"did you mean data.root={inner}? " if inner and inner.name != marker else ""
        return UserError(f"data.root={root}: {what}", meant + self.hint())


def inverse(ids: Mapping[int, int]) -> dict[int, int]:
    """Training id -> id of a file, of a mapping that is one to one."""
    assert len(set(ids.values())) == len(ids)
    return {training: own for own, training in ids.items()}


class ImagesOnly(FileDataset):
    """A split whose labels are not public: its images can be read, nothing can be scored.

    Args:
        images: the files.
        classes: of the data set.
        palette: their colours.
        why: the message of the error when a label is read.
        hint: of that error.
        ending: of the files' names, left out of the samples' names.
    """

    has_labels = False

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
        """Not possible without a label.

        Raises:
            UserError: always.
        """
        raise self._why

    def files(self, index: int) -> tuple[Path, ...]:  # type: ignore[override]
        """The image file only."""
        return (self.pairs[index].image,)

    def name(self, index: int) -> str:
        """The image file's name without its ending."""
        return self.pairs[index].image.name.removesuffix(self.ending)


class OfficialDataModule(SegmentationDataModule):
    """A data set in a local folder, as its owners publish it.

    Subclasses set `download`, `file_ids` and how a split is opened.

    Args:
        root: folder of the data set.
        **options: see `SegmentationDataModule`; eval_batch_size above 1 only where all images have
            one size.

    Raises:
        UserError: an argument is out of range. The folder is read by `dataset`, not here.
    """

    download: Download
    # training id -> id in the files, as the owners' evaluation expects; 255: no class
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
        """Predicted training ids as the owners' evaluation expects them.

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
