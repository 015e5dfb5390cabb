"""The official layout of Cityscapes in miniature: every label id lands where it belongs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from miniature import picture, save
from official_trees import DAMAGES, as_palette, cityscapes

from segscape.data.checks import quick_check
from segscape.data.datasets.cityscapes import CLASSES, PALETTE, Cityscapes
from segscape.errors import UserError

# id -> trainId as the Cityscapes scripts define them; every other id is not scored.
SCORED = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
SCORED |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}
# 255 is the licence plate, -1
IDS = np.array([[*range(34), 255]], np.uint8)
EXPECTED = [[SCORED.get(int(i), 255) for i in IDS[0]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cityscapes"
    cityscapes(root, "val", "lindau", 1, IDS)
    cityscapes(root, "val", "frankfurt", 2, IDS)
    cityscapes(root, "train", "aachen", 19, IDS)
    return root


def converted(label: Path, ids: np.ndarray) -> Path:
    """What csCreateTrainIdLabelImgs writes beside a labelIds file."""
    return save(label.with_name(label.name.replace("labelIds", "labelTrainIds")), ids)


def test_every_id_is_mapped(root: Path) -> None:
    dataset = Cityscapes(root).dataset("val")
    assert [dataset.name(i) for i in range(2)] == [
        "frankfurt_000000_000002",
        "lindau_000000_000001",
    ]
    assert dataset.read(0).label.tolist() == EXPECTED
    np.testing.assert_array_equal(dataset.read(0).image, picture(2, 1, 35))


def test_classes_are_the_reference(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "dataset_labels.json").read_text())["cityscapes"]
    assert list(CLASSES) == reference["classes"]
    assert [list(colour) for colour in PALETTE] == reference["palette"]


def test_export_gives_label_ids(root: Path) -> None:
    assert (CLASSES[0], CLASSES[13], PALETTE[13]) == ("road", "car", (0, 0, 142))
    data = Cityscapes(root)
    ids = data.to_submission(np.array([[*range(19), 255]], np.uint8))
    assert ids.tolist() == [[*SCORED, 0]]
    with pytest.raises(UserError, match="class 19 is none of data=cityscapes"):
        data.to_submission(np.array([[19]], np.uint8))


def test_training_ids_are_read_when_all_are_there(root: Path) -> None:
    labels = sorted((root / "gtFine" / "val").glob("*/*_labelIds.png"))
    frankfurt, lindau = labels
    converted(frankfurt, np.array(EXPECTED, np.uint8))
    other = converted(lindau, np.full((1, 35), 4, np.uint8))
    dataset = Cityscapes(root).dataset("val")
    assert dataset.read(0).label.tolist() == EXPECTED
    assert dataset.read(1).label.tolist() == [[4] * 35]
    assert dataset.files(1)[1] == other
    # one is missing: the download itself is read
    other.unlink()
    dataset = Cityscapes(root).dataset("val")
    assert dataset.files(0)[1] == frankfurt
    assert dataset.read(1).label.tolist() == EXPECTED


def test_other_training_ids_are_found_out(root: Path) -> None:
    label = next((root / "gtFine" / "train").glob("*/*_labelIds.png"))
    converted(label, np.array([[1] * 35], np.uint8))
    with pytest.raises(UserError, match=r"not those of aachen_000000_000019_gtFine_labelIds\.png"):
        Cityscapes(root).dataset("train")
    converted(label, IDS)
    with pytest.raises(UserError, match=r"labelTrainIds\.png: label id 19.*is not known"):
        Cityscapes(root).dataset("train")


def test_coarse_frames_are_added_to_the_training(root: Path) -> None:
    with pytest.raises(UserError, match=r"train_extra/CITY.*\n.*gtCoarse\.zip"):
        Cityscapes(root, coarse=True).dataset("train")
    cityscapes(root, "train_extra", "augsburg", 0, IDS[:, ::-1].copy(), "gtCoarse")
    withdrawn = cityscapes(root, "train_extra", "troisdorf", 73, IDS, "gtCoarse")
    next((root / "leftImg8bit" / "train_extra" / "troisdorf").iterdir()).unlink()
    assert withdrawn.is_file()
    both = Cityscapes(root, coarse=True)
    train = both.dataset("train")
    assert [train.name(i)[:8] for i in range(len(train))] == ["aachen_0", "augsburg"]
    assert train.read(0).label.tolist() == EXPECTED
    assert train.read(1).label.tolist() == [EXPECTED[0][::-1]]
    assert len(both.dataset("val")) == 2
    assert len(Cityscapes(root).dataset("train")) == 1


def test_the_test_split_has_images_only(root: Path) -> None:
    with pytest.raises(UserError, match=r"no images leftImg8bit/test.*\n.*not public.*split=val"):
        Cityscapes(root).dataset("test")
    save(
        root / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png",
        picture(5, 4, 6),
    )
    test = Cityscapes(root).dataset("test")
    assert (len(test), test.name(0)) == (1, "berlin_000000_000019")
    np.testing.assert_array_equal(test.image(0), picture(5, 4, 6))
    with pytest.raises(UserError, match=r"not public\nscore split=val"):
        quick_check(Cityscapes(root), ("test",))


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=DIR.*\n.*gtFine_trainvaltest\.zip from https"):
        Cityscapes().dataset("train")
    with pytest.raises(UserError, match="no such folder"):
        Cityscapes(tmp_path / "nowhere").dataset("train")
    with pytest.raises(UserError, match=r"no images.*\ndid you mean data\.root=.*cityscapes\?"):
        Cityscapes(tmp_path).dataset("train")
    label = next((root / "gtFine" / "val" / "lindau").glob("*_labelIds.png"))
    label.unlink()
    with pytest.raises(UserError, match=r"lindau_000000_000001_gtFine_labelIds\.png: there is no"):
        Cityscapes(root).dataset("val")
    next((root / "leftImg8bit" / "train" / "aachen").iterdir()).rename(
        root / "leftImg8bit" / "train" / "aachen" / "aachen_000000_000020_leftImg8bit.png"
    )
    with pytest.raises(UserError, match=r"000020_gtFine_labelIds\.png: there is no label"):
        Cityscapes(root).dataset("train")


def test_a_label_without_its_image_is_named(root: Path) -> None:
    next((root / "leftImg8bit" / "val" / "lindau").iterdir()).unlink()
    with pytest.raises(
        UserError, match=r"lindau_000000_000001_leftImg8bit\.png: there is no image"
    ):
        Cityscapes(root).dataset("val")


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_labels_are_named(root: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(next((root / "gtFine" / "train" / "aachen").glob("*_labelIds.png")))
    with pytest.raises(UserError, match=rf"aachen_000000_000019_gtFine_labelIds.*({message})"):
        Cityscapes(root).dataset("train").read(0)


def test_palette_images_hold_ids_too(root: Path) -> None:
    as_palette(next((root / "gtFine" / "train" / "aachen").glob("*_labelIds.png")))
    assert Cityscapes(root).dataset("train").read(0).label.tolist() == EXPECTED


def test_circles_of_links_are_named(root: Path) -> None:
    bochum = root / "leftImg8bit" / "train" / "bochum"
    bochum.symlink_to("bochum")
    with pytest.raises(UserError, match=r"bochum: is a symbolic link that leads nowhere"):
        Cityscapes(root).dataset("train")
    bochum.unlink()
    bochum.symlink_to(".")
    assert len(Cityscapes(root).dataset("train")) == 1


def test_unknown_ids_are_named(root: Path) -> None:
    cityscapes(root, "val", "lindau", 1, np.full((2, 2), 77, np.uint8))
    with pytest.raises(UserError, match=r"lindau.*77"):
        Cityscapes(root).dataset("val").read(1)
