"""Samples made of several: which pixels of which, only by (seed, epoch, index), and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segscape.data.base import Sample, WholeSample
from segscape.data.checks import quick_check
from segscape.data.loader import Failure, TrainItems
from segscape.data.transforms import TrainTransform
from segscape.errors import UserError

# Nothing but the mixture.
BARE: dict[str, Any] = {
    "scale": (1.0, 1.0),
    "flip": 0.0,
    "colour": "none",
    "mix_probability": 1.0,
}
MIXES = ("cutmix", "classmix", "copy_paste", "mosaic")


class Seen(WholeSample):
    """A sample that records the windows that are read."""

    def __init__(self, image: np.ndarray, label: np.ndarray) -> None:
        super().__init__(Sample(image, label))
        object.__setattr__(self, "windows", [])

    def window(self, rows: slice, columns: slice) -> Sample:
        self.windows.append((rows.stop - rows.start, columns.stop - columns.start))
        return super().window(rows, columns)


def flat(grey: int, size: int = 64) -> Seen:
    """An image of one grey level, striped into classes grey+0..grey+3 of 8 columns each."""
    label = np.tile((grey + np.arange(size) // 8 % 4).astype(np.uint8), (size, 1))
    return Seen(np.full((size, size, 3), grey, np.uint8), label)


def mixed(mix: str, seed: int, others: list[Seen], **options: Any) -> tuple[Sample, Seen]:
    given = iter(others)
    sample = flat(100)
    transform = TrainTransform((32, 48), mix=mix, **{**BARE, **options})
    done = transform.apply(sample, np.random.default_rng(seed), lambda rng: next(given))
    return done, sample


@pytest.mark.parametrize("mix", MIXES)
def test_every_pixel_is_of_one_sample_with_its_label(mix: str) -> None:
    for seed in range(10):
        greys = (20, 40, 60)
        done, _ = mixed(mix, seed, [flat(grey) for grey in greys])
        owners = done.image[..., 0].astype(int)
        assert set(np.unique(owners)) <= {100, *greys}
        inside = done.label.astype(int) - owners
        assert inside.min() >= 0 and inside.max() <= 3


def test_a_cutmix_is_a_box_and_reads_no_more_than_it() -> None:
    shares = []
    for seed in range(60):
        other = flat(20)
        done, sample = mixed("cutmix", seed, [other])
        of_other = done.image[..., 0] == 20
        rows, columns = np.flatnonzero(of_other.any(1)), np.flatnonzero(of_other.any(0))
        size = (rows[-1] + 1 - rows[0], columns[-1] + 1 - columns[0])
        assert of_other.sum() == size[0] * size[1]
        assert other.windows == [size] and sample.windows == [(32, 48)]
        shares.append(of_other.mean())
    assert min(shares) < 0.1 and max(shares) > 0.9 and 0.4 < np.mean(shares) < 0.6


def test_a_classmix_takes_half_of_the_classes_whole() -> None:
    for seed in range(10):
        done, _ = mixed("classmix", seed, [flat(20)])
        of_other = done.image[..., 0] == 20
        taken = np.unique(done.label[of_other])
        assert len(taken) == 2
        # classes are stripes of 8 columns: each is taken from top to bottom or not at all
        assert set(of_other.sum(0)) == {0, 32} and 16 <= (of_other.sum(0) > 0).sum() <= 32
    void = Seen(np.full((64, 64, 3), 20, np.uint8), np.full((64, 64), 255, np.uint8))
    done, _ = mixed("classmix", 0, [void])
    assert (done.image == 100).all()


def with_spot() -> Seen:
    sample = flat(20)
    sample.sample.label[50:54, 3:7] = 9
    return sample


def test_copy_paste_takes_the_rare_class_and_nothing_else() -> None:
    for seed in range(6):
        plain = flat(40)
        done, _ = mixed("copy_paste", seed, [plain, with_spot()], rare_classes=[9])
        of_other = done.image[..., 0] == 20
        assert of_other.sum() == 16
        np.testing.assert_array_equal(of_other, done.label == 9)
        # the first had none: its label was looked at, not its pixels
        assert plain.windows == []


def test_copy_paste_gives_up_after_some_samples() -> None:
    others = [flat(20) for _ in range(4)]
    done, _ = mixed("copy_paste", 0, others, rare_classes=[9])
    assert (done.image == 100).all() and not any(other.windows for other in others)


def test_copy_paste_by_itself_takes_the_rarer_half() -> None:
    other = with_spot()
    other.sample.label[:, 8:] = 20
    done, _ = mixed("copy_paste", 1, [other])
    of_other = done.image[..., 0] == 20
    assert set(np.unique(done.label[of_other])) <= {9, 20} and of_other.any()
    assert 0 < (done.label == 9).sum() == of_other.sum() <= 16


def test_a_mosaic_has_four_tiles_and_reads_each_at_its_size() -> None:
    corners = set()
    for seed in range(20):
        others = [flat(grey) for grey in (20, 40, 60)]
        done, sample = mixed("mosaic", seed, others)
        owners = done.image[..., 0]
        assert [owners[0, 0], owners[0, -1], owners[-1, 0], owners[-1, -1]] == [100, 20, 40, 60]
        row, column = int((owners[:, 0] == 100).sum()), int((owners[0] == 100).sum())
        assert 8 <= row <= 24 and 12 <= column <= 36
        corners.add((row, column))
        tiles = [tile.windows for tile in (sample, *others)]
        assert tiles == [
            [(row, column)],
            [(row, 48 - column)],
            [(32 - row, column)],
            [(32 - row, 48 - column)],
        ]
    assert len(corners) > 5


def test_a_mixture_has_its_probability_and_none_changes_nothing() -> None:
    sample = flat(100)
    half = TrainTransform((32, 48), mix="cutmix", **{**BARE, "mix_probability": 0.5})
    done = [
        half.apply(sample, np.random.default_rng(seed), lambda rng: flat(20))
        for seed in range(1000)
    ]
    assert 0.45 < np.mean([(d.image == 20).any() for d in done]) < 0.55

    def never(rng: np.random.Generator) -> Seen:
        raise AssertionError("nothing else is read")

    without = TrainTransform((32, 48), **{**BARE, "mix": "none"})
    assert (without.apply(sample, np.random.default_rng(0), never).image == 100).all()


class Split:
    """Samples that are identified by their grey level; sample 3 may be damaged."""

    classes = tuple("abcdefgh")
    palette = tuple((i, i, i) for i in range(8))
    ignore_index = 255

    def __init__(self, length: int = 6, damaged: int | None = None) -> None:
        self.length = length
        self.damaged = damaged
        self.read_indices: list[int] = []

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return str(index)

    def read(self, index: int) -> Sample:
        self.read_indices.append(index)
        if index == self.damaged:
            raise UserError(f"{index}.png: the image is damaged")
        rng = np.random.default_rng(index)
        label = np.kron(rng.integers(0, 8, (8, 8)), np.ones((8, 8))).astype(np.uint8)
        return Sample(np.full((64, 64, 3), 10 * index + 5, np.uint8), label)


@pytest.mark.parametrize("mix", MIXES)
def test_a_mixture_depends_on_seed_epoch_and_index_only(mix: str) -> None:
    transform = TrainTransform((32, 48), mix=mix, mix_probability=1.0)
    keys = [(epoch, index) for epoch in range(3) for index in range(6)]
    items = TrainItems(Split(), transform, seed=3)
    forth = {key: items[key] for key in keys}
    again = TrainItems(Split(), transform, seed=3)
    for key in reversed(keys):
        item = again[key]
        np.testing.assert_array_equal(item.image, forth[key].image)
        np.testing.assert_array_equal(item.label, forth[key].label)
    other_seed = TrainItems(Split(), transform, seed=4)
    assert any((other_seed[key].image != forth[key].image).any() for key in keys)


def test_partners_are_any_but_the_sample_itself() -> None:
    transform = TrainTransform((32, 48), mix="mosaic", **BARE)
    split = Split()
    items = TrainItems(split, transform, seed=0)
    partners = set()
    for epoch in range(30):
        split.read_indices = []
        items[epoch, 2]
        assert split.read_indices[0] == 2 and 2 not in split.read_indices[1:]
        partners |= {*split.read_indices[1:]}
    assert partners == {0, 1, 3, 4, 5}
    alone = TrainItems(Split(1), transform, seed=0)[0, 0]
    assert (alone.image == 5).all()


def test_a_damaged_partner_is_named() -> None:
    transform = TrainTransform((32, 48), mix="mosaic", **BARE)
    items = TrainItems(Split(damaged=3), transform, seed=0)
    failures = [item for epoch in range(10) if isinstance(item := items[epoch, 2], Failure)]
    assert failures and all(failure.what.startswith("3.png") for failure in failures)


def test_names_of_classes_are_checked_with_the_data() -> None:
    with pytest.raises(UserError, match="no class 'pole'"):
        TrainItems(Split(), TrainTransform((8, 8), rare_classes=["pole"]), seed=0)
    items = TrainItems(Split(), TrainTransform((8, 8), rare_classes=["c"]), seed=0)
    assert items.augment.placement.rare_classes == (2,)


def test_names_of_classes_are_checked_before_the_run() -> None:
    from segscape.data.datasets.streets.module import Streets

    augment = TrainTransform((32, 48), rare_probability=0.5, rare_classes=["pole", "trafic"])
    data = Streets(size=(32, 48), train_size=4, val_size=1, batch_size=1, augment=augment)
    with pytest.raises(UserError, match=r"augment\.rare_classes: the data has no class 'trafic'"):
        quick_check(data)
