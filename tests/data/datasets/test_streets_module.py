"""The built-in data set as a data module."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from segscape.data.base import SegmentationDataset
from segscape.data.checks import quick_check
from segscape.data.datasets.streets.module import Streets, StreetsDataset
from segscape.data.transforms import TrainTransform
from segscape.errors import UserError


def test_splits_are_different_scenes_of_one_town() -> None:
    data = Streets((64, 128), train_size=3, val_size=2, test_size=2, num_workers=0, batch_size=2)
    quick_check(data, ("train", "val", "test"))
    first = [data.dataset(split).read(0) for split in ("train", "val", "test")]
    for sample in first:
        assert sample.image.shape == (64, 128, 3) and sample.label.shape == (64, 128)
        assert set(np.unique(sample.label)) <= {*range(11), 255}
    assert (first[0].image != first[1].image).any() and (first[1].image != first[2].image).any()
    assert isinstance(data.dataset("val"), SegmentationDataset)
    assert data.dataset("val").name(1) == "val_00001"
    np.testing.assert_array_equal(StreetsDataset("val", 2, (64, 128)).read(0).image, first[1].image)
    assert len(data.dataset("train")) == 3 and data.num_classes == 11
    with pytest.raises(IndexError):
        data.dataset("val").read(2)


def test_seed_shuffles_but_scene_seed_builds() -> None:
    options = {"train_size": 4, "num_workers": 0, "batch_size": 4}
    base, shuffled, other = (
        Streets((32, 64), seed=seed, scene_seed=town, **options)
        for seed, town in ((0, 0), (1, 0), (0, 1))
    )
    np.testing.assert_array_equal(
        base.dataset("train").read(2).image, shuffled.dataset("train").read(2).image
    )
    assert (base.dataset("train").read(2).image != other.dataset("train").read(2).image).any()


def test_scenes_are_drawn_alike_in_workers() -> None:
    batches = []
    for workers in (0, 1):
        data = Streets(
            (48, 96),
            train_size=4,
            batch_size=2,
            num_workers=workers,
            augment=TrainTransform((32, 48)),
            crop=[32, 48],
        )
        batches.append(list(data.train_dataloader()))
    for alone, worker in zip(*batches, strict=True):
        assert torch.equal(alone["image"], worker["image"])
        assert torch.equal(alone["label"], worker["label"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": [256]}, r"data\.size"),
        ({"train_size": 0}, r"data\.train_size=0"),
        ({"val_size": 10**8}, r"data\.val_size=100000000 .*\n.*from 1 to 10000000"),
        ({"scene_seed": -1}, r"data\.scene_seed=-1"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Streets(**options)
