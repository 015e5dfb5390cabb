"""UAFM from means only, gated fusion, CFF and the concatenation of sub-networks."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import segscape
from segscape.models.fusions.cff import CFF, GuidedFusion
from segscape.models.fusions.gated import Gated
from segscape.models.fusions.subnet_concat import SubnetConcat
from segscape.models.fusions.uafm import UAFMChannel, UAFMSpatial
from segscape.models.weights.importer import infer_choices, load_official

LOW, HIGH, OUT = 6, 8, 5
# Which inputs of the attention's first convolution are means, as UAFM stacks its statistics.
MEANS = {UAFMSpatial: [0, 2], UAFMChannel: list(range(2 * HIGH))}
FIRST = "attention.0.conv.weight"


def maps() -> tuple[Tensor, Tensor]:
    return torch.randn(2, LOW, 12, 16), torch.randn(2, HIGH, 6, 8)


@pytest.mark.parametrize("kind", MEANS)
def test_uafm_of_means_is_uafm_blind_to_the_maxima(kind: type[UAFMSpatial | UAFMChannel]) -> None:
    full, means = kind(LOW, HIGH, OUT).eval(), kind(LOW, HIGH, OUT, maximum=False).eval()
    state = full.state_dict()
    blind = torch.zeros_like(state[FIRST])
    blind[:, MEANS[kind]] = state[FIRST][:, MEANS[kind]]
    full.load_state_dict({**state, FIRST: blind})
    means.load_state_dict({**state, FIRST: state[FIRST][:, MEANS[kind]]})
    low, high = maps()
    with torch.no_grad():
        torch.testing.assert_close(means(low, high), full(low, high))


@pytest.mark.parametrize("kind", ["spatial", "channel"])
def test_paddleseg_checkpoints_with_means_only_are_recognised(kind: str) -> None:
    """The tensors of a checkpoint with the `_S` fusion: the others', without the maxima."""
    record = official_record.read("ppliteseg_t" if kind == "spatial" else "ppliteseg_t_channel")
    tensors = official_record.tensors(record)
    for name, tensor in list(tensors.items()):
        if name.endswith("conv_xy_atten.0._conv.weight"):
            means = [0, 2] if kind == "spatial" else slice(tensor.shape[1] // 2)
            tensors[name] = tensor[:, means].clone()
    choices = infer_choices(tensors)
    assert choices["fusion"] == f"uafm_{kind}_mean"
    model = segscape.create_model(
        choices["variant"], choices["num_classes"], fusion=choices["fusion"]
    )
    load_official(model, tensors)
    loaded = model.decoder.fusions[0].attention[0].conv.weight
    assert torch.equal(loaded, tensors["ppseg_head.arm_list.0.conv_xy_atten.0._conv.weight"])


def test_the_gate_mixes_between_its_two_inputs() -> None:
    fusion = Gated(LOW, HIGH, OUT).eval()
    low, high = torch.randn(2, HIGH, 12, 16), torch.randn(2, HIGH, 12, 16)
    with torch.no_grad():
        mixed = fusion.merge(low, high)
        assert ((mixed - torch.minimum(low, high)) > -1e-5).all()
        assert ((torch.maximum(low, high) - mixed) > -1e-5).all()
        share = (mixed - high) / (low - high)
        # It differs between channels of a pixel and between pixels of a channel.
        assert share.std(1).min() > 1e-3 and share.flatten(2).std(2).min() > 1e-3
        fusion.gate.norm.bias.fill_(100.0)
        torch.testing.assert_close(fusion.merge(low, high), low)
        fusion.gate.norm.bias.fill_(-100.0)
        torch.testing.assert_close(fusion.merge(low, high), high)


def test_cff_gives_its_view_of_the_deep_input() -> None:
    fusion = CFF(LOW, HIGH, OUT).eval()
    assert isinstance(fusion, GuidedFusion) and not isinstance(Gated(2, 2, 2), GuidedFusion)
    low, high = maps()
    with torch.no_grad():
        fused, guide = fusion.guided(low, high)
        assert guide.shape == (2, fusion.guide_channels, 12, 16) and guide.min() < 0
        assert torch.equal(fused, fusion(low, high))
        torch.testing.assert_close(fused, F.relu(fusion.low(low) + guide))


def test_sub_networks_are_joined_without_a_layer_where_the_channels_agree() -> None:
    low, high = maps()
    bare = SubnetConcat(LOW, HIGH, LOW + HIGH)
    assert not list(bare.parameters())
    out = bare(low, high)
    assert torch.equal(out[:, :LOW], low)
    assert torch.equal(out[:, LOW:, ::11, ::15], high[:, :, ::5, ::7])  # corners are aligned
    assert list(SubnetConcat(LOW, HIGH, OUT).parameters())
