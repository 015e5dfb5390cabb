"""A user's own data: patterns, lists, and what labels mean."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from miniature import picture, save
from official_trees import DAMAGES, as_palette

from segscape.data.checks import quick_check
from segscape.data.datasets.folder import Folder
from segscape.errors import UserError

CLASSES = ["road", "car", "sky"]
LABEL = np.array([[0, 1, 2, 255], [2, 2, 1, 0]], np.uint8)
COLOURS = {"road": [128, 64, 128], "car": [[0, 0, 142], [0, 0, 143]], "ignore": [0, 0, 0]}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "my data"
    for split, names in (("train", ["a street", "straße", "b"]), ("val", ["c"])):
        for number, name in enumerate(names):
            save(root / "images" / split / f"{name}.png", picture(number, 2, 4))
            save(root / "labels" / split / f"{name}.png", LABEL)
    return root


def test_the_usual_folders_need_no_patterns(root: Path) -> None:
    data = Folder(root, CLASSES, batch_size=1)
    quick_check(data)
    train = data.dataset("train")
    assert [train.name(i) for i in range(3)] == ["a street", "b", "straße"]
    assert train.read(0).label.tolist() == LABEL.tolist()
    np.testing.assert_array_equal(train.read(2).image, picture(1, 2, 4))
    assert data.num_classes == len(data.palette) == len(set(data.palette)) == 3
    with pytest.raises(UserError, match=r"images/test/\* matches no image.*\n.*train/, val/"):
        data.dataset("test")


def test_all_options_are_seen_by_the_checks() -> None:
    parameters = inspect.signature(Folder).parameters
    assert {"root", "label_map", "batch_size", "cache"} <= parameters.keys()


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("leftImg/SPLIT/*/*_img.jpg", "gt/SPLIT/*/*_ids.png"),
        ("leftImg/SPLIT/**/*_img.jpg", "gt/SPLIT/**/*_ids.png"),
        ({"val": "leftImg/val/*/*_img.*"}, {"val": "gt/val/*/*_ids.png"}),
        ({"val": "leftImg/val/**/*"}, "same/**/*.*"),
        ("leftImg/SPLIT/[tu]own?/*_img.jpg", "gt/SPLIT/[!ab]own?/*_ids.png"),
    ],
)
def test_patterns_pair_what_their_stars_stand_for(root: Path, images: str, labels: str) -> None:
    for town, value in (("town1", 1), ("town2", 2)):
        save(root / "leftImg" / "val" / town / "0_img.jpg", picture(0, 2, 4))
        label = save(root / "gt" / "val" / town / "0_ids.png", np.full((2, 4), value, np.uint8))
        other = root / "same" / town / "0_img.png"
        other.parent.mkdir(parents=True)
        other.write_bytes(label.read_bytes())
    save(root / "gt" / "val" / "town3" / "0_ids.png", LABEL)  # a label to spare
    val = Folder(root, CLASSES, images=images, labels=labels).dataset("val")
    assert [val.name(i) for i in range(len(val))] == ["town1_0_img", "town2_0_img"]
    assert [int(val.read(i).label[0, 0]) for i in range(2)] == [1, 2]


def test_patterns_that_do_not_fit_say_what_was_found(root: Path) -> None:
    (root / "labels" / "train" / "straße.png").rename(root / "labels" / "train" / "strasse.png")
    with pytest.raises(UserError, match=r"straße\.png: there is no label.*\n.*3 files.*'strasse'"):
        Folder(root, CLASSES).dataset("train")
    with pytest.raises(UserError, match=r"no image file in .*my data\n.*my data holds images/, l"):
        Folder(root, CLASSES, images="pictures/SPLIT/*.jpg").dataset("train")
    with pytest.raises(UserError, match=r"has 2 stars, data\.labels=labels/train/\* 1"):
        Folder(root, CLASSES, images="images/*/*").dataset("train")
    with pytest.raises(UserError, match=r"data\.labels=labels/train has no star"):
        Folder(root, CLASSES, labels="labels/SPLIT").dataset("train")
    with pytest.raises(UserError, match=r"has no entry for the split val\nit has train: x/\*"):
        Folder(root, CLASSES, images={"train": "x/*"}).dataset("val")
    save(root / "images" / "val" / "c.jpg", picture(1, 2, 4))
    with pytest.raises(UserError, match=r"two files for one sample\n.*c\.jpg and .*c\.png"):
        Folder(root, CLASSES).dataset("val")
    with pytest.raises(UserError, match=r"data\.images and data\.labels, or data\.lists"):
        Folder(root, CLASSES, labels=None).dataset("val")


def test_lists(root: Path) -> None:
    (root / "train.txt").write_text(
        "images/train/a street.png labels/train/a street.png\n\n"
        "images/train/straße.png\tlabels/train/b.png\n"
        f"{root}/images/train/b.png   {root}/labels/train/b.png\n",
        encoding="utf-8",
    )
    train = Folder(root, CLASSES, lists="SPLIT.txt").dataset("train")
    assert [train.name(i) for i in range(3)] == ["a street", "straße", "b"]
    assert [file.name for file in train.files(1)] == ["straße.png", "b.png"]
    assert train.read(1).label.tolist() == LABEL.tolist()
    with pytest.raises(UserError, match=r"val\.txt: the list of pairs: .*\n.*holds .*train\.txt"):
        Folder(root, CLASSES, lists="SPLIT.txt").dataset("val")
    for text, message in (
        ("images/val/c.png\n", r"val\.txt, line 1: expected two columns"),
        ("images/val/d.png labels/val/c.png\n", r"d\.png: the file does not exist\n.*line 1"),
        ("\n", r"val\.txt: the list is empty"),
    ):
        (root / "val.txt").write_text(text)
        with pytest.raises(UserError, match=message):
            Folder(root, CLASSES, lists={"val": "val.txt"}).dataset("val")
    (root / "val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file in UTF-8"):
        Folder(root, CLASSES, lists="SPLIT.txt").dataset("val")


def test_label_maps(root: Path) -> None:
    label = np.array([[7, 8, 11, 0, 3, 255]], np.uint8)
    save(root / "labels" / "val" / "c.png", label)
    save(root / "images" / "val" / "c.png", picture(0, 1, 6))
    given = {7: "road", "8": 0, 11: "sky", 0: "ignore", 3: 255}
    val = Folder(root, CLASSES, label_map=given).dataset("val")
    assert val.read(0).label.tolist() == [[0, 0, 2, 255, 255, 255]]
    with pytest.raises(UserError, match=r"c\.png: label id 3, 255 is not known"):
        del given[3]
        Folder(root, CLASSES, label_map=given, label_ignore=None).dataset("val").read(0)
    val = Folder(root, CLASSES, label_map=given, label_ignore=[3, 255]).dataset("val")
    assert val.read(0).label.tolist() == [[0, 0, 2, 255, 255, 255]]
    (root / "map.json").write_text(json.dumps({"7": "car", "8": 2, "11": 2, "0": 2, "3": 2}))
    val = Folder(root, CLASSES, label_map=str(root / "map.json")).dataset("val")
    assert val.read(0).label.tolist() == [[1, 2, 2, 2, 2, 255]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({7: "rood"}, "there is no class 'rood'\ndid you mean road"),
        ({7: 3}, r"there is no class 3\n.*0\.\.2"),
        ({256: 1}, "256 is no id of a label file"),
        ({"seven": 1}, "'seven' is no id of a label file"),
        ([1, 2], "expected a mapping"),
        ({255: "road"}, r"data\.label_ignore=255 is class 'road' in data\.label_map"),
        ("nowhere.yaml", "there is no such file"),
    ],
)
def test_wrong_label_maps(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Folder("x", CLASSES, label_map=given)  # type: ignore[arg-type]


def test_painted_labels(root: Path) -> None:
    painted = np.array([[[128, 64, 128], [0, 0, 142], [0, 0, 143], [0, 0, 0]]], np.uint8)
    save(root / "labels" / "val" / "c.png", painted)
    save(root / "images" / "val" / "c.png", picture(0, 1, 4))
    two = CLASSES[:2]
    val = Folder(root, two, label_format="colours", label_colours=COLOURS).dataset("val")
    assert val.read(0).label.tolist() == [[0, 1, 1, 255]]
    painted[0, 3] = 9
    save(root / "labels" / "val" / "c.png", painted)
    with pytest.raises(UserError, match=r"c\.png: label colour \(9, 9, 9\) is not known"):
        val.read(0)
    colours = [[128, 64, 128], [0, 0, 142]]
    save(root / "labels" / "val" / "c.png", painted[:, [0, 1, 1, 0]])
    val = Folder(root, two, colours, label_format="colours").dataset("val")
    assert val.read(0).label.tolist() == [[0, 1, 1, 0]]
    save(root / "labels" / "val" / "c.png", np.zeros((1, 4), np.uint8))
    with pytest.raises(UserError, match=r"c\.png: the label has one channel"):
        val.read(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_colours": {"road": [1, 2]}}, r"label_colours\.road: \[1, 2\] is no colour"),
        ({"label_colours": {"road": [1, 2, 300]}}, "is no colour"),
        ({"label_colours": {"rod": [1, 2, 3]}}, "no class 'rod'\ndid you mean road"),
        ({"label_colours": {"road": [1, 2, 3], "car": [1, 2, 3]}}, "is both 'road' and 'car'"),
        ({"label_colours": {"road": [1, 2, 3]}}, "no colour for car, sky"),
        ({"label_map": {1: "road"}}, r"data\.label_map has no effect"),
        ({}, "needs the colours of the labels"),
        ({"label_format": "ids", "label_colours": COLOURS}, r"label_colours has no effect"),
        ({"label_format": "colors"}, "did you mean data.label_format=colours"),
    ],
)
def test_wrong_colours(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Folder("x", CLASSES, **{"label_format": "colours", **options})


def test_palette_images_hold_ids_or_colours(root: Path) -> None:
    path = root / "labels" / "val" / "c.png"
    as_palette(path)
    assert Folder(root, CLASSES).dataset("val").read(0).label.tolist() == LABEL.tolist()
    shown = np.random.default_rng(0).integers(0, 256, 768, np.uint8).reshape(256, 3)
    colours = {name: shown[i].tolist() for i, name in enumerate(CLASSES)}
    colours["ignore"] = shown[255].tolist()
    painted = Folder(root, CLASSES, label_format="colours", label_colours=colours)
    assert painted.dataset("val").read(0).label.tolist() == LABEL.tolist()


def test_classes_from_files(tmp_path: Path) -> None:
    names, both = tmp_path / "names.yaml", tmp_path / "both.json"
    names.write_text("- road\n- straße\n", encoding="utf-8")
    both.write_text(json.dumps({"classes": ["a", "b"], "palette": [[1, 2, 3], [4, 5, 6]]}))
    assert Folder(classes=str(names)).classes == ("road", "straße")
    data = Folder(classes=str(both))
    assert (data.classes, data.palette) == (("a", "b"), ((1, 2, 3), (4, 5, 6)))
    assert Folder(classes=["x", "y"], palette=str(both)).palette == ((1, 2, 3), (4, 5, 6))
    names.write_text("road: [")
    for classes, palette, message in (
        (None, None, r"names of the classes: data\.classes"),
        ([], None, "names of the classes"),
        (["a", "b", "a"], None, "has a twice"),
        ([str(i) for i in range(255)], None, "has 255 names"),
        (["a"], [[1, 2, 3], [1, 2, 4]], "2 colours for 1 classes"),
        (["a"], [[1, 2, -3]], "is no colour"),
        (str(names), None, "neither yaml nor JSON"),
        ("nowhere.yaml", None, "there is no such file"),
    ):
        with pytest.raises(UserError, match=message):
            Folder(classes=classes, palette=palette)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_labels_are_named(root: Path, damage: str) -> None:
    spoil, message = DAMAGES[damage]
    spoil(root / "labels" / "train" / "straße.png")
    with pytest.raises(UserError, match=rf"straße\.png.*({message})"):
        Folder(root, CLASSES).dataset("train").read(2)


def test_the_root_must_be_there(root: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=DIR is needed"):
        quick_check(Folder(classes=CLASSES))
    with pytest.raises(UserError, match=r"no such folder\ndid you mean .*my data\?"):
        quick_check(Folder(root.parent / "my dat", CLASSES))


def test_circles_of_links_end(root: Path) -> None:
    (root / "images" / "val" / "again").symlink_to("..")
    (root / "images" / "val" / "self").symlink_to("self")
    val = Folder(root, CLASSES, images="images/SPLIT/**/*", labels="labels/SPLIT/**/*")
    assert len(val.dataset("val")) == 1
