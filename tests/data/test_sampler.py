"""Orders of samples: complete, shuffled by (seed, epoch), equal for any number of processes."""

from __future__ import annotations

import pytest

from segscape.data.sampler import EvalOrder, TrainOrder
from segscape.errors import UserError


def flat(batches) -> list[tuple[int, int]]:
    return [pair for batch in batches for pair in batch]


def test_epochs_are_permutations_without_the_incomplete_batch() -> None:
    order = TrainOrder(23, 4, seed=3)
    assert len(order) == 5
    epochs = [flat(order.batches(epoch)) for epoch in range(3)]
    for number, pairs in enumerate(epochs):
        assert {epoch for epoch, _ in pairs} == {number}
        assert len(pairs) == 20 == len({index for _, index in pairs})
    indices = [[index for _, index in pairs] for pairs in epochs]
    assert indices[0] != indices[1] != indices[2] != sorted(indices[2])
    assert flat(TrainOrder(23, 4, seed=3).batches(1)) == epochs[1]
    assert flat(TrainOrder(23, 4, seed=4).batches(1)) != epochs[1]


def test_any_batch_is_where_it_would_have_been() -> None:
    order = TrainOrder(23, 4)
    whole = list(order.batches(2))
    for start in range(6):
        order.epoch, order.start_batch = 2, start
        assert list(order) == whole[start:]
        assert len(order) == 5


def test_iterator_keeps_the_position_it_was_made_at() -> None:
    order = TrainOrder(8, 2)
    first = iter(order)
    order.epoch, order.start_batch = 5, 3
    assert list(first) == list(order.batches(0))


def test_processes_share_the_global_batch() -> None:
    single = list(TrainOrder(50, 8, seed=1).batches(4))
    ranks = [list(TrainOrder(50, 4, seed=1, rank=r, world=2).batches(4)) for r in range(2)]
    assert [a + b for a, b in zip(*ranks, strict=True)] == single


def test_less_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match=r"7 samples, fewer than one batch of data\.batch_size=8\n"):
        TrainOrder(7, 8)
    with pytest.raises(UserError, match=r"2 processes .*\nuse data\.batch_size=3 or less"):
        TrainOrder(7, 4, world=2)


@pytest.mark.parametrize("length", [1, 2, 7, 12])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_evaluation_takes_each_sample_once(length: int, world: int, batch_size: int) -> None:
    orders = [EvalOrder(length, batch_size, rank, world) for rank in range(world)]
    batches = [list(order) for order in orders]
    assert {len(b) for b in batches} == {len(o) for o in orders} == {len(batches[0])}
    pairs = [pair for b in batches for pair in flat(b)]
    assert sorted(index for valid, index in pairs if valid) == list(range(length))
    assert sum(not valid for valid, _ in pairs) < world
    assert all(0 <= index < length for _, index in pairs)
