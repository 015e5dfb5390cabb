from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from official import arrays, stdc, write_pdparams
from safetensors.torch import save_file
from torch import nn

from segscape.errors import UserError
from segscape.models.encoders.stdc import STDC
from segscape.models.weights import files
from segscape.models.weights.read import read


class Tiny(nn.Module):
    """The shape of a Segmenter, as far as weights go."""

    def __init__(self, num_classes: int = 3, auxiliary: bool = True) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.encoder = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Conv2d(4, num_classes, 1, bias=False)
        heads = {"decoder_16": nn.Conv2d(4, num_classes, 1)} if auxiliary else {}
        self.auxiliary = nn.ModuleDict(heads)
        self.register_buffer("mean", torch.zeros(3), persistent=False)


def same(model: nn.Module, other: nn.Module) -> bool:
    mine, yours = model.state_dict(), other.state_dict()
    return mine.keys() == yours.keys() and all(torch.equal(mine[k], yours[k]) for k in mine)


def test_save_and_load_with_metadata(tmp_path: Path) -> None:
    model = Tiny().to(memory_format=torch.channels_last)
    model.encoder[1].num_batches_tracked.fill_(7)
    choices = {"encoder": "stdc1", "fusion": "add"}
    path = files.save(
        tmp_path / "new" / "tiny.safetensors",
        model.state_dict(),
        {"system": "ppliteseg", "num_classes": "3", "choices": json.dumps(choices)},
    )
    other = Tiny()
    report = files.load_into(other, path)
    assert same(model, other)
    assert (report.source, len(report.loaded)) == ("segscape", len(model.state_dict()))
    metadata = read(path).metadata
    assert json.loads(metadata["choices"]) == choices
    assert (metadata["system"], metadata["segscape"]) == ("ppliteseg", files.FORMAT_VERSION)
    assert [file.name for file in path.parent.iterdir()] == ["tiny.safetensors"]


def test_saving_replaces_whole_files_or_nothing(tmp_path: Path) -> None:
    path = files.save(tmp_path / "w.safetensors", Tiny().state_dict())
    before = path.read_bytes()
    with pytest.raises(UserError, match="text only"):
        files.save(path, {}, {"num_classes": 3})  # type: ignore[dict-item]
    with pytest.raises(UserError, match=r"use 'w\.safetensors'"):
        files.save(tmp_path / "w.pth", {})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        files.save(tmp_path / "file" / "w.safetensors", {})


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_others_can_read_what_was_saved(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    path = files.save(tmp_path / "w.safetensors", Tiny().state_dict())
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("wrap", ["model.", "model._orig_mod."])
def test_checkpoints_of_a_training(wrap: str, tmp_path: Path) -> None:
    model = Tiny()
    state = {f"{wrap}{name}": value for name, value in model.state_dict().items()}
    payload = {
        "state_dict": {**state, "losses.main.class_weights": torch.ones(3)},
        "segscape": {"model": "tiny", "classes": ["a", "b", "c"]},
        "optimizer_states": [{"momentum": torch.ones(2)}],
    }
    torch.save(payload, tmp_path / "last.ckpt")
    other = Tiny()
    report = files.load_into(other, tmp_path / "last.ckpt")
    assert same(model, other)
    assert report.ignored == {"losses.main.class_weights": "state of the training"}
    assert read(tmp_path / "last.ckpt").metadata["classes"] == ["a", "b", "c"]


def test_a_bare_state_dict_of_ours(tmp_path: Path) -> None:
    model = Tiny()
    torch.save(model.state_dict(), tmp_path / "tiny.pth")
    other = Tiny()
    assert files.load_into(other, tmp_path / "tiny.pth").source == "segscape"
    assert same(model, other)
    torch.save({**model.state_dict(), "haed.weight": torch.ones(1)}, tmp_path / "tiny.pth")
    with pytest.raises(UserError, match=r"unexpected 'haed.weight' 1"):
        files.load_into(other, tmp_path / "tiny.pth")


def test_auxiliary_heads_may_be_left_over_but_not_missing(tmp_path: Path) -> None:
    full = files.save(tmp_path / "full.safetensors", Tiny().state_dict())
    report = files.load_into(Tiny(auxiliary=False), full)
    assert set(report.ignored.values()) == {"auxiliary head"}
    bare = files.save(tmp_path / "bare.safetensors", Tiny(auxiliary=False).state_dict())
    with pytest.raises(UserError, match=r"missing 'auxiliary.decoder_16[\s\S]*strip_auxiliary"):
        files.load_into(Tiny(), bare)


def test_errors_name_the_file_and_its_records(tmp_path: Path) -> None:
    path = files.save(tmp_path / "w.safetensors", Tiny(3).state_dict(), {"system": "tiny"})
    with pytest.raises(UserError, match=r"w\.safetensors[\s\S]*pass num_classes=3"):
        files.load_into(Tiny(5), path)
    state = {name: value for name, value in Tiny().state_dict().items() if "head" not in name}
    path = files.save(path, state, {"system": "tiny"})
    with pytest.raises(UserError, match=r"missing 'head\.weight' 3x4x1x1[\s\S]*system=tiny"):
        files.load_into(Tiny(), path)
    save_file(state, path, {"segscape": "99"})
    with pytest.raises(UserError, match="format version 99"):
        files.load_into(Tiny(), path)


def test_official_files_too(tmp_path: Path) -> None:
    path = write_pdparams(tmp_path / "stdc.pdparams", arrays(stdc("stdc1")))
    assert files.load_into(STDC("stdc1"), path).source == "PaddleSeg STDC encoder"
    with pytest.raises(UserError, match=r"stdc\.pdparams[\s\S]*do not fit"):
        files.load_into(Tiny(), path)
    with pytest.raises(UserError, match="no known source of the system 'ppliteseg'"):
        files.load_into(STDC("stdc1"), path, "ppliteseg")
