"""The samples of every batch: pure functions of (seed, epoch, rank).

A sampler has no random state. Any batch of any epoch can be computed without the ones before it, so
a resumed run reads nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segscape.errors import UserError


class TrainOrder:
    """Batches of (epoch, index) pairs in an order shuffled per epoch.

    The permutation of an epoch depends only on (seed, epoch). With several processes each
    takes its share of every global batch, so the samples of a step are the same for
    1 process x batch 8 and for 2 x 4. The incomplete last batch is dropped.

    Args:
        length: samples of the split.
        batch_size: samples per batch and process.
        seed: of the order.
        rank: this process.
        world: number of processes.

    Raises:
        UserError: fewer samples than one batch.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        assert 0 <= rank < world
        if length < batch_size * world:
            each = f"{world} processes with data.batch_size={batch_size}"
            raise UserError(
                f"the training split has {length} samples, fewer than one batch of "
                f"{each if world > 1 else f'data.batch_size={batch_size}'}",
                f"use data.batch_size={max(length // world, 1)} or less",
            )
        self.length = length
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world = world
        self.epoch = 0
        self.start_batch = 0

    def __len__(self) -> int:
        """Batches of a whole epoch, wherever this one starts."""
        return self.length // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        # Bound now, not at the first next(): the position may change in between.
        return self.batches(self.epoch, self.start_batch)

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[list[tuple[int, int]]]:
        """The batches of an epoch from `start_batch` on."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.length).tolist()
        for batch in range(start_batch, len(self)):
            first = (batch * self.world + self.rank) * self.batch_size
            yield [(epoch, index) for index in order[first : first + self.batch_size]]


class EvalOrder:
    """Batches of (valid, index) pairs: every sample exactly once over all processes.

    All processes get the same number of samples, and so of batches. For that the last sample is
    repeated at most once per process, with valid = False, and not scored.

    Args:
        length: samples of the split.
        batch_size: samples per batch and process.
        rank: this process.
        world: number of processes.
    """

    def __init__(self, length: int, batch_size: int, rank: int = 0, world: int = 1) -> None:
        assert length > 0 and 0 <= rank < world
        self.length = length
        self.batch_size = batch_size
        self.rank = rank
        self.world = world

    def __len__(self) -> int:
        """Batches of one process."""
        per_process = -(-self.length // self.world)
        return -(-per_process // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[bool, int]]]:
        per_process = -(-self.length // self.world)
        mine = range(self.rank, per_process * self.world, self.world)
        pairs = [(i < self.length, min(i, self.length - 1)) for i in mine]
        for first in range(0, per_process, self.batch_size):
            yield pairs[first : first + self.batch_size]
