"""`segscape import-weights`: from an official file to a file that create_model takes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import official_record
import pytest
import torch
from safetensors import safe_open

import segscape
from segscape import commands
from segscape.errors import UserError


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
    assert commands.import_weights([str(source), "--system", "ppliteseg", "-o", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "19 classes" in printed and "loaded" in printed
    with safe_open(out, "pt") as file:
        assert file.metadata()["system"] == "ppliteseg"

    image = torch.randn(1, 3, 64, 96)
    outputs = []
    for weights in (source, out):
        model = segscape.create_model("ppliteseg", 19, weights=weights, fusion="uafm_channel")
        with torch.no_grad():
            outputs.append(model(image))
    assert torch.equal(*outputs)


def test_what_does_not_fit_is_said(source: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out.safetensors")
    with pytest.raises(UserError, match="ppliteseg"):
        commands.import_weights([str(source), "--system", "pplitesg", "-o", out])
    with pytest.raises(UserError, match="no such file"):
        commands.import_weights(["nowhere.pth", "--system", "ppliteseg", "-o", out])
    with pytest.raises(UserError, match=r"\.safetensors"):
        commands.import_weights([str(source), "--system", "ppliteseg", "-o", "out.pth"])
    with pytest.raises(UserError):
        segscape.create_model("ppliteseg", 11, weights=source, fusion="uafm_channel")
    with pytest.raises(UserError):
        segscape.create_model("ppliteseg", 19, weights=source, fusion="uafm_spatial")
    strange = tmp_path / "strange.npz"
    np.savez(strange, weight=np.zeros(3, np.float32))
    with pytest.raises(UserError, match="ppliteseg"):
        commands.import_weights([str(strange), "--system", "ppliteseg", "-o", out])
