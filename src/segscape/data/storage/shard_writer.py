"""Writing shards: see `segscape.data.storage.shards` for what they are."""

from __future__ import annotations

import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segscape.data.base import SegmentationDataset
from segscape.data.codecs import decode_image, read_bytes
from segscape.data.storage.shards import FORMAT, INDEX, Member
from segscape.data.storage.versions import content_version
from segscape.errors import UserError

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_LABEL = ".label.png"


@dataclass(frozen=True)
class Written:
    """A finished shard.

    Attributes:
        members: its samples.
        damaged: error messages of the samples that could not be read.
    """

    members: list[Member]
    damaged: list[str]


class ShardWriter:
    """Writes a split; each shard by itself, in any order and process, and only once.

    Args:
        dataset: the split.
        name: of the data set.
        folder: of this split's shards.
        shard_bytes: about how large a shard becomes.
    """

    def __init__(
        self, dataset: SegmentationDataset, name: str, folder: Path, shard_bytes: int
    ) -> None:
        self.dataset = dataset
        self.name = name
        self.folder = folder
        self.version = content_version(dataset)[:16]
        self.groups = list(_groups(dataset, shard_bytes))

    def write(self, shard: int) -> Written:
        """Write a shard, unless it exists.

        A shard whose samples cannot all be read is not written.
        """
        part = self._part(shard)
        done = self._done(shard)
        if done is not None:
            return Written(done, [])
        damaged: list[str] = []
        temporary = part.with_suffix(".tmp")
        rows: list[tuple[str, tuple[int, int], int]] = []
        with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as archive:
            for index in self.groups[shard]:
                try:
                    rows.append(self._add(archive, index))
                except UserError as error:
                    damaged.append(error.what)
        if damaged:
            temporary.unlink()
            return Written([], damaged)
        members = _located(temporary, shard, rows)
        temporary.replace(self.folder / shard_name(shard))
        # The shard first: a part without its shard would count as finished.
        content = {"version": self.version, "samples": members}
        _write_text(part, json.dumps(content, ensure_ascii=False))
        return Written(members, [])

    def finish(self, members: Sequence[Member]) -> None:
        """Write the index, which makes the split readable."""
        content = {
            "format": FORMAT,
            "data": self.name,
            "version": self.version,
            "classes": list(self.dataset.classes),
            "palette": [list(colour) for colour in self.dataset.palette],
            "shards": [shard_name(shard) for shard in range(len(self.groups))],
            "samples": members,
        }
        _write_text(self.folder / INDEX, json.dumps(content, ensure_ascii=False))
        for shard in range(len(self.groups)):
            self._part(shard).unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete the index, because its shards are damaged."""
        (self.folder / INDEX).unlink(missing_ok=True)

    def finished(self) -> list[Member] | None:
        """The samples of an existing index of exactly these files; None otherwise."""
        try:
            content = json.loads((self.folder / INDEX).read_text(encoding="utf-8"))
            shards = [shard_name(shard) for shard in range(len(self.groups))]
            if content["version"] != self.version or content["shards"] != shards:
                return None
            return [Member(*row) for row in content["samples"]]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _add(self, archive: tarfile.TarFile, index: int) -> tuple[str, tuple[int, int], int]:
        """Append a sample: its name, size and checksum."""
        sample = self.dataset.read(index)
        name = self.dataset.name(index)
        extension, image = self._image(index, sample.image)
        label = cv2.imencode(".png", sample.label)[1].tobytes()
        slug = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]
        for suffix, data in ((extension, image), (_LABEL, label)):
            info = tarfile.TarInfo(f"{index:07d}-{slug}{suffix}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        height, width = sample.label.shape
        return name, (height, width), zlib.crc32(label, zlib.crc32(image))

    def _image(self, index: int, pixels: np.ndarray) -> tuple[str, bytes]:
        """The image's own file if it holds these pixels, else a PNG of them."""
        files = getattr(self.dataset, "files", None)
        if files is not None:
            path = files(index)[0]
            if path.suffix.lower() in _EXTENSIONS:
                data = read_bytes(path)
                if np.array_equal(decode_image(data, path), pixels):
                    return path.suffix.lower(), data.tobytes()
        return ".png", cv2.imencode(".png", pixels[..., ::-1])[1].tobytes()

    def _part(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}.part"

    def _done(self, shard: int) -> list[Member] | None:
        try:
            content = json.loads(self._part(shard).read_text(encoding="utf-8"))
            members = [Member(*row) for row in content["samples"]]
            if content["version"] != self.version or len(members) != len(self.groups[shard]):
                return None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return members if not damaged_members(self.folder, shard, members) else None


def shard_name(shard: int) -> str:
    """File name of a shard."""
    return f"{shard:06d}.tar"


def damaged_members(folder: Path, shard: int, members: Sequence[Member]) -> list[str]:
    """Names of the samples of a shard whose bytes do not match their checksum."""
    found = []
    try:
        with (folder / shard_name(shard)).open("rb") as file:
            for member in members:
                checksum = 0
                for start, length in (
                    (member.image, member.image_bytes),
                    (member.label, member.label_bytes),
                ):
                    file.seek(start)
                    checksum = zlib.crc32(file.read(length), checksum)
                if checksum != member.checksum:
                    found.append(member.name)
    except OSError:
        return [member.name for member in members]
    return found


def _groups(dataset: SegmentationDataset, shard_bytes: int) -> Iterator[range]:
    """Neighbouring samples whose image files make up a shard."""
    files = getattr(dataset, "files", None)
    start = total = 0
    for index in range(len(dataset)):
        size = 1 << 20
        if files is not None:
            path = files(index)[0]
            size = path.stat().st_size if path.exists() else 0
        if index > start and total + size > shard_bytes:
            yield range(start, index)
            start, total = index, 0
        total += size
    if start < len(dataset):
        yield range(start, len(dataset))


def _located(
    path: Path, shard: int, rows: Sequence[tuple[str, tuple[int, int], int]]
) -> list[Member]:
    """Where each sample's files begin, from the archive as it was written."""
    with tarfile.open(path) as archive:
        infos: list[Any] = archive.getmembers()
    assert len(infos) == 2 * len(rows)
    members = []
    for (name, (height, width), checksum), image, label in zip(
        rows, infos[::2], infos[1::2], strict=True
    ):
        members.append(
            Member(
                shard=shard,
                image=image.offset_data,
                image_bytes=image.size,
                label=label.offset_data,
                label_bytes=label.size,
                height=height,
                width=width,
                name=name,
                checksum=checksum,
            )
        )
    return members


def _write_text(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
