"""A branch of an encoder whose output is not used is removed: it would cost and never learn."""

from __future__ import annotations

import pytest
import torch

import segscape


@pytest.mark.parametrize("encoder", ["bisenetv2", "bisenet_resnet18"])
def test_a_detail_branch_exists_only_where_it_is_read(encoder: str) -> None:
    with torch.device("meta"):
        pyramid = segscape.create_model("ppliteseg", num_classes=3, encoder=encoder)
        two_branches = segscape.create_model("bisenet", num_classes=3, encoder=encoder)
    assert "detail" in two_branches.encoder.spec.extras
    assert not pyramid.encoder.spec.extras
    outputs = pyramid.train()(torch.empty(2, 3, 64, 64, device="meta"))
    torch.stack([x.sum() for x in outputs.values()]).sum().backward()
    assert [name for name, p in pyramid.named_parameters() if p.grad is None] == []
