from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from segscape.errors import UserError
from segscape.models.weights.read import read, read_tensors

W = torch.arange(6.0).reshape(2, 3)
STATE = {"a.weight": W, "b.bias": W[0].clone()}


def write(path: Path, state: dict[str, torch.Tensor]) -> Path:
    arrays = {name: value.numpy() for name, value in state.items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".pdparams":
        path.write_bytes(pickle.dumps(arrays))
    else:
        torch.save(state, path)
    return path


KINDS = [".pth", ".pt", ".ckpt", ".bin", ".pth.tar", ".safetensors", ".npz", ".pdparams"]


@pytest.mark.parametrize("suffix", KINDS)
def test_every_container_gives_the_same_tensors(suffix: str, tmp_path: Path) -> None:
    tensors = read_tensors(write(tmp_path / f"model{suffix}", STATE))
    assert list(tensors) == list(STATE)
    for name, value in STATE.items():
        torch.testing.assert_close(tensors[name], value, rtol=0, atol=0)


def test_reads_the_format_of_torch_before_1_6(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_tensors(tmp_path / "old.pth")["a.weight"], W)


@pytest.mark.parametrize(
    "payload",
    [
        {"state_dict": STATE, "epoch": 3, "optimizer": {"lr": 0.1}},
        {"model": OrderedDict(STATE)},
        {"model_state_dict": STATE},
        {"ema": STATE},
        {"model": {"state_dict": STATE}},
        {f"module.{name}": value for name, value in STATE.items()},
        {"state_dict": {f"model._orig_mod.module.{k}": v for k, v in STATE.items()}},
    ],
)
def test_unwraps(payload: dict[str, Any], tmp_path: Path) -> None:
    torch.save(payload, tmp_path / "model.pth")
    assert list(read_tensors(tmp_path / "model.pth")) == list(STATE)


EMA = {name: value + 1 for name, value in STATE.items()}


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    "payload",
    [
        {"state_dict": STATE, "ema_state_dict": EMA},
        {"state_dict": prefixed("module.", STATE), "state_dict_ema": prefixed("module.", EMA)},
        {"model": STATE, "model_ema": EMA, "optimizer": {"state": {0: {"exp_avg": W}}}},
        {"model": STATE, "ema": {"module": EMA, "updates": 3}},
        {"model_state": STATE, "ema": {**prefixed("module.", EMA), "n_averaged": torch.tensor(7)}},
        {"state_dict": {**prefixed("model.", STATE), **prefixed("ema.", EMA)}},
        {"state_dict": {**prefixed("net.", STATE), **prefixed("model_ema.net.", EMA)}},
        {**STATE, **prefixed("module_ema.", EMA)},
        {"state_dict": {**STATE, "ema_a_weight": EMA["a.weight"], "ema_b_bias": EMA["b.bias"]}},
    ],
)
def test_averaged_weights_stay_beside_the_others(payload: dict[str, Any], tmp_path: Path) -> None:
    torch.save(payload, tmp_path / "model.pth")
    contents = read(tmp_path / "model.pth")
    assert contents.averaged.keys() == contents.tensors.keys()
    raw, averaged = (
        {name.removeprefix("net."): value for name, value in found.items()}
        for found in (contents.tensors, contents.averaged)
    )
    assert raw.keys() == STATE.keys()
    for name in STATE:
        assert torch.equal(raw[name], STATE[name]) and torch.equal(averaged[name], EMA[name])


@pytest.mark.parametrize("key", ["ema", "model_ema", "state_dict_ema", "module_ema"])
def test_averaged_weights_without_others_are_the_weights(key: str, tmp_path: Path) -> None:
    torch.save({key: prefixed("module.", EMA), "epoch": 3}, tmp_path / "model.pth")
    contents = read(tmp_path / "model.pth")
    assert torch.equal(contents.tensors["a.weight"], EMA["a.weight"])
    assert contents.averaged == {}


def test_the_counter_of_an_average_is_no_weight(tmp_path: Path) -> None:
    torch.save({**prefixed("module.", STATE), "n_averaged": torch.tensor(7)}, tmp_path / "m.pth")
    contents = read(tmp_path / "m.pth")
    assert list(contents.tensors) == list(STATE)
    assert contents.outside == ("n_averaged",)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pdparams"])
def test_averaged_weights_in_other_containers(suffix: str, tmp_path: Path) -> None:
    state = {**prefixed("model.", STATE), **prefixed("ema.", EMA)}
    contents = read(write(tmp_path / f"model{suffix}", state))
    assert torch.equal(contents.tensors["a.weight"], STATE["a.weight"])
    assert torch.equal(contents.averaged["a.weight"], EMA["a.weight"])


def test_keeps_prefixes_that_not_all_names_have(tmp_path: Path) -> None:
    state = {"module.a": W, "b": W}
    torch.save(state, tmp_path / "model.pth")
    assert list(read_tensors(tmp_path / "model.pth")) == ["module.a", "b"]


def test_a_checkpoint_of_ours_keeps_the_training_outside(tmp_path: Path) -> None:
    state = {f"model.{name}": value for name, value in STATE.items()} | {"losses.weight": W}
    torch.save({"state_dict": state, "segscape": {"model": "x"}}, tmp_path / "last.ckpt")
    contents = read(tmp_path / "last.ckpt")
    assert (list(contents.tensors), contents.own) == (list(STATE), True)
    assert contents.outside == ("losses.weight",)
    assert contents.metadata == {"model": "x"}


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("damage", ["empty", "garbage", "truncated"])
def test_damaged_files_are_named(suffix: str, damage: str, tmp_path: Path) -> None:
    file = write(tmp_path / f"model{suffix}", {"w": torch.rand(100, 100)})
    whole = file.read_bytes()
    content = {"empty": b"", "garbage": b"<html>Not Found</html>" * 50, "truncated": whole[:-999]}
    file.write_bytes(content[damage])
    with pytest.raises(UserError) as caught:
        read_tensors(file)
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 4


def test_no_tensors_missing_file_directory_and_unknown_kinds(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "log.pth")
    with pytest.raises(UserError, match="holds no tensors"):
        read_tensors(tmp_path / "log.pth")
    with pytest.raises(UserError, match=r"does not exist"):
        read_tensors(tmp_path / "none.pth")
    (tmp_path / "folder.pth").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        read_tensors(tmp_path / "folder.pth")
    with pytest.raises(UserError, match="unpack the archive"):
        read_tensors(tmp_path / "PP_STDCNet1.tar.gz")
    with pytest.raises(UserError, match=r"\.pdparams.*\.safetensors"):
        read_tensors(tmp_path / "model.onnx")


class Executed:
    ran = False

    def __init__(self) -> None:
        Executed.ran = True


class Custom:
    def __reduce__(self) -> tuple[Any, ...]:
        return Executed, ()


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_not_executed_either(zipped: bool, tmp_path: Path) -> None:
    file = tmp_path / "model.pth"
    torch.save({"w": W, "x": Custom()}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UserError, match=r"refused: it asks for the global '.*Executed'") as caught:
        read_tensors(file)
    assert "weights_only" not in str(caught.value)  # torch's message advises to switch it off
    assert not Executed.ran


def test_npz_with_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", w=np.array([{}], dtype=object))
    with pytest.raises(UserError, match=r"model\.npz"):
        read_tensors(tmp_path / "model.npz")
