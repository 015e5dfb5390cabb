"""data.cache: the same batches as without, one copy for all, kept apart by content."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import miniature
import numpy as np
import pytest
import torch
from miniature import Files, Noise, ids, picture, save

from segscape.data.base import SegmentationDataset, open_sample
from segscape.data.datasets.streets.module import Streets
from segscape.data.module import SegmentationDataModule
from segscape.data.storage import cache, versions
from segscape.data.storage.cache import (
    CachedDataset,
    cached,
    default_cache_dir,
    disk_store,
    memory_store,
)
from segscape.data.transforms import TrainTransform
from segscape.errors import UserError

needs_memfd = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs Linux")
KINDS = ["disk", pytest.param("memory", marks=needs_memfd)]


class Folder(SegmentationDataModule):
    name, classes, palette = "minifolder", Files.classes, Files.palette

    def __init__(self, root: Path, **options) -> None:
        super().__init__(**options)
        self.root = root

    def build_dataset(self, split: str) -> Files:
        return Files(self.root)


@pytest.fixture
def root(tmp_path: Path, monkeypatch) -> Path:
    # the notes of the memory cache
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for seed in range(7):
        height, width = 24 + seed, 40 - seed
        save(tmp_path / "data" / f"{seed}.png", picture(seed, height, width))
        label = np.array([0, 1, 9, 255], np.uint8)[ids(seed, height, width, 4)]
        save(tmp_path / "data" / "labels" / f"{seed}.png", label)
    return tmp_path / "data"


def two_epochs(data: SegmentationDataModule) -> list[torch.Tensor]:
    loader = data.train_dataloader()
    batches = [batch for _ in range(2) for batch in loader]
    batches += list(data.val_dataloader())
    data.teardown()
    return [tensor for batch in batches for tensor in batch.values()]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_do_not_depend_on_the_cache(
    root: Path, tmp_path: Path, kind: str, workers: int
) -> None:
    options = {"augment": TrainTransform((16, 20)), "batch_size": 3, "seed": 3}
    plain = two_epochs(Folder(root, num_workers=0, **options))
    options |= {"num_workers": workers, "cache": kind, "cache_dir": tmp_path / "cache"}
    for _ in range(2):  # while it is filled, and from then on
        through = two_epochs(Folder(root, **options))
        assert len(through) == len(plain)
        for ours, theirs in zip(through, plain, strict=True):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_is_decoded_once(root: Path, tmp_path: Path, kind: str) -> None:
    files = Files(root)
    kept = cached(files, kind, "minifolder-train", tmp_path / "cache")
    assert isinstance(kept, CachedDataset) and isinstance(kept, SegmentationDataset)
    for _ in range(3):
        for index in range(len(kept)):
            part = open_sample(kept, index).window(slice(3, 9), slice(2, 30))
            whole = Files(root).read(index)
            np.testing.assert_array_equal(part.image, whole.image[3:9, 2:30])
            np.testing.assert_array_equal(open_sample(kept, index).label(), whole.label)
            assert open_sample(kept, index).size == whole.label.shape
            np.testing.assert_array_equal(kept.read(index).image, whole.image)
    assert len(files.decoded) == len(files) == 7
    # everything else is the data set's own
    assert kept.name(1) == "1" and kept.files(1) == files.files(1)
    assert cached(files, "none", "x") is files


@pytest.mark.parametrize("kind", KINDS)
def test_jobs_share_one_copy(root: Path, tmp_path: Path, kind: str) -> None:
    first = cached(Files(root), kind, "minifolder-train", tmp_path / "cache")
    first.read(4)
    for _ in range(2):
        files = Files(root)
        other = cached(files, kind, "minifolder-train", tmp_path / "cache")
        other.read(4)
        assert files.decoded == []
    script = (
        "import sys, tempfile; from pathlib import Path\n"
        "from miniature import Files; from segscape.data.storage.cache import cached\n"
        "tempfile.tempdir = sys.argv[1]; files = Files(Path(sys.argv[1]) / 'data')\n"
        "kept = cached(files, sys.argv[2], 'minifolder-train', Path(sys.argv[1]) / 'cache')\n"
        "print(kept.read(4).image.sum(), len(files.decoded))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path), kind],
        capture_output=True,
        text=True,
        cwd=Path(miniature.__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(first.read(4).image.sum()), "0"]


def test_other_files_or_another_mapping_are_another_store(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    first = disk_store(Files(root), "minifolder-train", folder)
    assert disk_store(Files(root), "minifolder-train", folder).path == first.path
    assert disk_store(Files(root, target=1), "minifolder-train", folder).path != first.path
    # moved as it is: the same content
    moved = root.rename(tmp_path / "elsewhere")
    assert disk_store(Files(moved), "minifolder-train", folder).path == first.path
    file = moved / "labels" / "2.png"
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    changed = disk_store(Files(moved), "minifolder-train", folder)
    assert changed.path != first.path
    assert first.path in cache.other_versions(changed)
    assert sorted(folder.iterdir()) == sorted([changed.path, *cache.other_versions(changed)])


def test_content_version_follows_the_code_of_generated_samples(monkeypatch) -> None:
    options = {"size": (32, 64), "train_size": 2}
    small, same, large = (
        versions.content_version(Streets(**(options | more)).dataset("train"))
        for more in ({}, {"seed": 4}, {"size": (64, 64)})
    )
    assert small == same != large
    monkeypatch.setattr(versions, "DECODING_VERSION", 2)
    assert versions.content_version(Streets(**options).dataset("train")) != small


@needs_memfd
def test_generated_scenes_in_memory(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plain, kept = (
        Streets((32, 64), train_size=2, cache=kind).dataset("train") for kind in ("none", "memory")
    )
    for _ in range(2):
        np.testing.assert_array_equal(kept.read(1).image, plain.read(1).image)
    assert kept.store.has(1) and not kept.store.has(0)


def test_a_damaged_file_is_named_as_without_a_cache(root: Path, tmp_path: Path) -> None:
    (root / "3.png").write_bytes((root / "3.png").read_bytes()[:300])
    (root / "5.png").write_bytes(b"")
    for kind in ("none", "disk"):
        kept = cached(Files(root), kind, "minifolder-train", tmp_path / "cache")
        with pytest.raises(UserError, match=r"3\.png: the image is damaged or cut short"):
            kept.read(3)
        with pytest.raises(UserError, match=r"5\.png: the file is empty"):
            open_sample(kept, 5)
            kept.read(5)
        assert kept.read(4).label.shape == (28, 36)


def test_a_damaged_store_is_made_anew(root: Path, tmp_path: Path, caplog) -> None:
    kept = cached(Files(root), "disk", "minifolder-train", tmp_path / "cache")
    expected = kept.read(2)
    kept.store.path.write_bytes(b"nothing of ours")
    with caplog.at_level(logging.WARNING):
        again = cached(Files(root), "disk", "minifolder-train", tmp_path / "cache")
    assert "made again" in caplog.text
    np.testing.assert_array_equal(again.read(2).image, expected.image)
    # cut short while it is in use: the sample is decoded
    os.truncate(again.store.path, int(again.store.offsets[2]) + 10)
    np.testing.assert_array_equal(again.read(2).image, expected.image)
    np.testing.assert_array_equal(again.open(2).label(), expected.label)


def test_what_does_not_fit_is_said_before(root: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(cache, "available_memory", lambda: cache.RESERVE + 10_000)
    with pytest.raises(UserError) as caught:
        memory_store(Files(root), "minifolder-train")
    assert "the train split of minifolder needs 0.0 GB for 7 samples" in caught.value.what
    assert "data.cache=disk" in (caught.value.hint or "")
    monkeypatch.setattr(cache, "free_on_disk", lambda folder: 5_000)
    with caplog.at_level(logging.WARNING):
        kept = cached(Files(root), "disk", "minifolder-train", tmp_path / "cache")
    assert "samples that do not fit are decoded every time" in caplog.text
    assert kept.read(0).label.shape == (24, 40) and not kept.store.has(0)


def test_a_folder_that_cannot_be_used(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"data\.cache_dir=DIR"):
        disk_store(Files(root), "minifolder-train", tmp_path / "file")


def test_default_folder(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_cache_dir() == tmp_path / "segscape"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_cache_dir() == Path("/home/somebody/.cache/segscape")


HOLD = """
import signal, sys, tempfile
import miniature
from segscape.data.storage.cache import memory_store
tempfile.tempdir = sys.argv[1]
store = memory_store(miniature.Noise(3), "noise-train")
store.put(0, miniature.Noise(3).read(0))
print(store.path, flush=True)
signal.pause()
"""


@needs_memfd
def test_memory_is_gone_with_a_killed_process(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(miniature.__file__).parent,
    )
    try:
        assert holder.stdout is not None
        place = holder.stdout.readline().strip()
        there = memory_store(Noise(3), "noise-train")
        assert str(there.path) == place and there.has(0)
    finally:
        holder.kill()
        holder.wait()
    # it stays for processes that have it open, and no other finds it any more
    assert there.has(0) and there.window(0, slice(0, 4), slice(0, 4)) is not None
    fresh = memory_store(Noise(3), "noise-train")
    assert not fresh.has(0)
    assert not Path(place).exists()
