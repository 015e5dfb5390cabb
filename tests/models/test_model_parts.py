"""What is particular to single parts."""

from __future__ import annotations

import math

import torch
from torch import nn

from segscape.models.contexts.none import NoContext
from segscape.models.contexts.sppm import SPPM
from segscape.models.encoders.stdc import STDC, STDCBlock
from segscape.models.fusions.uafm import UAFMChannel, UAFMSpatial
from segscape.models.heads.seg import SegHead
from segscape.models.layers import ConvBNAct, resize


def test_convolutions_start_with_the_deviation_of_their_fan_out() -> None:
    torch.manual_seed(0)
    for groups, deviation in ((1, math.sqrt(2 / (9 * 64))), (64, math.sqrt(2 / 9))):
        weight = ConvBNAct(64, 64, 3, groups=groups).conv.weight.detach()
        assert abs(float(weight.std()) / deviation - 1) < 0.1


def test_the_signal_keeps_its_size_through_an_untrained_encoder() -> None:
    torch.manual_seed(0)
    features = STDC().train()(torch.randn(2, 3, 64, 64))
    for stride, x in features.items():
        assert 0.2 < float(x.detach().std()) < 2, stride


def test_the_two_ways_of_pooling_differ_at_the_border_only() -> None:
    torch.manual_seed(0)
    excluding = STDCBlock(8, 16, 2, count_include_pad=False).eval()
    including = STDCBlock(8, 16, 2, count_include_pad=True).eval()
    including.load_state_dict(excluding.state_dict())
    x = torch.rand(1, 8, 12, 16)
    with torch.no_grad():
        difference = (excluding(x) - including(x)).abs()
    # Only the copy of the first output is pooled: half of the channels.
    assert float(difference[:, 8:].max()) == 0
    assert float(difference[:, :8, 1:, 1:].max()) < 1e-6
    assert float(difference[:, :8, 0].max()) > 1e-3
    assert float(difference[:, :8, :, 0].max()) > 1e-3


def test_attention_weighs_the_shallow_feature() -> None:
    """A weight of 1 leaves only low, a weight of 0 only high."""
    torch.manual_seed(0)
    low, high = torch.randn(1, 6, 8, 10), torch.randn(1, 8, 4, 5)
    for kind in (UAFMSpatial, UAFMChannel):
        fusion = kind(6, 8, 5).eval()
        last = fusion.attention[1].norm
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            nn.init.constant_(last.bias, 60.0)
            torch.testing.assert_close(fusion(low, high), fusion.out(fusion.project(low)))
            nn.init.constant_(last.bias, -60.0)
            torch.testing.assert_close(fusion(low, high), fusion.out(resize(high, (8, 10))))


def test_sppm_adds_pooled_levels() -> None:
    """With one channel, identity convolutions and a constant map, three branches give 3 x."""
    sppm = SPPM(1, 1).eval()
    for branch in sppm.branches:
        nn.init.ones_(branch.conv.weight)
    seen = []
    sppm.out.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        sppm(torch.full((1, 1, 5, 7), 2.0))
    torch.testing.assert_close(seen[0], torch.full((1, 1, 5, 7), 6.0), atol=1e-4, rtol=0)


def test_no_context_can_be_nothing_at_all() -> None:
    x = torch.randn(1, 12, 3, 4)
    context = NoContext(12, None)
    assert context.out_channels == 12
    assert context(x) is x
    assert not list(context.parameters())


def test_the_head_has_the_published_widths() -> None:
    assert [SegHead(c, 19).classifier.in_channels for c in (32, 64, 128)] == [32, 64, 64]
    assert [SegHead(c, 19).classifier.in_channels for c in (64, 96, 128)] == [64, 64, 64]
    assert SegHead(32, 19, mid_channels=16).classifier.in_channels == 16
