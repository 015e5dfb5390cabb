"""Both releases of COCO-Stuff in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from official_trees import DAMAGES, as_palette, cocostuff10k, cocostuff164k

from segscape.data.datasets.cocostuff import CLASSES, NEVER, PALETTE, CocoStuff10k, CocoStuff164k
from segscape.errors import UserError

# of the 164k; those of the 10k are one higher
ABSENT = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}
PRESENT = [number for number in range(182) if number not in ABSENT]
MAPS = np.array([[*PRESENT, 255]], np.uint8)
MATS = np.array([[*(number + 1 for number in PRESENT), 0]], np.uint16)
EXPECTED = [[*range(171), 255]]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    root = tmp_path / "cocostuff-10k-v1.1"
    cocostuff10k(root, "train", 77, np.vstack([MATS, MATS[:, ::-1]]))
    cocostuff10k(root, "train", 9, np.full((20, 30), 182))
    cocostuff10k(root, "test", 88, MATS)
    return root


@pytest.fixture
def large(tmp_path: Path) -> Path:
    root = tmp_path / "coco"
    cocostuff164k(root, "train2017", 9, MAPS)
    cocostuff164k(root, "train2017", 25, np.full((20, 30), 181, np.uint8))
    cocostuff164k(root, "val2017", 139, MAPS)
    return root


def test_every_number_of_the_10k_is_mapped(small: Path) -> None:
    data = CocoStuff10k(small)
    train = data.dataset("train")
    # in the order of the list
    assert [train.name(i)[-3:] for i in range(len(train))] == ["077", "009"]
    assert train.read(0).label.tolist() == [*EXPECTED, EXPECTED[0][::-1]]
    assert np.unique(train.read(1).label).tolist() == [170]
    for split in ("val", "test"):
        assert data.dataset(split).name(0) == "COCO_train2014_000000000088"
    np.testing.assert_array_equal(data.to_submission(np.uint8(EXPECTED)), MATS)


def test_windows_of_the_10k(small: Path) -> None:
    train = CocoStuff10k(small).dataset("train")
    part = train.open(0).window(slice(1, 2), slice(3, 60))
    whole = train.read(0)
    np.testing.assert_array_equal(part.label, whole.label[1:2, 3:60])
    np.testing.assert_array_equal(part.image, whole.image[1:2, 3:60])


def test_every_number_of_the_164k_is_mapped(large: Path) -> None:
    data = CocoStuff164k(large)
    train = data.dataset("train")
    assert [train.name(i) for i in range(len(train))] == ["000000000009", "000000000025"]
    assert train.read(0).label.tolist() == EXPECTED
    assert np.unique(train.read(1).label).tolist() == [170]
    assert data.dataset("val").read(0).label.tolist() == EXPECTED
    np.testing.assert_array_equal(data.to_submission(np.uint8(EXPECTED)), MAPS)
    with pytest.raises(UserError, match="test2017 are not public"):
        data.dataset("test")


def test_maps_and_classes_are_the_reference(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "dataset_labels.json").read_text())
    assert list(CLASSES) == reference["cocostuff171"]["classes"]
    assert [list(colour) for colour in PALETTE] == reference["cocostuff171"]["palette"]
    own = {str(number): i for i, number in enumerate(PRESENT)} | {"255": 255}
    assert reference["cocostuff164k_id_to_train"] == own
    # there 0 stays 0, and one is taken off afterwards: 0 becomes 255
    for number, position in reference["cocostuff10k_id_to_train"].items():
        found = CocoStuff10k.file_ids[(position - 1) % 256]
        assert found == int(number)


def test_classes_against_the_owners_numbers() -> None:
    # labels.txt: 1 person, 92 banner, 149 road, 182 wood
    for number, name in ((1, "person"), (92, "banner"), (149, "road"), (182, "wood")):
        assert CLASSES[PRESENT.index(number - 1)] == name
    assert (len(CLASSES), len(set(PALETTE))) == (171, 162)


@pytest.mark.parametrize("number", NEVER)
def test_numbers_that_never_occur_are_errors(small: Path, large: Path, number: int) -> None:
    cocostuff10k(small, "train", 77, np.full((2, 3), number))
    with pytest.raises(UserError, match=rf"000077\.mat: label id {number} is not known"):
        CocoStuff10k(small).dataset("train").read(0)
    cocostuff164k(large, "val2017", 139, np.full((2, 3), number - 1, np.uint8))
    with pytest.raises(UserError, match=rf"000139\.png: label id {number - 1} is not known"):
        CocoStuff164k(large).dataset("val").read(0)


def test_numbers_out_of_range_are_errors(small: Path, large: Path) -> None:
    for number in (183, 254, 255, 256 + 3, 65535):
        cocostuff10k(small, "train", 77, np.full((2, 3), number))
        with pytest.raises(UserError, match=rf"000077\.mat: label id {number} is not known"):
            CocoStuff10k(small).dataset("train").read(0)
    cocostuff164k(large, "val2017", 139, np.full((2, 3), 182, np.uint8))
    with pytest.raises(UserError, match="label id 182 is not known"):
        CocoStuff164k(large).dataset("val").read(0)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_maps_are_named(large: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(large / "annotations" / "val2017" / "000000000139.png")
    with pytest.raises(UserError, match=rf"000000000139\.png.*({message})"):
        CocoStuff164k(large).dataset("val").read(0)


def test_palette_images_hold_ids_too(large: Path) -> None:
    as_palette(large / "annotations" / "val2017" / "000000000139.png")
    assert CocoStuff164k(large).dataset("val").read(0).label.tolist() == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>", "cannot be read as a MATLAB file"),
        (b"MATLAB 5.0 MAT-file" + bytes(200), "MATLAB"),
    ],
)
def test_damaged_mat_files_are_named(small: Path, content: bytes, message: str) -> None:
    path = small / "annotations" / "COCO_train2014_000000000088.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"000088\.mat.*{message}"):
        CocoStuff10k(small).dataset("val").read(0)


def test_mat_files_cut_short_are_named(small: Path) -> None:
    path = small / "annotations" / "COCO_train2014_000000000077.mat"
    whole = path.read_bytes()
    # S is the first field: what is cut off behind it does no harm
    for length in range(1, 200, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"000077\.mat"):
            CocoStuff10k(small).dataset("train").read(0)


def test_mat_files_with_other_content_are_named(small: Path) -> None:
    from scipy.io import savemat

    path = small / "annotations" / "COCO_train2014_000000000088.mat"
    for fields, message in (
        ({"T": np.zeros((2, 2))}, "has no field S"),
        ({"S": np.zeros((2, 2))}, r"S is \(2, 2\) float64"),
        ({"S": np.zeros((2, 2, 3), np.uint8)}, r"S is \(2, 2, 3\) uint8"),
        ({"S": np.full((1, 172), -1, np.int16)}, "label id -1 is not known"),
        ({"S": np.zeros((2, 172), np.uint16)}, r"the label is 172x2, but .*88\.jpg is 172x1"),
    ):
        savemat(path, fields)
        with pytest.raises(UserError, match=rf"000088\.mat.*{message}"):
            CocoStuff10k(small).dataset("val").read(0)


def test_what_is_missing_of_the_10k_is_named(small: Path) -> None:
    with pytest.raises(UserError, match=r"DIR is needed\n.*cocostuff-10k-v1\.1\.zip.*nightrome"):
        CocoStuff10k().dataset("train")
    with pytest.raises(UserError, match=r"list imageLists/train\.txt\ndid you mean data\.root="):
        CocoStuff10k(small.parent).dataset("train")
    (small / "annotations" / "COCO_train2014_000000000009.mat").unlink()
    with pytest.raises(UserError, match=r"009\.mat: the file does not exist\n.*train\.txt, line 2"):
        CocoStuff10k(small).dataset("train")
    (small / "imageLists" / "train.txt").write_text("\n")
    with pytest.raises(UserError, match=r"train\.txt: the list is empty"):
        CocoStuff10k(small).dataset("train")


def test_what_is_missing_of_the_164k_is_named(large: Path) -> None:
    with pytest.raises(UserError, match=r"DIR is needed\n.*stuffthingmaps_trainval2017\.zip"):
        CocoStuff164k().dataset("train")
    with pytest.raises(UserError, match=r"no images train2017/\*\.jpg\ndid you mean data\.root="):
        CocoStuff164k(large.parent).dataset("train")
    (large / "annotations" / "train2017" / "000000000025.png").unlink()
    with pytest.raises(UserError, match=r"25\.png: there is no label for .*25\.jpg"):
        CocoStuff164k(large).dataset("train")
    (large / "images" / "train2017" / "000000000025.jpg").unlink()
    (large / "images" / "train2017" / "000000000009.jpg").unlink()
    cocostuff164k(large, "train2017", 26, MAPS)
    with pytest.raises(UserError, match=r"09\.jpg: there is no image for .*09\.png"):
        CocoStuff164k(large).dataset("train")


@pytest.mark.parametrize("place", ["stuffthingmaps", "stuffthingmaps_trainval2017", ""])
def test_the_zip_files_may_lie_side_by_side(large: Path, place: str) -> None:
    if place:
        (large / "annotations").rename(large / place)
    else:  # both unpacked into one folder: photographs and labels side by side
        for year in ("train2017", "val2017"):
            (large / "images" / year).rename(large / year)
            for label in (large / "annotations" / year).iterdir():
                label.rename(large / year / label.name)
        converted = large / "val2017" / "000000000139_labelTrainIds.png"
        converted.write_bytes(b"of mmsegmentation")
    assert CocoStuff164k(large).dataset("val").read(0).label.tolist() == EXPECTED
