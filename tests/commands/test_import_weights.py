"""`segscape import-weights`: from an official file to a file that create_model takes."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import official_record
import pytest
import torch
from safetensors import safe_open

import segscape
from segscape.commands.import_weights import import_weights
from segscape.errors import UserError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PaddleSeg's PP-LiteSeg-T with channel attention, as Paddle writes it."""
    record = official_record.read("ppliteseg_t_channel")
    arrays = {name: t.numpy() for name, t in official_record.tensors(record).items()}
    path = tmp_path_factory.mktemp("official") / "model.pdparams"
    path.write_bytes(pickle.dumps(arrays, protocol=2))
    return path


def test_a_file_is_imported_and_used(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    assert import_weights([str(source), "--system", "ppliteseg", "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "19 classes" in printed and "loaded" in printed
    assert "next: segscape evaluate model=ppliteseg fusion=uafm_channel" in printed
    assert "data=cityscapes" in printed
    with safe_open(out, "pt") as file:
        assert file.metadata()["system"] == "ppliteseg"

    image = torch.randn(1, 3, 64, 96)
    outputs = []
    for weights in (source, out):
        model = segscape.create_model("ppliteseg", 19, weights=weights, fusion="uafm_channel")
        with torch.no_grad():
            outputs.append(model(image))
    assert torch.equal(*outputs)


def test_nothing_but_the_file_need_be_named(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert import_weights([str(source), "--dry-run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert import_weights([str(source)]) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["model-ppliteseg.safetensors"]
    out = "model-ppliteseg.safetensors"
    with pytest.raises(UserError, match="already"):
        import_weights([out])


def test_averaged_weights_are_taken_when_asked_for(
    source: Path, tmp_path: Path, capsys: Capture
) -> None:
    record = official_record.read("ppliteseg_t")
    raw = official_record.tensors(record)
    averaged = {name: value + 0 for name, value in raw.items()}
    averaged["seg_heads.0.conv_out.weight"] = raw["seg_heads.0.conv_out.weight"] + 1
    file = tmp_path / "both.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in raw.items()}, "ema": averaged}, file)
    heads = []
    for flags in ([], ["--ema"]):
        out = tmp_path / f"out{len(flags)}.safetensors"
        assert import_weights([str(file), "-o", str(out), *flags]) == 0
        model = segscape.create_model("ppliteseg", 19, weights=out)
        heads.append(model.head.classifier.weight.detach())
        assert ("--ema takes them" in capsys.readouterr().out) == (not flags)
    torch.testing.assert_close(heads[1], heads[0] + 1)
    with pytest.raises(UserError, match="no averaged weights"):
        import_weights([str(source), "--ema", "--dry-run"])


def test_an_encoder_file_is_no_system(tmp_path: Path) -> None:
    from segscape.models.encoders.resnet import ResNet

    torch.save(_torchvision_names(ResNet(18).state_dict()), tmp_path / "resnet18.pth")
    with pytest.raises(UserError, match=r"encoder only.*torchvision ResNet") as caught:
        import_weights([str(tmp_path / "resnet18.pth")])
    assert "encoder=resnet18 encoder.weights=" in str(caught.value.hint)


def _torchvision_names(ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {}
    for name, value in ours.items():
        for old, new in (
            (r"^stem\.0\.conv", "conv1"),
            (r"^stem\.0\.norm", "bn1"),
            (r"^layers\.(\d)", lambda m: f"layer{int(m[1]) + 1}"),
            (r"conv(\d)\.conv", r"conv\1"),
            (r"conv(\d)\.norm", r"bn\1"),
            (r"shortcut\.conv", "downsample.0"),
            (r"shortcut\.norm", "downsample.1"),
        ):
            name = re.sub(old, new, name)
        found[name] = value
    return found


def test_what_does_not_fit_is_said(source: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out.safetensors")
    with pytest.raises(UserError, match="ppliteseg"):
        import_weights([str(source), "--system", "pplitesg", "-o", out])
    with pytest.raises(UserError, match=r"the file holds ppliteseg, not ppliteseg_b"):
        import_weights([str(source), "--system", "ppliteseg_b", "-o", out])
    with pytest.raises(UserError, match="no such file"):
        import_weights(["nowhere.pth", "--system", "ppliteseg", "-o", out])
    with pytest.raises(UserError, match=r"\.safetensors"):
        import_weights([str(source), "--system", "ppliteseg", "-o", "out.pth"])
    with pytest.raises(UserError):
        segscape.create_model("ppliteseg", 11, weights=source, fusion="uafm_channel")
    with pytest.raises(UserError):
        segscape.create_model("ppliteseg", 19, weights=source, fusion="uafm_spatial")
    strange = tmp_path / "strange.npz"
    np.savez(strange, weight=np.zeros(3, np.float32))
    with pytest.raises(UserError, match="ppliteseg"):
        import_weights([str(strange), "--system", "ppliteseg", "-o", out])
