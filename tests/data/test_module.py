"""Loaders: the same batches for any number of workers, from any position; clean errors."""

from __future__ import annotations

import gc
import inspect
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Unpack

import lightning
import miniature
import numpy as np
import pytest
import torch
from miniature import Noise, NoiseModule

from segscape.config import annotations, files, targets
from segscape.data.base import Sample
from segscape.data.checks import quick_check
from segscape.data.loader import (
    EvalItems,
    Failure,
    TrainItems,
    available_cpus,
    collate,
    default_workers,
)
from segscape.data.options import LoaderOptions
from segscape.data.sampler import TrainOrder
from segscape.data.transforms import TrainTransform
from segscape.errors import UserError


def module(workers: int = 0, **options) -> NoiseModule:
    defaults = {"batch_size": 3, "augment": TrainTransform((16, 16)), "seed": 5}
    return NoiseModule(Noise(11), **(defaults | {"num_workers": workers} | options))


def passes(data: NoiseModule, count: int) -> list[list[dict[str, torch.Tensor]]]:
    loader = data.train_dataloader()
    return [list(loader) for _ in range(count)]


def assert_equal(left: list[dict], right: list[dict]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), key


def test_batch_contract() -> None:
    data = module()
    batch = next(iter(data.train_dataloader()))
    assert list(batch) == ["image", "label", "index", "valid"]
    assert batch["image"].shape == (3, 3, 16, 16) and batch["image"].dtype == torch.uint8
    assert batch["image"].is_contiguous(memory_format=torch.channels_last)
    assert batch["label"].shape == (3, 16, 16) and batch["label"].dtype == torch.uint8
    assert batch["index"].dtype == torch.int64 and batch["valid"].dtype == torch.bool
    assert data.num_classes == 2 and data.train_size_hw == (16, 16)


def test_workers_change_nothing_and_epochs_follow() -> None:
    alone, two = passes(module(0), 3), passes(module(2), 3)
    order = TrainOrder(11, 3, seed=5)
    for epoch in range(3):
        assert_equal(alone[epoch], two[epoch])
        indices = [batch["index"].tolist() for batch in alone[epoch]]
        assert indices == [[i for _, i in batch] for batch in order.batches(epoch)]
    # a sample of two epochs is augmented differently
    images = {int(i): x for b in alone[0] for i, x in zip(b["index"], b["image"], strict=True)}
    again = {int(i): x for b in alone[1] for i, x in zip(b["index"], b["image"], strict=True)}
    common = sorted(images.keys() & again.keys())
    assert common and all((images[i] != again[i]).any() for i in common)


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_in_the_middle(workers: int) -> None:
    reference = passes(module(0), 4)
    data = module(workers)
    loader = data.train_dataloader()
    abandoned = iter(loader)
    next(abandoned)
    data.start_at(1, 2)
    assert len(loader) == 3
    assert_equal(list(loader), reference[1][2:])
    assert_equal(list(loader), reference[2])
    # the last batch of an epoch was the last thing done
    data.start_at(2, 3)
    assert_equal(list(loader), reference[3])
    with pytest.raises(ValueError, match="no batch 4 of epoch 0"):
        data.start_at(0, 4)


def test_skipped_samples_are_not_read() -> None:
    class Counting(Noise):
        read_indices: list[int]

        def read(self, index: int) -> Sample:
            self.read_indices.append(index)
            return super().read(index)

    source = Counting(11)
    source.read_indices = []
    data = NoiseModule(source, batch_size=3, num_workers=0)
    data.start_at(4, 1)
    batches = list(data.train_dataloader())
    assert source.read_indices == [i for batch in batches for i in batch["index"].tolist()]
    assert len(source.read_indices) == 6


def test_passes_do_not_use_the_global_generator() -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    data = module(0)
    passes(data, 2)
    list(data.val_dataloader())
    assert torch.equal(torch.rand(2), expected)


def test_evaluation_reads_whole_images_in_order() -> None:
    data = module(1, eval_batch_size=4)
    batches = list(data.val_dataloader())
    assert [b["index"].tolist() for b in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]
    assert all(b["valid"].all() for b in batches)
    sample = Noise(11).read(9)
    np.testing.assert_array_equal(batches[2]["image"][1].permute(1, 2, 0), sample.image)
    np.testing.assert_array_equal(batches[2]["label"][1], sample.label)


@pytest.mark.parametrize("workers", [0, 1])
def test_error_of_a_worker_arrives_clean(workers: int) -> None:
    data = NoiseModule(Noise(8, broken=5), batch_size=2, num_workers=workers)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        with pytest.raises(UserError) as caught:
            list(loader)
        assert str(caught.value) == "street.png: the file is empty (0 bytes)\nCopy it again."
    data.teardown()
    assert TrainItems(Noise(8, broken=5), None, 0)[0, 5] == EvalItems(Noise(8, broken=5))[True, 5]


def test_different_sizes_in_a_batch_are_explained() -> None:
    data = NoiseModule(Noise(4, sizes=((20, 28), (8, 8))), eval_batch_size=2, num_workers=0)
    with pytest.raises(
        UserError, match=r"differ in size \(8x8, 28x20\)\nuse data\.eval_batch_size=1"
    ):
        list(data.val_dataloader())
    assert isinstance(collate([Failure("what", None)]), Failure)


def test_workers_survive_signals_to_the_group() -> None:
    others = set(torch.multiprocessing.active_children())
    data = module(1)
    batches = iter(data.train_dataloader())
    next(batches)
    (worker,) = set(torch.multiprocessing.active_children()) - others
    for number in (signal.SIGINT, signal.SIGUSR1):
        os.kill(worker.pid, number)
    # A SIGTERM that is not its parent's: from a process in between.
    assert os.spawnlp(os.P_WAIT, "kill", "kill", "-TERM", str(worker.pid)) == 0
    worker.join(0.2)
    assert len(list(batches)) == 2 and worker.is_alive()
    data.teardown()
    worker.join(10)
    assert worker.exitcode == 0


def test_workers_end_with_their_loader() -> None:
    """At once, not with the next garbage collection, which is a bad time for it."""
    before = set(torch.multiprocessing.active_children())
    data = module(1)
    batches = iter(data.train_dataloader())
    next(batches)
    gc.disable()
    try:
        del batches, data
        assert set(torch.multiprocessing.active_children()) <= before
    finally:
        gc.enable()


def test_workers_end_with_the_process() -> None:
    """A process that ends with its loader open does not hang, and its workers end."""
    script = (
        "import torch, miniature, segscape.data.loader as loader\n"
        "from segscape.data.sampler import EvalOrder\n"
        "items = loader.EvalItems(miniature.Noise(8))\n"
        "batches = iter(loader.BatchLoader(items, EvalOrder(8, 2), num_workers=2))\n"
        "next(batches)\n"
        "print(*(p.pid for p in torch.multiprocessing.active_children()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(miniature.__file__).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


class Recorder(lightning.LightningModule):
    """Trains one weight and writes down what it is given."""

    def __init__(self, save_at: int | None = None, path: Path | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int]]] = []
        self.scored: list[int] = []
        self.save_at, self.path = save_at, path

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        assert batch_idx == len(self.seen) % 3 or self.save_at is None
        self.seen.append((self.current_epoch, batch["index"].tolist()))
        return self.weight * batch["image"].float().mean()

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        self.scored += batch["index"].tolist()

    def on_train_batch_end(self, *_) -> None:
        if self.trainer.global_step == self.save_at:
            self.trainer.save_checkpoint(self.path)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def trainer(**options) -> lightning.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "accelerator": "cpu",
        "num_sanity_val_steps": 0,
    }
    return lightning.Trainer(**(quiet | options))


@pytest.mark.filterwarnings("ignore")
def test_lightning_serves_each_epoch_once_and_resumes(tmp_path: Path) -> None:
    path = tmp_path / "mid.ckpt"
    whole = Recorder(save_at=5, path=path)
    trainer(max_epochs=3).fit(whole, datamodule=module(1))
    order = TrainOrder(11, 3, seed=5)
    expected = [(e, [i for _, i in b]) for e in range(3) for b in order.batches(e)]
    assert whole.seen == expected
    assert whole.scored == 3 * list(range(11))
    # Lightning's own resume, from the position that the loader reports
    resumed = Recorder()
    trainer(max_epochs=3).fit(resumed, datamodule=module(0), ckpt_path=path, weights_only=True)
    assert resumed.seen == expected[5:]
    # given by the caller
    told, data = Recorder(), module(0)
    data.start_at(1, 2)
    trainer(max_epochs=3).fit(told, datamodule=data, ckpt_path=path, weights_only=True)
    assert told.seen == expected[5:]


def test_cpus_of_the_machine_and_the_container(tmp_path: Path, monkeypatch) -> None:
    for name in ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)), raising=False)
    assert available_cpus(tmp_path) == 12
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert available_cpus(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available_cpus(tmp_path) == 12
    monkeypatch.setattr("segscape.data.loader.available_cpus", lambda: 12)
    assert (default_workers(), default_workers(4), default_workers(12)) == (8, 2, 1)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "4")
    assert default_workers(2) == 3
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "6")
    assert (default_workers(), default_workers(2)) == (5, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, r"data\.batch_size=0"),
        ({"eval_batch_size": 1.5}, r"data\.eval_batch_size=1\.5"),
        ({"num_workers": -1}, r"data\.num_workers=-1"),
        ({"seed": -1}, r"data\.seed=-1"),
        ({"crop": [16]}, r"data\.crop=\[16\]"),
        ({"crop": [16, 32]}, r"data\.crop=\[16, 32\] and augment\.crop=\[16, 16\] differ"),
    ],
)
def test_wrong_options_are_named(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        module(**options)


def test_unknown_split_names_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean val"):
        module().dataset("vall")
    with pytest.raises(UserError, match="fewer than one batch"):
        quick_check(module(batch_size=12))
    quick_check(module())


@pytest.mark.parametrize("option", sorted(files.groups()["data"]))
def test_options_that_are_handed_on_are_checked_by_name_and_type(option: str) -> None:
    """A data set has `**options`; its signature still shows each argument."""
    node = files.option("data", option)
    node = {**node.get("data", node), "seed": 0}
    target, given = targets.arguments(node, "data", targets.SUPPLIED["data"])
    annotations.check_types(target, given, "data")
    assert given["cache"] == "none" and given["cache_dir"] is None and given["source"] is None
    with pytest.raises(UserError, match=r"did you mean data\.cache_dir\?"):
        targets.arguments({**node, "cache_dr": "x"}, "data", targets.SUPPLIED["data"])
    with pytest.raises(UserError, match=r"data\.num_workers='two' has the wrong type"):
        annotations.check_types(target, {**given, "num_workers": "two"}, "data")


def test_an_option_of_its_own_keeps_its_default() -> None:
    class Small(NoiseModule):
        def __init__(self, *, batch_size: int = 2, **options: Unpack[LoaderOptions]) -> None:
            super().__init__(Noise(11), batch_size=batch_size, **options)

    shown = inspect.signature(Small).parameters
    assert shown["batch_size"].default == 2 and shown["cache"].default == "none"
    assert set(shown) == set(LoaderOptions.__annotations__)
    assert Small(cache="memory").batch_size == 2
