"""Shards: the batches of the original files, from tar files here or behind a URL."""

from __future__ import annotations

import json
import os
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from miniature import save
from PIL import Image

from segscape.data.base import open_sample
from segscape.data.datasets.camvid import CamVid
from segscape.data.datasets.streets.module import Streets
from segscape.data.storage.preparation import Outcome, write_shards
from segscape.data.storage.shard_writer import ShardWriter
from segscape.data.storage.shards import ShardDataset
from segscape.data.transforms import TrainTransform
from segscape.errors import UserError


def write(data, out: Path, split: str = "train", shard_bytes: int = 9000) -> Outcome:
    (out / split).mkdir(parents=True, exist_ok=True)
    outcome = Outcome()
    writer = ShardWriter(data.open(split), data.name, out / split, shard_bytes)
    steps = list(write_shards(writer, 1, outcome))
    if not outcome.damaged:
        assert steps[-1].what == "verify" and steps[-1].done == steps[-1].total
    return outcome


@pytest.fixture
def shards(segnet_root: Path, tmp_path: Path) -> Path:
    out = tmp_path / "shards"
    for split in ("train", "val"):
        assert write(CamVid(segnet_root), out, split) == Outcome()
    return out


def tensors(data) -> list[torch.Tensor]:
    loader = data.train_dataloader()
    data.start_at(3, 1)
    batches = [batch for _ in range(2) for batch in loader] + list(data.val_dataloader())
    data.teardown()
    return [tensor for batch in batches for tensor in batch.values()]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["none", "disk"])
def test_batches_are_those_of_the_files(
    segnet_root: Path, shards: Path, tmp_path: Path, workers: int, cache: str
) -> None:
    """In order, augmentation and position, for any number of workers."""
    options = {"augment": TrainTransform((20, 24)), "batch_size": 2, "seed": 2}
    options |= {"num_workers": workers, "cache": cache, "cache_dir": tmp_path / "cache"}
    plain = tensors(CamVid(segnet_root, **options))
    # the same through a path, and without the original files
    for source in (shards, f"file://{shards}"):
        for ours, theirs in zip(tensors(CamVid(source=source, **options)), plain, strict=True):
            assert torch.equal(ours, theirs)


def test_members_are_the_original_files(segnet_root: Path, shards: Path) -> None:
    files = CamVid(segnet_root).open("train")
    packed = ShardDataset(shards, "train")
    assert len(packed.shards) > 1 and packed.classes == files.classes
    assert packed.palette == files.palette
    images = {}
    for shard in packed.shards:
        with tarfile.open(shards / "train" / shard) as archive:
            for member in archive.getmembers():
                key, _, extension = member.name.partition(".")
                images.setdefault(key, {})[extension] = archive.extractfile(member).read()
    assert len(images) == len(files) == len(packed) == 4
    for index, (_, found) in enumerate(sorted(images.items())):
        assert sorted(found) == ["label.png", "png"]
        assert found["png"] == files.files(index)[0].read_bytes()
        assert packed.name(index) == files.name(index)
        whole = files.read(index)
        np.testing.assert_array_equal(packed.read(index).image, whole.image)
        np.testing.assert_array_equal(packed.read(index).label, whole.label)
        lazy = open_sample(packed, index)
        assert lazy.size == packed.sample_size(index) == whole.label.shape
        part = lazy.window(slice(4, 9), slice(7, 30))
        np.testing.assert_array_equal(part.image, whole.image[4:9, 7:30])
        np.testing.assert_array_equal(part.label, whole.label[4:9, 7:30])
        np.testing.assert_array_equal(lazy.label(), whole.label)


def test_every_sample_once_over_processes(shards: Path) -> None:
    from segscape.data.sampler import TrainOrder

    length = len(ShardDataset(shards, "train"))
    for epoch in range(3):
        seen = [
            index
            for rank in range(2)
            for batch in TrainOrder(length, 1, 5, rank, 2).batches(epoch)
            for _, index in batch
        ]
        assert sorted(seen) == list(range(length))


def test_from_a_url(segnet_root: Path, shards: Path) -> None:
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
    bucket = fsspec.filesystem("memory")
    for file in shards.rglob("*.*"):
        bucket.pipe(f"/bucket/{file.relative_to(shards)}", file.read_bytes())
    far = CamVid(source="memory://bucket").dataset("val")
    near = CamVid(segnet_root).dataset("val")
    for index in range(len(near)):
        np.testing.assert_array_equal(far.read(index).image, near.read(index).image)
        np.testing.assert_array_equal(far.read(index).label, near.read(index).label)
    with pytest.raises(UserError, match=r"memory://bucket/test/index\.json: the file does not ex"):
        CamVid(source="memory://bucket").dataset("test")
    with pytest.raises(UserError, match="try: pip install") as caught:
        CamVid(source="nosuchprotocol://bucket").dataset("val")
    assert "nosuchprotocol" in caught.value.what


class Bytes(BaseHTTPRequestHandler):
    """Serves files by range, as object stores do."""

    root: Path

    def do_GET(self) -> None:
        file = self.root / unquote(self.path).lstrip("/")
        if not file.is_file():
            self.send_error(404)
            return
        data, status = file.read_bytes(), 200
        wanted = self.headers.get("Range")
        if wanted:
            start, _, last = wanted.removeprefix("bytes=").partition("-")
            data, status = data[int(start) : int(last) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_) -> None:
        """Quiet."""


def test_workers_read_from_a_server(segnet_root: Path, shards: Path) -> None:
    """The index is read before the workers are forked: connections must not be shared."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    handler = type("Handler", (Bytes,), {"root": shards})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        options = {"augment": TrainTransform((20, 24)), "batch_size": 2, "num_workers": 2}
        url = f"http://127.0.0.1:{server.server_address[1]}"
        far = tensors(CamVid(source=url, **options))
        for ours, theirs in zip(far, tensors(CamVid(segnet_root, **options)), strict=True):
            assert torch.equal(ours, theirs)
    finally:
        server.shutdown()


def test_webdataset_reads_them(segnet_root: Path, shards: Path) -> None:
    webdataset = pytest.importorskip("webdataset", reason="webdataset is not installed")
    urls = [str(file) for file in sorted((shards / "train").glob("*.tar"))]
    found = list(webdataset.WebDataset(urls, shardshuffle=False))
    files = CamVid(segnet_root).open("train")
    assert [sample["png"] for sample in found] == [
        files.files(index)[0].read_bytes() for index in range(len(files))
    ]


def test_an_interrupted_conversion_goes_on(segnet_root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards" / "train"
    folder.mkdir(parents=True)
    files = CamVid(segnet_root).open("train")
    writer = ShardWriter(files, "camvid", folder, 9000)
    writer.write(0)
    (folder / "000001.tmp").write_bytes(b"a killed writer's")
    with pytest.raises(UserError, match=r"index\.json: the file does not exist"):
        ShardDataset(folder.parent, "train")
    before = (folder / "000000.tar").stat().st_mtime_ns
    write(CamVid(segnet_root), folder.parent)
    assert (folder / "000000.tar").stat().st_mtime_ns == before
    assert {file.suffix for file in folder.iterdir()} == {".tar", ".json"}
    assert len(ShardDataset(folder.parent, "train")) == len(files)
    again = write(CamVid(segnet_root), folder.parent)
    assert again == Outcome(there=len(files))
    # of other files: anew
    os.utime(files.files(0)[0], ns=(0, 0))
    write(CamVid(segnet_root), folder.parent)
    assert (folder / "000000.tar").stat().st_mtime_ns != before


def test_a_damaged_shard_is_found_and_written_again(segnet_root: Path, shards: Path) -> None:
    shard = shards / "val" / "000000.tar"
    data = bytearray(shard.read_bytes())
    member = ShardDataset(shards, "val").members[0]
    data[member.image + member.image_bytes // 2] ^= 0xFF
    shard.write_bytes(data)
    assert write(CamVid(segnet_root), shards, "val").left_out == [member.name]
    assert write(CamVid(segnet_root), shards, "val") == Outcome()
    # cut short while it is used
    packed = ShardDataset(shards, "val")
    shard.write_bytes(bytes(data[: member.image + 40]))
    with pytest.raises(UserError, match=rf"000000\.tar \({member.name}\): the shard is cut short"):
        packed.read(0)


def test_a_damaged_source_leaves_no_index(segnet_root: Path, tmp_path: Path) -> None:
    file = CamVid(segnet_root).open("train").files(1)[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:200])
    outcome = write(CamVid(segnet_root), tmp_path / "out")
    assert len(outcome.damaged) == 1 and str(file) in outcome.damaged[0]
    assert not (tmp_path / "out" / "train" / "index.json").exists()
    file.write_bytes(whole)
    assert write(CamVid(segnet_root), tmp_path / "out") == Outcome()


def test_samples_without_files_are_packed_without_loss(tmp_path: Path) -> None:
    options = {"size": (32, 64), "train_size": 3}
    data = Streets(**options)
    write(data, tmp_path, shard_bytes=1 << 30)
    packed = Streets(**options, source=tmp_path).dataset("train")
    assert isinstance(packed, ShardDataset) and len(packed) == 3
    for index in range(3):
        scene = data.dataset("train").read(index)
        np.testing.assert_array_equal(packed.read(index).image, scene.image)
        np.testing.assert_array_equal(packed.read(index).label, scene.label)


def test_a_grey_image_stays_as_it_is(segnet_root: Path, tmp_path: Path) -> None:
    file = CamVid(segnet_root).open("train").files(0)[0]
    grey = np.asarray(Image.open(file).convert("L"))
    save(file, grey)
    write(CamVid(segnet_root), tmp_path / "out")
    np.testing.assert_array_equal(
        ShardDataset(tmp_path / "out", "train").read(0).image, np.stack([grey] * 3, -1)
    )


def test_shards_of_other_classes(shards: Path) -> None:
    index = shards / "train" / "index.json"
    content = json.loads(index.read_text())
    index.write_text(json.dumps(content | {"classes": ["a", "b"]}))
    with pytest.raises(UserError, match="these are 2 classes of data=camvid, not the 11"):
        CamVid(source=shards).dataset("train")
    for text in ("{}", "nothing", "[]"):
        index.write_text(text)
        with pytest.raises(UserError, match="is not an index of segscape-shards-1"):
            CamVid(source=shards).dataset("train")
