"""Modules that equal official ones of which there is no record within a network."""

from __future__ import annotations

from typing import Any

import official_record
import pytest
import torch
from torch.nn import functional as F

from segscape.models.decoders.unpool import unpool
from segscape.models.fusions.fapn import FaPNFusion

FAPN = {
    "lateral_conv.conv_atten.weight": "select.attention.weight",
    "lateral_conv.conv.weight": "select.project.weight",
    "offset.weight": "compare.weight",
    "dcpack_L2.weight": "align.weight",
    "dcpack_L2.bias": "align.bias",
    "dcpack_L2.conv_offset_mask.weight": "align.guide.weight",
    "dcpack_L2.conv_offset_mask.bias": "align.guide.bias",
}


def fapn_fusion(record: dict[str, Any]) -> FaPNFusion:
    channels = [shape[1] for shape in record["inputs"].values()]
    fusion = FaPNFusion(*channels, record["eval_outputs"][0]["shape"][1]).eval()
    tensors = official_record.tensors(record)
    fusion.load_state_dict({FAPN[name]: value for name, value in tensors.items()})
    return fusion


def test_fapns_fusion_is_the_official_one() -> None:
    record = official_record.read("fapn_fusion")
    fusion = fapn_fusion(record)
    assert sum(p.numel() for p in fusion.parameters()) == record["parameters"] == 450_904
    low, high = (official_record.feature(k, s) for k, s in record["inputs"].items())
    with torch.no_grad():
        output = fusion(low, high)
        assert official_record.distance(output, record["eval_outputs"][0]) < 1e-4
        # The guide is of both features; that of only one of them is detected.
        fusion.compare.weight[:, 128:] = 0
        assert official_record.distance(fusion(low, high), record["eval_outputs"][0]) > 1e-2


@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels last"])
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unpooling_is_that_of_torch(dtype: torch.dtype, size: tuple[int, int], last: bool) -> None:
    torch.manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(2, 3, *size).to(dtype).to(memory_format=layout)
    pooled, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    pooled.requires_grad_()
    ours = unpool(pooled, indices, size)
    assert torch.equal(ours, F.max_unpool2d(pooled, indices, 2, output_size=size))
    assert ours.is_contiguous(memory_format=layout)
    ours.sum().backward()
    assert torch.equal(pooled.grad, torch.ones_like(pooled))
