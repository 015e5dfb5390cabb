"""Every official file is recognised as what it is, whatever a trainer put before its names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import official_record
import pytest
import torch
from torch import Tensor

import segscape
from segscape.commands.import_weights import import_weights
from segscape.config import systems
from segscape.errors import UserError
from segscape.models.weights import sources
from segscape.models.weights.read import read

PREFIXES = ("", *sources.PREFIXES, "module.model.", "model._orig_mod.module.", "ema.module.")

OF_RECORD = {
    "afformer_base": "AFFormer",
    "afformer_tiny": "AFFormer",
    "alignseg_resnet50": "AlignSeg",
    "bisenetv1_coincheung": "CoinCheung BiSeNet",
    "bisenetv2_coincheung": "CoinCheung BiSeNetV2",
    "dfanet": "huaifeng1993 DFANet",
    "enet_davidtvs": "davidtvs PyTorch-ENet",
    "espnet_p2q8": "ESPNet of its authors",
    "espnetv2_edgenets_s0.5": "EdgeNets ESPNetV2",
    "fcn_torchvision_resnet50": "torchvision FCN",
    "icnet_resnet50": "liminn ICNet",
    "ppliteseg_t": "PaddleSeg PP-LiteSeg",
    "ppliteseg_t_add": "PaddleSeg PP-LiteSeg",
    "ppliteseg_t_channel": "PaddleSeg PP-LiteSeg",
    "pspnet_semseg_resnet50": "semseg PSPNet",
    "segnet": "PaddleSeg SegNet",
    "sfnet_official_resnet18": "SFSegNets SFNet",
    "stdcseg_official_stdc1": "official STDC-Seg",
}
RECORDS = sorted(OF_RECORD)
# The released SFNet dilates its last layers and the recorded one does not: no tensor shows it.
TYPED = {"sfnet_official_resnet18": ["encoder=resnet18_deep"]}


def names(record: str) -> list[str]:
    return [name for name, _, _ in official_record.read(record)["tensors"]]


def empty(record: str, prefix: str = "") -> dict[str, Tensor]:
    tensors = official_record.read(record)["tensors"]
    return {f"{prefix}{name}": torch.empty(shape, device="meta") for name, shape, _ in tensors}


def test_no_record_of_a_whole_network_is_left_out() -> None:
    files = official_record.FOLDER.glob("*.json")
    assert {f.stem for f in files if json.loads(f.read_text()).get("num_classes")} == set(RECORDS)


@pytest.mark.parametrize("record", RECORDS)
def test_one_source_has_all_names_of_a_record(record: str) -> None:
    assert sources.detect(names(record)).name == OF_RECORD[record]
    knowing = [
        source.name
        for source in sources.listed()
        if source.recognises(names(record)) and source.knows(names(record))
    ]
    assert knowing == [OF_RECORD[record]]


@pytest.mark.parametrize("record", RECORDS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_trainers_are_taken_off(record: str, prefix: str) -> None:
    source, found = sources.recognise(empty(record, prefix))
    assert source.name == OF_RECORD[record]
    assert list(found) == names(record)


def test_a_prefix_that_not_all_names_have_stays() -> None:
    tensors = empty("ppliteseg_t", "net.") | {"other.weight": torch.empty(1)}
    with pytest.raises(UserError, match=r"no known source.*net\.backbone"):
        sources.recognise(tensors)


def test_every_variant_is_a_model_of_ours() -> None:
    known = systems.names()
    for source in sources.listed():
        assert set(source.variants) <= set(known), source.name


def test_several_equal_sources_are_an_error_that_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dataclasses import replace

    source = sources.detect(names("ppliteseg_t"))
    twin = replace(source, name="A fork", system="fork")
    monkeypatch.setattr(sources, "listed", lambda: [source, twin])
    with pytest.raises(UserError, match=r"A fork \(system fork\)") as caught:
        sources.detect(names("ppliteseg_t"))
    assert "--system" in str(caught.value.hint)
    assert sources.detect(names("ppliteseg_t"), "fork") is twin


@pytest.mark.slow
@pytest.mark.parametrize("record", RECORDS)
def test_an_imported_file_is_a_model(record: str, tmp_path: Path) -> None:
    content = official_record.read(record)
    tensors = official_record.tensors(content)
    file, out = tmp_path / "official.pth", tmp_path / "ours.safetensors"
    torch.save({"state_dict": {f"module.{k}": v for k, v in tensors.items()}, "epoch": 1}, file)
    assert import_weights([str(file), "-o", str(out), *TYPED.get(record, [])]) == 0
    told: dict[str, Any] = dict(read(out).metadata)
    model = segscape.create_model(
        told["system"],
        int(told["num_classes"]),
        weights=out,
        overrides=[f"{k}={v}" for k, v in json.loads(told["choices"]).items()],
    )
    image = official_record.image(content)
    with torch.no_grad():
        logits = model.raw(image)["main"]
        reference = model(image)
    expected = content["eval_outputs"][0]
    same = logits if list(logits.shape) == expected["shape"] else reference
    assert official_record.distance(same, expected) < 1e-4
