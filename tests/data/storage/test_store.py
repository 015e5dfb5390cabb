"""The store of decoded samples: windows, killed writers, torn samples, full disks, memory."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from miniature import ids, picture

from segscape.data.base import Sample
from segscape.data.storage import store as module
from segscape.data.storage.store import SampleStore, format_store, store_bytes

SIZES = np.array([[36, 48], [7, 5], [0, 0], [64, 33]])


def sample(index: int) -> Sample:
    height, width = SIZES[index]
    return Sample(picture(index, height, width), ids(index, height, width))


def unlimited() -> None:
    return None


def make(path: Path, sizes: np.ndarray = SIZES) -> SampleStore:
    with path.open("wb") as file:
        assert format_store(file.fileno(), sizes) == store_bytes(sizes)
    return SampleStore(path, unlimited)


@pytest.fixture
def store(tmp_path: Path) -> SampleStore:
    return make(tmp_path / "a.samples")


def test_windows_of_what_was_put(store: SampleStore) -> None:
    assert len(store) == 4 and store.nbytes == store.path.stat().st_size
    for index in (3, 0, 1):
        assert not store.has(index) and not store.written(index)
        assert store.put(index, sample(index))
        assert store.has(index) and store.written(index) and store.whole_on_disk(index)
    for index in (0, 1, 3):
        expected = sample(index)
        height, width = store.size(index)
        for rows, columns in (
            (slice(0, height), slice(0, width)),
            (slice(2, height - 1), slice(1, 4)),
            (slice(height - 1, height), slice(width - 1, width)),
        ):
            found = store.window(index, rows, columns)
            assert found is not None
            np.testing.assert_array_equal(found.image, expected.image[rows, columns])
            np.testing.assert_array_equal(found.label, expected.label[rows, columns])
        np.testing.assert_array_equal(store.label(index), expected.label)


def test_a_sample_of_another_size_is_not_kept(store: SampleStore) -> None:
    assert not store.put(1, sample(0)) and not store.has(1)
    # its header could not be read: no place
    assert not store.put(2, sample(0)) and not store.has(2)


def test_another_process_and_a_worker_see_it(store: SampleStore, tmp_path: Path) -> None:
    store.put(0, sample(0))
    assert SampleStore(store.path, unlimited).has(0)
    copy = pickle.loads(pickle.dumps(store))
    assert copy.has(0) and not copy.has(1)
    copy.put(1, sample(1))
    assert store.has(1)


def test_a_torn_sample_counts_as_not_written(store: SampleStore) -> None:
    """An entry that reached the disk before a power cut, and pixels that did not."""
    store.put(0, sample(0))
    store.put(1, sample(1))
    with store.path.open("r+b") as file:
        file.seek(int(store.offsets[0]) + 500)
        file.write(bytes(300))
    again = SampleStore(store.path, unlimited)
    assert again.written(0) and not again.has(0) and not again.whole_on_disk(0)
    assert again.has(1)
    again.put(0, sample(0))
    assert SampleStore(store.path, unlimited).has(0)


def test_a_killed_writer_leaves_a_usable_store(store: SampleStore, monkeypatch) -> None:
    class Killed(BaseException):
        pass

    written: list[int] = []
    whole = os.pwrite

    def stop(file: int, data: memoryview, place: int) -> int:
        if len(written) == 1:
            raise Killed
        written.append(place)
        return whole(file, data, place)

    monkeypatch.setattr(os, "pwrite", stop)
    with pytest.raises(Killed):
        store.put(0, sample(0))
    monkeypatch.undo()
    assert written == [int(store.offsets[0])]
    for reader in (store, SampleStore(store.path, unlimited)):
        assert not reader.has(0)
    assert store.put(0, sample(0)) and SampleStore(store.path, unlimited).has(0)


def test_a_full_disk_stops_the_writing_only(store: SampleStore, monkeypatch, caplog) -> None:
    store.put(0, sample(0))

    def full(*_) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with caplog.at_level(logging.WARNING):
        assert not store.put(1, sample(1)) and not store.put(3, sample(3))
    assert [r.getMessage() for r in caplog.records] == [
        f"{store.path}: no more samples are kept (No space left on device); they are decoded"
    ]
    monkeypatch.undo()
    assert not store.put(3, sample(3)) and not store.has(3)
    assert store.has(0)


def test_some_of_the_disk_is_left_to_others(store: SampleStore, caplog) -> None:
    store.room = lambda: module.RESERVE + 4 * 36 * 48 - 1
    with caplog.at_level(logging.WARNING):
        assert not store.put(0, sample(0))
    assert "1.1 GB are left, of which 1 GB is kept free" in caplog.text
    fresh = SampleStore(store.path, lambda: module.RESERVE + 4 * 36 * 48)
    assert fresh.put(0, sample(0))


def test_a_store_that_may_not_be_written_is_read(store: SampleStore, monkeypatch) -> None:
    store.put(0, sample(0))
    whole = os.open

    def refuse(path: Path, flags: int, *rest: int) -> int:
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return whole(path, flags, *rest)

    monkeypatch.setattr(os, "open", refuse)
    reader = SampleStore(store.path, unlimited)
    assert reader.has(0) and not reader.put(1, sample(1)) and not reader.has(1)


def test_a_file_that_is_cut_short(store: SampleStore, tmp_path: Path) -> None:
    store.put(3, sample(3))
    os.truncate(store.path, int(store.offsets[3]) + 100)
    assert store.window(3, slice(0, 64), slice(0, 33)) is None and store.label(3) is None
    for content in (store.path.read_bytes(), b"", bytes(5000)):
        (tmp_path / "b").write_bytes(content)
        with pytest.raises(ValueError):
            SampleStore(tmp_path / "b", unlimited)


MEASURE = """
import sys
from pathlib import Path
import numpy as np
from segscape.data.storage.store import SampleStore

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return max(int(l.split()[1]) for l in lines if l.startswith(("VmHWM", "VmRSS")))

store = SampleStore(Path(sys.argv[1]), lambda: None)
rng = np.random.default_rng(0)

def epoch():
    for index in rng.permutation(len(store)):
        assert store.has(index)
        assert store.window(index, slice(20, 200), slice(30, 400)).label.size == 180 * 370

store.window(0, slice(0, 256), slice(0, 512))
before = resident()
epoch(); epoch()
print(resident() - before, store.nbytes // 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")
def test_an_epoch_does_not_grow_the_memory(tmp_path: Path) -> None:
    """Of a store ten times as large as what may be grown by; peak, not only the end."""
    store = make(tmp_path / "large", np.full((160, 2), (256, 512)))
    for index in range(len(store)):
        store.put(index, Sample(picture(0, 256, 512), ids(0, 256, 512)))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(store.path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    grown, size = map(int, done.stdout.split())
    assert size > 80_000 and grown < size / 10
