"""Reading by window: a crop gets the pixels of the whole file, and decodes no row below them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from miniature import ids, picture, save
from PIL import Image

from segscape.data import codecs
from segscape.data.base import FileDataset, LabelMap, open_sample
from segscape.data.codecs import decode_image, decode_label, read_bytes, read_image, read_label
from segscape.data.loader import TrainItems
from segscape.data.transforms import TrainTransform
from segscape.errors import UserError


class Files(FileDataset):
    classes = ("a", "b")
    palette = ((0, 0, 0), (9, 9, 9))

    def to_ids(self, raw: np.ndarray, path: Path) -> np.ndarray:
        return LabelMap({i: i for i in range(12)})(raw, path)


def test_the_first_rows_are_those_of_the_whole_file(tmp_path: Path) -> None:
    image, label = picture(1), ids(1)
    image_file = read_bytes(save(tmp_path / "image.png", image))
    label_file = read_bytes(save(tmp_path / "label.png", label))
    for stop in (1, 2, len(image) - 1, len(image), len(image) + 9):
        np.testing.assert_array_equal(decode_image(image_file, "", stop)[:stop], image[:stop])
        np.testing.assert_array_equal(decode_label(label_file, "", stop)[:stop], label[:stop])


@pytest.mark.skipif(codecs.imagecodecs is None, reason="imagecodecs is not installed")
def test_rows_below_the_crop_are_not_decoded(tmp_path: Path) -> None:
    image = picture(2)
    file = read_bytes(save(tmp_path / "image.png", image))
    assert decode_image(file, "", 3).shape[0] == 3


def test_without_imagecodecs_the_result_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, label = picture(3), ids(3)
    paths = save(tmp_path / "image.png", image), save(tmp_path / "label.png", label)
    monkeypatch.setattr(codecs, "imagecodecs", None)
    np.testing.assert_array_equal(read_image(paths[0]), image)
    np.testing.assert_array_equal(read_label(paths[1]), label)
    assert len(decode_image(read_bytes(paths[0]), "", 3)) == len(image)


def test_transparent_colours_stay(tmp_path: Path) -> None:
    image = picture(4)
    path = tmp_path / "image.png"
    Image.fromarray(image).save(path, transparency=tuple(int(v) for v in image[0, 0]))
    np.testing.assert_array_equal(read_image(path), image)


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "image.png", picture(5))
    file = bytearray(path.read_bytes())
    at = file.index(b"IDAT") + 40
    file[at : at + 60] = bytes(60)
    path.write_bytes(bytes(file))
    with pytest.raises(UserError, match=r"image\.png: .*damaged"):
        read_image(path)


def dataset(tmp_path: Path) -> Files:
    pairs = []
    for seed in range(3):
        names = tmp_path / f"{seed}.png", tmp_path / f"{seed}_ids.png"
        pairs.append((save(names[0], picture(seed)), save(names[1], ids(seed))))
    return Files(pairs)


def test_windows_of_a_file_are_windows_of_the_sample(tmp_path: Path) -> None:
    files = dataset(tmp_path)
    whole, lazy = files.read(1), files.open(1)
    assert lazy.size == whole.label.shape
    part = lazy.window(slice(3, 11), slice(5, 17))
    np.testing.assert_array_equal(part.image, whole.image[3:11, 5:17])
    np.testing.assert_array_equal(part.label, whole.label[3:11, 5:17])
    np.testing.assert_array_equal(lazy.label(), whole.label)


class Whole:
    """The same samples, without windows."""

    def __init__(self, files: Files) -> None:
        self.classes, self.palette, self.ignore_index = files.classes, files.palette, 255
        self.read, self.name, self.length = files.read, files.name, len(files)

    def __len__(self) -> int:
        return self.length


def test_training_samples_are_the_same_with_and_without_windows(tmp_path: Path) -> None:
    files = dataset(tmp_path)
    augment = TrainTransform((16, 20), scale=(0.5, 2.0))
    lazily, wholly = (TrainItems(d, augment, seed=4) for d in (files, Whole(files)))
    for epoch in range(12):
        for index in range(3):
            ours, theirs = lazily[epoch, index], wholly[epoch, index]
            np.testing.assert_array_equal(ours.image, theirs.image)
            np.testing.assert_array_equal(ours.label, theirs.label)
    assert open_sample(Whole(files), 0).size == files.open(0).size


def test_a_label_of_another_size_is_named_whatever_is_read(tmp_path: Path) -> None:
    files = dataset(tmp_path)
    save(files.pairs[0].label, np.vstack([ids(0), ids(0)]))
    height, width = files.open(0).size
    with pytest.raises(UserError, match=rf"0_ids\.png: the label is {width}x{2 * height}"):
        files.open(0).window(slice(0, 4), slice(0, 4))


def test_a_photograph_on_its_side_has_one_size(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "photo.jpg"
    Image.fromarray(picture(6)[:20, :30]).save(path, exif=exif)
    data = read_bytes(path)
    assert codecs.image_size(data, path) == decode_image(data, path).shape[:2] == (30, 20)
