"""`segscape data check` names every damage of a tree, and none stops it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from miniature import Noise, NoiseModule, ids, picture, save
from official_trees import DAMAGES, as_palette, cityscapes

from segscape.data.checks import Report, inspect_data, quick_check
from segscape.data.checks.samples import count_ids, inspect_samples
from segscape.data.datasets.camvid import CamVid
from segscape.data.datasets.cityscapes import Cityscapes
from segscape.data.datasets.folder import Folder
from segscape.data.module import SegmentationDataModule
from segscape.data.transforms import Identity, TrainTransform
from segscape.errors import UserError
from segscape.losses.class_weights import class_weights

KINDS = {
    "empty": "unreadable",
    "cut_short": "unreadable",
    "coloured": "unreadable",
    "16_bits": "unreadable",
    "no_image": "unreadable",
    "other_size": "size",
    "directory": "unreadable",
    "strange_ids": "ids",
}


def _as_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _strange_ids(path: Path) -> None:
    label = ids(1, count=3)
    label[:2, :3] = 77
    save(path, label)


SPOILERS: dict[str, Callable[[Path], None]] = {
    **{name: spoil for name, (spoil, _) in DAMAGES.items() if name != "symlink_loop"},
    "directory": _as_directory,
    "strange_ids": _strange_ids,
}
assert SPOILERS.keys() == KINDS.keys()


def camvid(root: Path, **options: object) -> CamVid:
    given = {"batch_size": 2, "num_workers": 0, "augment": TrainTransform((16, 16))}
    return CamVid(root, **(given | options))  # type: ignore[arg-type]


def tree(root: Path, count: int) -> Path:
    """A data=folder tree of that many pairs in train, and two in val."""
    for split, names in (("train", range(count)), ("val", range(100, 102))):
        for number in names:
            name = f"straße {number}.png"
            save(root / "images" / split / name, picture(number))
            save(root / "labels" / split / name, ids(number, count=3))
    return root


def folder(root: Path, **options: object) -> Folder:
    given = {"batch_size": 2, "num_workers": 0, "augment": TrainTransform((16, 16))}
    return Folder(root, classes=["road", "car", "sky"], **(given | options))  # type: ignore[arg-type]


def files_of(report: Report, kind: str) -> list[Path]:
    return sorted(Path(p.file) for p in report.problems if p.kind == kind and p.file)


def test_a_whole_tree_is_counted_to_the_pixel(segnet_root: Path) -> None:
    # a label that its palette paints is as good as a grey one
    as_palette(segnet_root / "trainannot" / "straße.png")
    report = inspect_data(camvid(segnet_root))
    assert report.ok and report.complete and not report.problems
    train = report.splits["train"]
    assert (train.samples, train.checked, report.splits["val"].checked) == (4, 4, 2)
    assert train.sizes == {(36, 48): 4}
    expected = np.bincount(np.concatenate([ids(seed).ravel() for seed in (1, 2, 3, 4)]))
    np.testing.assert_array_equal(train.pixels[:11], expected[:11])
    assert train.pixels[255] == expected[11] and train.pixels[11:255].sum() == 0
    assert train.ignored == expected[11] / expected.sum()
    shares = (expected[:11] / expected[:11].sum()).tolist()
    assert report.weights["enet"] == class_weights("enet", shares)
    assert report.pace is not None and report.pace.samples == 4
    assert report.pace.epoch_seconds > 0


def test_every_damage_is_named_in_one_report(tmp_path: Path) -> None:
    root = tree(tmp_path / "my data", len(SPOILERS) + 4)
    labels = root / "labels" / "train"
    spoiled: dict[str, list[Path]] = {}
    for number, (name, spoil) in enumerate(SPOILERS.items()):
        path = labels / f"straße {number}.png"
        spoil(path)
        spoiled.setdefault(KINDS[name], []).append(path)
    report = inspect_data(folder(root))
    assert not report.ok
    for kind, paths in spoiled.items():
        assert files_of(report, kind) == sorted(paths), kind
    assert sum(p.fatal for p in report.problems) == len(SPOILERS)
    (strange,) = (p for p in report.problems if p.kind == "ids")
    assert "label id 77 is not known (6 of 1728 pixels)" in strange.what
    # what is right is counted all the same
    train = report.splits["train"]
    assert train.checked == len(SPOILERS) + 4 and train.sizes == {(36, 48): train.checked}
    assert train.pixels.sum() >= 4 * 36 * 48


@pytest.mark.parametrize("damage", ["empty", "cut_short", "no_image", "directory"])
def test_damaged_images_are_named(segnet_root: Path, damage: str) -> None:
    image = segnet_root / "train" / "with blank.png"
    SPOILERS[damage](image)
    report = inspect_data(camvid(segnet_root))
    kind = "missing" if damage == "directory" else "unreadable"
    assert files_of(report, kind) == [image] and not report.ok


def test_all_missing_files_are_named_not_only_the_first(segnet_root: Path) -> None:
    gone = [
        segnet_root / "train" / "with blank.png",
        segnet_root / "trainannot" / "straße.png",
        segnet_root / "valannot" / "0016E5_07959.png",
    ]
    for path in gone:
        path.unlink()
    gone[1].symlink_to(gone[1].name)  # in a circle
    data = camvid(segnet_root)
    report = inspect_data(data)
    assert files_of(report, "missing") == sorted(gone)
    (loop,) = (p for p in report.problems if p.file == str(gone[1]))
    assert "symbolic link" in loop.what
    assert report.splits["train"].checked == 2
    with pytest.raises(UserError) as caught:
        quick_check(data)
    for path in gone:
        assert str(path) in str(caught.value)
    assert "3 problems" in caught.value.what and "segscape data check" in str(caught.value.hint)


def test_folders_without_lists_and_labels_without_images(segnet_root: Path) -> None:
    (segnet_root / "train.txt").unlink()
    (segnet_root / "train" / "straße.png").unlink()
    (segnet_root / "trainannot" / "0006R0_f00930.png").unlink()
    report = inspect_data(camvid(segnet_root), ["train"])
    assert files_of(report, "missing") == [
        segnet_root / "train" / "straße.png",
        segnet_root / "trainannot" / "0006R0_f00930.png",
    ]


def test_cityscapes_names_every_frame_that_lacks_one_half(tmp_path: Path) -> None:
    for frame in range(6):
        label = cityscapes(tmp_path, "train", "aachen", frame, ids(frame, count=34))
        if frame < 2:
            label.unlink()
        if frame == 5:
            shutil.copy(label, label.with_name(label.name.replace("000005", "000009")))
    cityscapes(tmp_path, "val", "ulm", 7, ids(7, count=34))
    report = inspect_data(Cityscapes(tmp_path, batch_size=2, num_workers=0))
    names = [path.name for path in files_of(report, "missing")]
    assert names == [
        "aachen_000000_000000_gtFine_labelIds.png",
        "aachen_000000_000001_gtFine_labelIds.png",
        "aachen_000000_000009_leftImg8bit.png",
    ]
    assert report.splits["train"].checked == 4


def test_a_folder_that_is_not_there_is_said_once(tmp_path: Path) -> None:
    report = inspect_data(camvid(tmp_path / "nowhere"))
    (problem,) = report.problems
    assert problem.kind == "split" and problem.split == "train, val" and not report.ok
    assert "there is no such folder" in problem.what


def test_a_list_that_is_no_text(segnet_root: Path) -> None:
    (segnet_root / "val.txt").write_bytes(b"\xff\xfe\x00caf\xe9")
    report = inspect_data(camvid(segnet_root))
    (problem,) = report.problems
    assert (problem.kind, problem.split) == ("split", "val") and not report.ok


def test_a_file_that_may_not_be_read(segnet_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = segnet_root / "train" / "straße.png"
    fromfile = np.fromfile

    def guarded(path: Path, kind: type) -> np.ndarray:
        if path == closed:  # the tests may run as root, who may read everything
            raise PermissionError(13, "Permission denied")
        return fromfile(path, kind)

    monkeypatch.setattr(np, "fromfile", guarded)
    report = inspect_data(camvid(segnet_root))
    assert files_of(report, "unreadable") == [closed]
    assert "Permission denied" in report.problems[0].what


def test_the_same_image_in_two_splits(segnet_root: Path) -> None:
    shutil.copy(segnet_root / "train" / "with blank.png", segnet_root / "val" / "0016E5_07959.png")
    shutil.copy(segnet_root / "train" / "straße.png", segnet_root / "train" / "0001TP_006690.png")
    report = inspect_data(camvid(segnet_root))
    assert report.ok  # a training would run, its score would mean little
    (overlap,) = (p for p in report.problems if p.kind == "overlap")
    assert "0016E5_07959.png" in overlap.what and "with blank.png" in overlap.what
    (twice,) = (p for p in report.problems if p.kind == "repeated")
    assert "straße.png" in twice.what and "0001TP_006690.png" in twice.what


def test_equal_names_of_different_images_are_counted(tmp_path: Path) -> None:
    root = tree(tmp_path, 4)
    save(root / "images" / "val" / "straße 1.png", picture(500))
    save(root / "labels" / "val" / "straße 1.png", ids(500, count=3))
    (overlap,) = (p for p in inspect_data(folder(root)).problems if p.kind == "overlap")
    assert overlap.what.startswith("1 names are in train and val: straße 1")


def test_what_a_training_would_refuse(tmp_path: Path) -> None:
    root = tree(tmp_path, 4)
    for split in ("train", "val"):
        save(root / "images" / split / "wide.png", picture(9, 36, 60))
        save(root / "labels" / split / "wide.png", ids(9, 36, 60, count=3))
    assert inspect_data(folder(root)).ok
    refused = inspect_data(folder(root, batch_size=6, eval_batch_size=2, augment=Identity()))
    said = [p.what for p in refused.problems if p.kind == "refused"]
    assert len(said) == 3 and not refused.ok
    assert "5 samples, fewer than one batch" in said[0]
    assert "without a crop" in said[1] and "48x36, 60x36" in said[1]
    assert "data.eval_batch_size=2" in said[2]
    with pytest.raises(UserError, match="3 problems"):
        quick_check(folder(root, batch_size=6, eval_batch_size=2, augment=Identity()))


def test_labels_without_a_class_and_classes_without_a_pixel(tmp_path: Path) -> None:
    root = tree(tmp_path, 3)
    for number in range(3):
        save(root / "labels" / "train" / f"straße {number}.png", ids(number, count=2))
    save(root / "labels" / "train" / "straße 0.png", np.full((36, 48), 255, np.uint8))
    report = inspect_data(folder(root))
    assert report.ok
    assert files_of(report, "unlabelled") == [root / "images" / "train" / "straße 0.png"]
    (absent,) = (p for p in report.problems if p.kind == "classes")
    assert absent.what == "1 of 3 classes do not occur in train and cannot be learnt: sky"
    for number in (1, 2):
        save(root / "labels" / "train" / f"straße {number}.png", np.full((36, 48), 255, np.uint8))
    assert not inspect_data(folder(root), ["train"]).ok


def test_data_sets_without_files() -> None:
    class Wrong(Noise):
        def read(self, index: int):
            sample = super().read(index)
            sample.label[0, :3] = 2 if index == 1 else 0
            return sample

    report = inspect_data(NoiseModule(Noise(8, broken=5), batch_size=2, num_workers=0), ["train"])
    (problem,) = report.problems
    assert problem.kind == "unreadable" and problem.what.startswith("street.png: the file is empty")
    report = inspect_data(NoiseModule(Wrong(8), batch_size=2, num_workers=0), ["val"])
    assert [p.what for p in report.problems] == ["1: id 2 of no class (3 pixels)"]


def test_a_part_of_the_samples(segnet_root: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    report = inspect_data(camvid(segnet_root), sample=2, progress=lambda *said: seen.append(said))
    assert not report.complete and report.splits["train"].checked == 2
    assert seen == [("train", 1, 2), ("train", 2, 2), ("val", 1, 2), ("val", 2, 2)]
    again = inspect_data(camvid(segnet_root), sample=2)
    np.testing.assert_array_equal(report.splits["train"].pixels, again.splits["train"].pixels)


def test_threads_change_nothing(segnet_root: Path) -> None:
    dataset = camvid(segnet_root).dataset("train")
    one, four = (
        list(inspect_samples(dataset, "train", [3, 0, 2, 1], threads)) for threads in (1, 4)
    )
    assert [f.name for f in one] == [f.name for f in four]
    for a, b in zip(one, four, strict=True):
        np.testing.assert_array_equal(a.pixels, b.pixels)
        assert a.digest == b.digest == hashlib.sha1(Path(a.file).read_bytes()).digest()


def test_time_is_kept(segnet_root: Path) -> None:
    dataset = camvid(segnet_root).dataset("train")
    assert list(inspect_samples(dataset, "train", range(4), seconds=-1)) == []


def test_a_single_problem_before_a_training_keeps_its_words(segnet_root: Path) -> None:
    (segnet_root / "valannot" / "0016E5_07961.png").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        quick_check(camvid(segnet_root))
    assert caught.value.what.endswith("0016E5_07961.png: the file is empty (0 bytes)")


def test_a_quick_check_counts_processes(segnet_root: Path) -> None:
    data: SegmentationDataModule = camvid(segnet_root)
    quick_check(data, ["train"], 4.0, (0, 2))
    with pytest.raises(UserError, match="3 processes with"):
        quick_check(data, ["train"], 4.0, (0, 3))


def test_counts_are_exact_above_what_floats_hold() -> None:
    label = np.zeros((4097, 4099), np.uint8)
    label[0, 0] = 255
    counts = count_ids(label)
    assert counts[0] == 4097 * 4099 - 1 and counts[255] == 1 and counts.sum() == label.size
