"""ADEChallengeData2016 in miniature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from official_trees import DAMAGES, ade20k, as_palette, photograph

from segscape.data.checks import quick_check
from segscape.data.datasets.ade20k import ADE20K, CLASSES, PALETTE
from segscape.errors import UserError

EVERY_ID = np.arange(151, dtype=np.uint8)[None].repeat(2, axis=0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "ADEChallengeData2016"
    ade20k(root, "training", 2, np.full((30, 40), 150, np.uint8))
    ade20k(root, "training", 1, EVERY_ID)
    ade20k(root, "validation", 1, EVERY_ID)
    return root


def test_every_id_is_mapped(root: Path) -> None:
    train = ADE20K(root).dataset("train")
    assert [train.name(i) for i in range(2)] == ["ADE_train_00000001", "ADE_train_00000002"]
    sample = train.read(0)
    assert sample.label.tolist() == [[255, *range(150)]] * 2
    assert sample.image.shape == (2, 151, 3)
    assert train.read(1).label.shape == (30, 40)
    assert np.unique(train.read(1).label).tolist() == [149]
    assert ADE20K(root).dataset("val").name(0) == "ADE_val_00000001"


def test_export_adds_one(root: Path) -> None:
    data = ADE20K(root)
    label = data.dataset("val").read(0).label
    np.testing.assert_array_equal(data.to_submission(label), EVERY_ID)
    assert data.to_submission(label).dtype == np.uint8
    with pytest.raises(UserError, match=r"class 150 is none of data=ade20k"):
        data.to_submission(np.array([[3, 150]], np.uint8))


def test_classes(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "dataset_labels.json").read_text())["ade20k150"]
    assert list(CLASSES) == reference["classes"]
    assert [list(colour) for colour in PALETTE] == reference["palette"]


def test_classes_against_the_owners_numbers() -> None:
    # objectInfo150.txt: 1 wall, 21 car, 77 boat, 150 flag
    for number, name in ((1, "wall"), (21, "car"), (77, "boat"), (150, "flag")):
        assert CLASSES[number - 1] == name
    assert (len(CLASSES), len(set(PALETTE))) == (150, 149)


def test_the_test_split_has_images_only(root: Path) -> None:
    with pytest.raises(UserError, match=r"release_test/testing.*\n.*not public.*split=val"):
        ADE20K(root).dataset("test")
    photograph(root / "release_test" / "testing" / "ADE_test_00000001.jpg", 5, 7)
    test = ADE20K(root).dataset("test")
    assert (len(test), test.name(0)) == (1, "ADE_test_00000001")
    assert test.image(0).shape == (5, 7, 3)
    assert [file.name for file in test.files(0)] == ["ADE_test_00000001.jpg"]
    with pytest.raises(UserError, match=r"not public\nscore split=val"):
        quick_check(ADE20K(root), ("test",))


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_labels_are_named(root: Path, damage: str) -> None:
    label = root / "annotations" / "validation" / "ADE_val_00000001.png"
    spoil, message = DAMAGES[damage]
    spoil(label)
    with pytest.raises(UserError, match=rf"ADE_val_00000001\.png.*({message})"):
        ADE20K(root).dataset("val").read(0)


def test_palette_images_hold_ids_too(root: Path) -> None:
    as_palette(root / "annotations" / "validation" / "ADE_val_00000001.png")
    assert ADE20K(root).dataset("val").read(0).label.tolist() == [[255, *range(150)]] * 2


def test_strange_ids_are_named(root: Path) -> None:
    ade20k(root, "validation", 1, np.array([[3, 151, 255]], np.uint8))
    with pytest.raises(UserError, match=r"ADE_val_00000001\.png: label id 151, 255 .*\n.*0\.\.150"):
        ADE20K(root).dataset("val").read(0)


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=DIR is needed\n.*sceneparsing\.csail"):
        ADE20K().dataset("train")
    with pytest.raises(UserError, match=r"did you mean .*ADEChallengeData2016\?"):
        ADE20K(root.parent / "ADEChallengeData").dataset("train")
    with pytest.raises(UserError, match=r"no images images/training.*\ndid you mean data\.root="):
        ADE20K(root.parent).dataset("train")
    with pytest.raises(UserError, match=r"is a file, not a folder"):
        ADE20K(root / "objectInfo150.txt").dataset("train")
    (root / "annotations" / "training" / "ADE_train_00000002.png").unlink()
    with pytest.raises(UserError, match=r"_00000002\.png: there is no label for .*_00000002\.jpg"):
        ADE20K(root).dataset("train")
    (root / "images" / "training" / "ADE_train_00000002.jpg").unlink()
    assert len(ADE20K(root).dataset("train")) == 1
    (root / "images" / "training" / "ADE_train_00000001.jpg").rename(
        root / "images" / "training" / "ADE_train_00000007.jpg"
    )
    with pytest.raises(UserError, match=r"_00000007\.png: there is no label"):
        ADE20K(root).dataset("train")


def test_all_that_lack_a_label_are_counted(root: Path) -> None:
    for file in (root / "annotations" / "training").iterdir():
        file.unlink()
    with pytest.raises(UserError, match=r"\(2 of 2 images are without a label\)\nfetch ADE"):
        ADE20K(root).dataset("train")
