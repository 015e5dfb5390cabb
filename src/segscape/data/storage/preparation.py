"""Filling a store or writing shards in one go: several processes, resumable, verified.

The functions yield their progress, which the caller may display.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from segscape.data.base import SegmentationDataset
from segscape.data.storage.parallel import over
from segscape.data.storage.shard_writer import ShardWriter, damaged_members
from segscape.data.storage.shards import Member
from segscape.data.storage.store import SampleStore
from segscape.errors import UserError


@dataclass
class Outcome:
    """The result of preparing a split.

    Attributes:
        damaged: error messages of samples that could not be read.
        left_out: names of readable samples that were not kept.
        there: number of samples that were prepared before.
    """

    damaged: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    there: int = 0


@dataclass(frozen=True)
class Step:
    """Progress of a preparation.

    Attributes:
        what: write or verify.
        done: samples or shards.
        total: of them.
    """

    what: str
    done: int
    total: int


def fill_store(
    dataset: SegmentationDataset, store: SampleStore, processes: int, outcome: Outcome
) -> Iterator[Step]:
    """Write every missing sample, then compare every checksum with the disk."""

    def write(index: int) -> str | None:
        if store.has(index):
            return "there"
        try:
            return None if store.put(index, dataset.read(index)) else "left out"
        except UserError as error:
            return f"damaged {error.what}"

    count = len(dataset)
    for index, result in enumerate(over(range(count), write, processes, chunk=4)):
        if result == "there":
            outcome.there += 1
        elif result == "left out":
            outcome.left_out.append(dataset.name(index))
        elif result is not None:
            outcome.damaged.append(result.removeprefix("damaged "))
        yield Step("write", index + 1, count)
    store.flush()
    written = [index for index in range(count) if store.written(index)]
    sound = over(written, store.whole_on_disk, processes, chunk=4)
    for done, (index, whole) in enumerate(zip(written, sound, strict=True), start=1):
        if not whole:
            outcome.left_out.append(dataset.name(index))
        yield Step("verify", done, len(written))


def write_shards(writer: ShardWriter, processes: int, outcome: Outcome) -> Iterator[Step]:
    """Write every missing shard and verify all; no index is written with damaged samples."""
    shards = range(len(writer.groups))
    members = writer.finished()
    if members is None:
        members = []
        for done, written in enumerate(over(shards, writer.write, processes), start=1):
            members += written.members
            outcome.damaged += written.damaged
            yield Step("write", done, len(shards))
        if outcome.damaged:
            return
    else:
        outcome.there = len(members)
    by_shard: list[list[Member]] = [[] for _ in shards]
    for member in members:
        by_shard[member.shard].append(member)

    def verify(shard: int) -> list[str]:
        return damaged_members(writer.folder, shard, by_shard[shard])

    for done, damaged in enumerate(over(shards, verify, processes), start=1):
        outcome.left_out += damaged
        yield Step("verify", done, len(shards))
    if outcome.left_out:
        writer.discard()
    else:
        writer.finish(members)
