"""segscape data prepare: prepared, prepared again, damaged sources, wrong requests."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segscape.commands.data_prepare import data_prepare
from segscape.data.datasets.camvid import CamVid
from segscape.data.storage import cache
from segscape.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "CamVid"
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 2)):
        for number in range(count):
            for folder, shape, most in ((split, (36, 48, 3), 256), (f"{split}annot", (36, 48), 12)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, most, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


def settings(root: Path, *more: str) -> list[str]:
    return ["data=camvid", f"data.root={root}", *more]


def test_a_store_is_filled_and_used(root: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    folder = tmp_path / "my cache"
    asked = [*settings(root, f"cache_dir={folder}"), "--workers", "2"]
    assert data_prepare(asked) == 0
    out = capsys.readouterr().out
    assert "train: 5 of 5 samples" in out and "val: 2 of 2 samples" in out
    assert f"train with: segscape train data=camvid data.root={root} data.cache=disk" in out
    assert f"'data.cache_dir={folder}'" in out
    assert len(list(folder.glob("*.samples"))) == 2
    kept = CamVid(root, cache="disk", cache_dir=folder).dataset("train")
    monkeypatch.setattr(kept.dataset, "read", None)  # nothing is decoded any more
    plain = CamVid(root).dataset("train")
    for index in range(5):
        np.testing.assert_array_equal(kept.read(index).image, plain.read(index).image)
    # a sample that was damaged in the store is written again
    with kept.store.path.open("r+b") as file:
        file.seek(int(kept.store.offsets[3]))
        file.write(bytes(1000))
    assert data_prepare(asked) == 0
    assert CamVid(root, cache="disk", cache_dir=folder).dataset("train").store.has(3)


def test_a_damaged_file_is_named_and_the_others_prepared(root: Path, tmp_path, capsys) -> None:
    (root / "trainannot" / "2.png").write_bytes(b"")
    (root / "train" / "4.png").write_bytes((root / "train" / "4.png").read_bytes()[:100])
    assert data_prepare([*settings(root, f"cache_dir={tmp_path / 'c'}"), "--workers", "1"]) == 2
    told = capsys.readouterr()
    assert "train: 3 of 5 samples" in told.out and "val: 2 of 2" in told.out
    assert f"damaged: {root}/trainannot/2.png: the file is empty" in told.err
    assert f"damaged: {root}/train/4.png" in told.err
    assert "2 samples of the train split cannot be read" in told.err
    assert "train with" not in told.out


def test_shards_are_written(root: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "shards"
    assert data_prepare([*settings(root, f"out={out}"), "--format", "webdataset"]) == 0
    told = capsys.readouterr().out
    assert "train: 5 samples in 1 shards" in told
    assert f"train with: segscape train data=camvid data.source={out}" in told
    packed = CamVid(source=out).dataset("val")
    np.testing.assert_array_equal(packed.read(1).label, CamVid(root).dataset("val").read(1).label)


def test_a_disk_without_room(root: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cache, "free_on_disk", lambda folder: 1_000_000_000)
    with pytest.raises(UserError, match=r"1\.0 GB free; the train split needs 0\.0 MB"):
        data_prepare(settings(root, f"cache_dir={tmp_path / 'c'}"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "litdata"], "--format litdata is not a choice"),
        (["--format", "webdatset"], "did you mean webdataset"),
        (["--format", "webdataset"], "out=DIR is needed"),
        (["--format", "webdataset", "out=x", "cache_dir=y"], "cache_dir= has no effect"),
        (["out=x"], "out= has no effect with --format store"),
        (["--workers", "0"], "--workers 0"),
        (["--shard-mb", "0"], "--shard-mb 0"),
        (["split=vall"], "did you mean val"),
    ],
)
def test_wrong_requests(root: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        data_prepare([*settings(root), *arguments])
    assert message in str(caught.value)


def test_a_killed_preparation_leaves_no_process_and_goes_on(root: Path, tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from segscape.data.datasets.camvid import CamVidDataset\n"
        "from segscape.commands.data_prepare import data_prepare\n"
        "whole = CamVidDataset.read\n"
        "def slow(self, index):\n"
        "    if index == 4:\n"
        "        print(os.getpid(), flush=True)\n"
        "        signal.pause()\n"
        "    return whole(self, index)\n"
        "CamVidDataset.read = slow\n"
        "data_prepare(sys.argv[1:])\n"
    )
    folder = tmp_path / "c"
    asked = [*settings(root, f"cache_dir={folder}", "split=train"), "--workers", "2"]
    started = subprocess.Popen(
        [sys.executable, "-c", script, *asked], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    worker = int(started.stdout.readline())
    ended = os.pidfd_open(worker)  # becomes readable when the process ends
    started.kill()
    started.wait()
    started.stdout.close()
    assert select.select([ended], [], [], 20)[0] == [ended]
    os.close(ended)
    assert data_prepare(asked) == 0
    store = CamVid(root, cache="disk", cache_dir=folder).dataset("train").store
    assert all(store.has(index) for index in range(5))
