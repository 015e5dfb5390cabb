"""Samples in shards, on a disk or in an object store: `data.source`.

The shards are those of WebDataset: plain tar files with the members KEY.jpg (or .png: the original
image file, byte by byte) and KEY.label.png (training ids, 8 bits, without loss), readable by any
tar program. In addition `index.json` has the offset of each member. With it a sample is one read of
a range of bytes, local or by HTTP, so that order, augmentation, sharing between processes and the
position of a resumed run are exactly those of files: a batch from shards is the batch from the
original data set.

    SOURCE/train/index.json  SOURCE/train/000000.tar  000001.tar ...  SOURCE/val/...

Reading whole shards, as the WebDataset library does, would shuffle less, could not be resumed
exactly, and would give processes different numbers of batches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from segscape.data.base import IGNORE_INDEX, Palette, Sample, read_whole
from segscape.data.codecs import decode_image, decode_label
from segscape.errors import UserError

FORMAT = "segscape-shards-1"
INDEX = "index.json"
EXTRA = 'pip install "segscape[shards]"'
_HOW_TO_WRITE = (
    "write shards with: segscape data prepare --format webdataset data=NAME data.root=DIR out=DIR"
)


class Member(NamedTuple):
    """Where a sample is stored.

    Attributes:
        shard: number of the tar file.
        image: first byte of the image file.
        image_bytes: its length.
        label: first byte of the label file, behind the image.
        label_bytes: its length.
        height: of both, pixels.
        width: of both, pixels.
        name: of the sample.
        checksum: CRC-32 of image and label bytes.
    """

    shard: int
    image: int
    image_bytes: int
    label: int
    label_bytes: int
    height: int
    width: int
    name: str
    checksum: int


class Place:
    """A folder of files, local or at a URL.

    Args:
        where: path, or URL that fsspec supports (s3://, gs://, https://, ...).
    """

    def __init__(self, where: str) -> None:
        self.where = where.removeprefix("file://").rstrip("/")
        self.remote = "://" in self.where
        if not self.remote:
            self.where = str(Path(self.where).expanduser())
        self._opened: tuple[int, Any, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"where": self.where, "remote": self.remote, "_opened": None}

    def name(self, file: str) -> str:
        """Path or URL of a file, for messages."""
        return f"{self.where}/{file}"

    def read(self, file: str, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Bytes of a file, uint8; fewer if the file is too short.

        Raises:
            UserError: it cannot be read.
        """
        try:
            if self.remote:
                return self._fetch(file, start, stop)
            length = -1 if stop is None else stop - start
            return np.fromfile(self.name(file), np.uint8, length, offset=start)
        except FileNotFoundError:
            raise UserError(f"{self.name(file)}: the file does not exist") from None
        except UserError:
            raise
        except Exception as error:
            # The library of an object store may raise anything.
            if not self.remote and not isinstance(error, OSError):
                raise
            raise UserError(f"{self.name(file)}: cannot be read ({error})") from error

    def _fetch(self, file: str, start: int, stop: int | None) -> np.ndarray:
        system, root = self._system()
        # some file systems refuse the range 0..None
        limits = {} if stop is None else {"start": start, "end": stop}
        found = system.cat_file(f"{root}/{file}", **limits)
        return np.frombuffer(bytearray(found), np.uint8)

    def _system(self) -> tuple[Any, str]:
        # One per process: connections do not survive a fork.
        if self._opened is None or self._opened[0] != os.getpid():
            try:
                import fsspec

                system, root = fsspec.core.url_to_fs(self.where)
            except (ImportError, ValueError) as error:
                raise UserError(f"{self.where}: {error}", f"try: {EXTRA}") from error
            self._opened = os.getpid(), system, root.rstrip("/")
        return self._opened[1], self._opened[2]


class ShardDataset:
    """One split in shards.

    Args:
        source: folder or URL with a folder per split.
        split: train, val or test.
        classes: of the data set; None: those in the index.
        palette: colours of the classes.

    Raises:
        UserError: no shards there, or of other classes.
    """

    ignore_index: int = IGNORE_INDEX

    def __init__(
        self,
        source: str | Path,
        split: str,
        classes: Sequence[str] | None = None,
        palette: Palette | None = None,
    ) -> None:
        self.place = Place(f"{str(source).rstrip('/')}/{split}")
        index = self._index()
        self.classes = tuple(index["classes"])
        self.palette = palette or tuple((r, g, b) for r, g, b in index["palette"])
        if classes is not None and tuple(classes) != self.classes:
            raise UserError(
                f"{self.place.name(INDEX)}: these are {len(self.classes)} classes of "
                f"data={index['data']}, not the {len(classes)} of this data set",
                f"train with data={index['data']} as it was when the shards were written",
            )
        self.shards = tuple(index["shards"])
        self.members = [Member(*row) for row in index["samples"]]
        self.version = str(index["version"])

    def __len__(self) -> int:
        return len(self.members)

    def read(self, index: int) -> Sample:
        """Read one sample; raises UserError naming the shard that is at fault."""
        return read_whole(self.open(index))

    def open(self, index: int) -> ShardSample:
        """One sample, of which windows can be read."""
        return ShardSample(self.place, self.shards, self.members[index])

    def name(self, index: int) -> str:
        """The sample's name in the original data set."""
        return self.members[index].name

    def sample_size(self, index: int) -> tuple[int, int]:
        """Height and width, from the index."""
        return self.members[index].height, self.members[index].width

    def content_version(self) -> str:
        """The content version of the original data set."""
        return self.version

    def _index(self) -> dict[str, Any]:
        try:
            text = self.place.read(INDEX).tobytes()
        except UserError as error:
            raise UserError(f"data.source: {error.what}", error.hint or _HOW_TO_WRITE) from error
        try:
            index: dict[str, Any] = json.loads(text)
            known = index.get("format") == FORMAT
        except (ValueError, AttributeError):
            known = False
        if not known:
            raise UserError(f"{self.place.name(INDEX)}: is not an index of {FORMAT}")
        return index


class ShardSample:
    """A sample in a shard; image and label come in one read.

    Args:
        place: of the shards.
        shards: their files.
        member: where in them.
    """

    def __init__(self, place: Place, shards: Sequence[str], member: Member) -> None:
        self._place = place
        self._file = shards[member.shard]
        self._member = member
        self._where = f"{place.name(self._file)} ({member.name})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._member.height, self._member.width

    def window(self, rows: slice, columns: slice) -> Sample:
        """These pixels of image and label; raises UserError for a damaged shard."""
        label = decode_label(self._files[1], self._where, rows.stop)
        image = decode_image(self._files[0], self._where, rows.stop)
        return Sample(image[rows, columns], label[rows, columns])

    def label(self) -> np.ndarray:
        """The whole label (H, W)."""
        return decode_label(self._files[1], self._where)

    @cached_property
    def _files(self) -> tuple[np.ndarray, np.ndarray]:
        member = self._member
        stop = member.label + member.label_bytes
        data = self._place.read(self._file, member.image, stop)
        if data.size != stop - member.image:
            raise UserError(
                f"{self._where}: the shard is cut short", "copy it again, or write it again"
            )
        # Copies: the codecs read the end of a file, and change its header while they decode.
        return data[: member.image_bytes].copy(), data[member.label - member.image :].copy()
