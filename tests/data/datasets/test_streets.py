"""The streets: the same bytes everywhere, exact labels, all classes, one scene at any size."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from segscape.data.datasets.streets.render import CLASSES, PALETTE, render

_DIGEST = """
import hashlib
from segscape.data.datasets.streets.render import render
for index in (0, 5, 11):
    sample = render(3, index, (96, 160))
    print(hashlib.sha256(sample.image.tobytes() + sample.label.tobytes()).hexdigest())
"""


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.stack([render(1, index, (128, 256)).label for index in range(40)])


def test_another_process_draws_the_same_bytes() -> None:
    here = []
    for index in (11, 0, 5):  # another order: no scene depends on the one before
        sample = render(3, index, (96, 160))
        here.append(hashlib.sha256(sample.image.tobytes() + sample.label.tobytes()).hexdigest())
    run = subprocess.run(
        [sys.executable, "-c", _DIGEST], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.split() == [here[1], here[2], here[0]]


def test_seed_and_index_both_change_the_scene() -> None:
    samples = [render(seed, index, (64, 128)) for seed, index in ((0, 0), (0, 1), (1, 0))]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert (samples[first].label != samples[second].label).mean() > 0.05


@pytest.mark.parametrize("size", [(256, 512), (64, 64), (37, 101), (360, 480), (1, 1), (8, 200)])
def test_any_size(size: tuple[int, int]) -> None:
    for index in range(4):
        sample = render(0, index, size)
        assert sample.image.shape == (*size, 3)
        assert sample.image.dtype == sample.label.dtype == np.uint8
        assert sample.label.shape == size
        assert sample.label.flags["C_CONTIGUOUS"] and sample.image.flags["C_CONTIGUOUS"]


def test_size_that_is_no_size() -> None:
    with pytest.raises(ValueError, match="0x512"):
        render(0, 0, (0, 512))


def test_labels_are_ids_of_the_classes_or_void(labels: np.ndarray) -> None:
    assert len(CLASSES) == len(PALETTE) == len(set(PALETTE)) == 11
    assert set(np.unique(labels)) == {*range(11), 255}


def test_classes_are_as_frequent_as_in_camvid(labels: np.ndarray) -> None:
    share = np.bincount(labels.ravel(), minlength=256) / labels.size
    # Shares of the SegNet training labels; a class may be up to 2.2 times rarer or more frequent.
    camvid = {"sky": 0.17, "building": 0.23, "road": 0.32, "tree": 0.097, "car": 0.059}
    for name, expected in camvid.items():
        assert expected / 2.2 < share[CLASSES.index(name)] < expected * 2.2, name
    assert share[255] < 0.05


def test_rare_classes_are_in_many_scenes(labels: np.ndarray) -> None:
    for number, name in enumerate(CLASSES):
        seen = ((labels == number).sum(axis=(1, 2)) >= 8).mean()
        assert seen >= 0.3, name


def test_a_larger_picture_shows_the_same_scene() -> None:
    agreements = []
    for index in range(6):
        small, large = render(2, index, (128, 256)), render(2, index, (384, 768))
        agreements.append((small.label == large.label[1::3, 1::3]).mean())
        tones = [s.image.reshape(-1, 3).mean(axis=0) for s in (small, large)]
        assert np.abs(tones[0] - tones[1]).max() < 4
    assert min(agreements) > 0.9
    assert np.mean(agreements) > 0.95


def test_sky_is_above_the_road() -> None:
    for index in range(8):
        label = render(5, index, (96, 192)).label
        rows = np.arange(96)[:, None]
        sky, road = label == CLASSES.index("sky"), label == CLASSES.index("road")
        assert (rows * sky).sum() / sky.sum() < (rows * road).sum() / road.sum()
        assert not sky[-8:].any()


def test_image_edges_follow_label_edges() -> None:
    """Colour changes more across a border of the labels than inside a region."""
    across, inside = [], []
    for index in range(12):
        sample = render(4, index, (128, 256))
        step = np.abs(np.diff(sample.image.astype(np.int16), axis=1)).sum(axis=2)
        border = sample.label[:, 1:] != sample.label[:, :-1]
        across.append(step[border].mean())
        inside.append(step[~border].mean())
    assert np.mean(across) > 3 * np.mean(inside)
