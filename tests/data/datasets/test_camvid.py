"""CamVid in both layouts, and damaged copies of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from miniature import SEGNET_NAMES, ids, picture, save
from official_trees import DAMAGES, as_palette

from segscape.data.checks import quick_check
from segscape.data.codecs import read_label
from segscape.data.datasets.camvid import CamVid, CamVidDataset
from segscape.data.datasets.camvid_labels import CLASSES, COLOURS, PALETTE, colour_ids
from segscape.errors import UserError


@pytest.fixture
def original_root(tmp_path: Path) -> Path:
    """The originals: RGB labels that hold each of the 32 colours."""
    root = tmp_path / "original"
    colours = np.array([*colour_ids(), *colour_ids()], np.uint8).reshape(2, 32, 3)
    for name in ("0001TP_006690", "0016E5_07959"):
        save(root / "701_StillsRaw_full" / f"{name}.png", picture(1, 2, 32))
        save(root / "LabeledApproved_full" / f"{name}_L.png", colours)
    (root / "train.txt").write_text("0001TP_006690\n")
    (root / "val.txt").write_text(
        "/SegNet/CamVid/val/0016E5_07959.png /SegNet/CamVid/valannot/0016E5_07959.png\n"
    )
    return root


def test_segnet_layout_is_read_in_the_order_of_its_list(segnet_root: Path) -> None:
    train = CamVidDataset(segnet_root, "train")
    assert [train.name(i) for i in range(len(train))] == SEGNET_NAMES["train"]
    sample = train.read(2)
    np.testing.assert_array_equal(sample.image, picture(3))
    expected = ids(3)
    expected[expected == 11] = 255
    np.testing.assert_array_equal(sample.label, expected)
    assert len(CamVidDataset(segnet_root, "val", layout="segnet")) == 2


def test_second_column_is_what_is_read(segnet_root: Path) -> None:
    other = save(segnet_root / "better" / "fixed label.png", ids(99))
    (segnet_root / "train.txt").write_text(
        f"train/with blank.png better/fixed label.png\n{segnet_root}/train/straße.png\t{other}\n",
        encoding="utf-8",
    )
    train = CamVidDataset(segnet_root, "train")
    expected = ids(99)
    expected[expected == 11] = 255
    for i in range(2):
        np.testing.assert_array_equal(train.read(i).label, expected)


def test_without_lists_the_folders_are_paired(segnet_root: Path) -> None:
    (segnet_root / "train.txt").unlink()
    train = CamVidDataset(segnet_root, "train")
    assert [train.name(i) for i in range(len(train))] == sorted(SEGNET_NAMES["train"])
    (segnet_root / "trainannot" / "with blank.png").unlink()
    with pytest.raises(UserError, match=r"with blank\.png: there is no label for"):
        CamVidDataset(segnet_root, "train")
    (segnet_root / "train" / "with blank.png").unlink()
    (segnet_root / "train" / "straße.png").unlink()
    with pytest.raises(UserError, match=r"there is no image for .*straße"):
        CamVidDataset(segnet_root, "train")


def test_listed_file_that_is_missing_is_named(segnet_root: Path) -> None:
    (segnet_root / "valannot" / "0016E5_07961.png").unlink()
    with pytest.raises(
        UserError, match=r"0016E5_07961\.png: the file does not exist\n.*val\.txt, line 2"
    ):
        CamVidDataset(segnet_root, "val")
    (segnet_root / "val.txt").write_text("val/0016E5_07959.png\n")
    with pytest.raises(UserError, match=r"val\.txt, line 1: expected two columns"):
        CamVidDataset(segnet_root, "val")
    (segnet_root / "val.txt").write_text("\n")
    with pytest.raises(UserError, match="the list is empty"):
        CamVidDataset(segnet_root, "val")


def test_export_gives_the_ids_of_segnet() -> None:
    ids = np.array([[*range(11), 255]], np.uint8)
    assert CamVid().to_submission(ids).tolist() == [[*range(12)]]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_labels_are_named(segnet_root: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(segnet_root / "trainannot" / "with blank.png")
    with pytest.raises(UserError, match=rf"with blank\.png.*({message})"):
        CamVidDataset(segnet_root, "train").read(2)


def test_palette_images_hold_ids_too(segnet_root: Path) -> None:
    before = CamVidDataset(segnet_root, "train").read(2).label
    as_palette(segnet_root / "trainannot" / "with blank.png")
    np.testing.assert_array_equal(CamVidDataset(segnet_root, "train").read(2).label, before)


def test_damaged_samples_are_named(segnet_root: Path) -> None:
    train = CamVidDataset(segnet_root, "train")
    labels = segnet_root / "trainannot"
    save(labels / "0001TP_006690.png", ids(1, 36, 50))
    with pytest.raises(UserError, match=r"trainannot.0001TP_006690\.png: the label is 50x36, but"):
        train.read(0)
    save(labels / "0001TP_006690.png", ids(1, count=14))
    with pytest.raises(UserError, match=r"0001TP_006690\.png: label id 12, 13 is not known"):
        train.read(0)
    save(labels / "0001TP_006690.png", picture(1))
    with pytest.raises(UserError, match=r"0001TP_006690\.png: the label is a colour image"):
        train.read(0)


@pytest.mark.parametrize("merge", ["segnet", "strict"])
def test_original_layout_merges(original_root: Path, merge: str) -> None:
    sample = CamVidDataset(original_root, "train", merge=merge).read(0)
    # void, then the 31 others class by class, each base colour first
    expected = [255]
    for number, name in enumerate(CLASSES):
        merged = len(COLOURS[name]) - 1
        expected += [number] + [number if merge == "segnet" else 255] * merged
    np.testing.assert_array_equal(sample.label, [expected, expected])
    assert CamVidDataset(original_root, "val", merge=merge).name(0) == "0016E5_07959"


def test_original_layout_names_what_is_wrong(original_root: Path) -> None:
    with pytest.raises(UserError, match=r"test\.txt: the list of the test split is missing"):
        CamVidDataset(original_root, "test")
    label = original_root / "LabeledApproved_full" / "0001TP_006690_L.png"
    save(label, np.full((2, 32, 3), 9, np.uint8))
    with pytest.raises(UserError, match=r"_L\.png: label colour \(9, 9, 9\) is not known"):
        CamVidDataset(original_root, "train").read(0)
    save(label, ids(1, 2, 32))
    with pytest.raises(UserError, match=r"_L\.png: the label has one channel"):
        CamVidDataset(original_root, "train").read(0)
    label.unlink()
    with pytest.raises(UserError, match=r"_L\.png: the file does not exist\n.*train\.txt, line 1"):
        CamVidDataset(original_root, "train")


def test_wrong_requests_name_the_nearest(segnet_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=DIR is needed"):
        quick_check(CamVid())
    with pytest.raises(UserError, match=r"no such folder\ndid you mean .*CamVid\?.*cam\.ac\.uk"):
        quick_check(CamVid(root=segnet_root.parent / "camvid"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="does not look like CamVid"):
        quick_check(CamVid(root=tmp_path / "empty"))
    with pytest.raises(UserError, match=r"not a choice\ndid you mean data\.layout=segnet\?"):
        CamVid(root=segnet_root, layout="segnett")
    with pytest.raises(UserError, match=r"data\.merge=strict needs the original labels"):
        quick_check(CamVid(root=segnet_root, merge="strict"))
    with pytest.raises(UserError, match="the test split is missing"):
        CamVid(root=segnet_root).dataset("test")
    with pytest.raises(UserError, match="4 samples, fewer than one batch"):
        quick_check(CamVid(root=segnet_root, batch_size=5))
    quick_check(CamVid(root=segnet_root, batch_size=4))


def test_classes_agree_with_the_reference(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "dataset_labels.json").read_text())
    colours = {name: list(rgb) for group in COLOURS.values() for name, rgb in group.items()}
    assert colours | {"Void": [0, 0, 0]} == reference["camvid32_rgb"]
    palette = reference["camvid11"]["palette_color_of_first_source_class"]
    assert [list(colour) for colour in PALETTE] == palette


def test_real_labels_have_the_published_frequencies(shared: Path) -> None:
    train = CamVidDataset(shared / "data" / "camvid", "train")
    assert (len(train), len(CamVidDataset(train.root, "val"))) == (367, 101)
    counts = np.zeros(256, np.int64)
    for i in range(len(train)):
        counts += np.bincount(read_label(train.pairs[i].label).ravel(), minlength=256)
    share = 100 * counts / counts.sum()
    # systems.md 16.2, % of all pixels
    published = [16.85, 23.26, 0.98, 31.66, 4.49, 9.72, 1.17, 1.13, 5.87, 0.64, 0.29]
    np.testing.assert_allclose(share[:11], published, atol=0.0051)
    assert share[11] == pytest.approx(3.95, abs=0.0051)
    sample = train.read(200)
    assert sample.image.shape == (360, 480, 3) and sample.label.shape == (360, 480)


def test_a_damaged_file_in_the_middle_is_found_before_training(segnet_root: Path) -> None:
    quick_check(CamVid(root=segnet_root, batch_size=2))
    broken = segnet_root / "train" / "with blank.png"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(UserError, match=r"with blank\.png"):
        quick_check(CamVid(root=segnet_root, batch_size=2))
