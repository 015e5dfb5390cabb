"""Parameters and work are those of the official networks; each trains, and takes odd sizes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import segscape
from segscape.models.encoders.stdc import STDC
from segscape.models.segmenter import Segmenter
from segscape.profiling.complexity import measure


def on_meta(name: str, classes: int, **choices: str) -> Segmenter:
    with torch.device("meta"):
        return segscape.create_model(name, num_classes=classes, **choices)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# A block of ESPNet: 128 x 25 to reduce, 25 x (28 + 4 x 25) x 9 in the branches, 3 x 128 after them.
ESP_BLOCK = 128 * 25 + 25 * 128 * 9 + 3 * 128
# Of STDC-Seg's graph, see test_records.
STDCSEG_DEAD = 3_125_248 + sum(64 * (9 * c + 3) for c in (32, 64, 512))
ALIGN = 66_048
"""Parameters of AFFormer's official head that no input reaches."""

# Model, classes, exchanged parts; parameters in training and for inference, None: not known.
PARAMETERS: list[tuple[str, int, dict[str, str], int | None, int | None]] = [
    # counted from the official graph
    ("afformer_tiny", 150, {}, 2_193_354 - ALIGN, 2_193_354 - ALIGN),
    ("afformer_tiny", 19, {}, 2_159_687 - ALIGN, 2_159_687 - ALIGN),
    ("afformer_small", 150, {}, 2_389_154 - ALIGN, 2_389_154 - ALIGN),
    ("afformer_small", 19, {}, 2_355_487 - ALIGN, 2_355_487 - ALIGN),
    ("afformer_base", 150, {}, 3_003_954 - ALIGN, 3_003_954 - ALIGN),
    ("afformer_base", 19, {}, 2_970_287 - ALIGN, 2_970_287 - ALIGN),
    ("alignseg_resnet50", 19, {}, 47_854_182, 47_258_707),
    ("alignseg_resnet101", 19, {}, 66_846_310, 66_250_835),
    ("bisenet", 19, {}, 13_425_721, 13_275_539),
    # counted here, not published: the paper's 5.8 M is as little reproducible as its 49.0 M for
    # ResNet-18
    ("bisenet_xception39", 19, {}, 2_080_337, 1_930_155),
    ("bisenetv2", 19, {}, 5_231_487, 3_358_627),
    ("dfanet", 19, {}, 2_187_216 - (192 * 64 + 2 * 64), None),
    ("dfanet_b", 19, {}, 1_275_304, None),
    ("enet", 12, {}, 350_652, None),
    ("enet", 19, {}, 351_660, None),
    ("enet", 20, {}, 351_804, None),
    ("espnet", 12, {}, 354_517, None),
    ("espnet_q5", 12, {}, 354_517 - 3 * ESP_BLOCK, None),
    ("espnet_q3", 12, {}, 354_517 - 5 * ESP_BLOCK, None),
    # the table's counts, with the PReLUs that EdgeNets' forward passes by: one for each channel of
    # the three EESP that halve the size
    ("espnetv2_s05", 20, {}, 80_342 - (16 + 32 + 64), None),
    ("espnetv2_s10", 20, {}, 234_010 - (32 + 64 + 128), None),
    ("espnetv2_s15", 20, {}, 468_362 - (64 + 96 + 192), None),
    ("espnetv2_s20", 20, {}, 789_242 - (96 + 128 + 256), None),
    ("fapn_resnet18", 19, {}, None, 13_191_560),
    ("fapn_resnet50", 19, {}, None, 31_443_720),
    ("fcn_resnet50", 19, {}, 35_320_678, None),
    ("fcn8s_vgg16", 21, {}, 134_362_751, None),
    ("fcn8s_vgg16", 19, {}, 134_353_017, None),
    ("fcn8s_vgg16", 11, {}, 134_314_081, None),
    # liminn's trainable ones, without the classifier of ImageNet
    ("icnet_resnet50", 19, {}, 28_298_376 - (2048 * 1000 + 1000), 26_244_512),
    # counted from PaddleSeg's graph, minus its three constants `_scale`
    ("ppliteseg", 19, {}, 8_141_603 - 3, 8_028_323 - 3),
    ("ppliteseg", 11, {}, 8_140_323 - 3, 8_028_067 - 3),
    ("ppliteseg", 19, {"fusion": "uafm_channel"}, 8_234_432, None),
    ("ppliteseg", 19, {"fusion": "add"}, 8_141_312, None),
    ("ppliteseg_b", 19, {}, 12_366_467 - 3, 12_234_755 - 3),
    ("ppliteseg_b", 11, {}, 12_364_931 - 3, 12_234_243 - 3),
    ("pspnet_resnet50", 19, {}, 49_080_038, 46_715_347),
    ("pspnet_resnet101", 19, {}, 68_072_166, 65_707_475),
    # PaddleSeg has a convolution more at stride 2 (128 to 128 channels, with bias and BatchNorm)
    # than the authors' Caffe network
    ("segnet", 19, {}, 29_601_811, None),
    ("segnet", 19, {"decoder": "unpool_caffe"}, 29_453_971, None),
    ("segnet", 11, {"decoder": "unpool_caffe"}, 29_449_355, None),
    ("sfnet_resnet18", 19, {}, 13_320_588, 12_869_715),
    ("sfnet_resnet50", 19, {}, None, 31_325_139),
    # the official count has a lateral and an auxiliary head that are never called
    ("sfnet_lite_resnet18", 19, {}, 12_079_863, 12_296_074 - 65_920 - 150_291),
    ("stdcseg_stdc1", 19, {}, 12_048_928 - STDCSEG_DEAD, 8_275_104),
    ("stdcseg_stdc2", 19, {}, 16_079_392 - STDCSEG_DEAD, 12_305_568),
]

# Model, classes, height and width, 10^9 multiply-adds.
WORK = [
    ("afformer_tiny", 150, (512, 512), 3.079),
    ("afformer_tiny", 19, (1024, 2048), 23.537),
    ("afformer_small", 150, (512, 512), 3.334),
    ("afformer_small", 19, (1024, 2048), 25.571),
    ("afformer_base", 150, (512, 512), 4.344),
    ("afformer_base", 19, (1024, 2048), 33.656),
    ("alignseg_resnet101", 19, (769, 769), 252.856),
    ("bisenet", 19, (768, 1536), 66.565),
    ("bisenet", 19, (1024, 2048), 118.338),
    ("bisenetv2", 19, (512, 1024), 24.603),
    # published with 118.51 and without code; this is what our reading of it has
    ("bisenetv2_large", 19, (512, 1024), 105.670),
    ("dfanet", 19, (1024, 1024), 7.567),
    ("dfanet", 19, (512, 1024), 3.784),
    ("dfanet_b", 19, (512, 1024), 2.651),
    ("enet", 12, (360, 480), 1.287),
    ("enet", 19, (512, 1024), 4.037),
    ("espnet", 20, (512, 1024), 4.780),
    ("espnet_q5", 20, (512, 1024), 3.994),
    ("espnet_q3", 20, (512, 1024), 3.470),
    # published: 597.56, 1086.59, 1714.57 and 2699.05 M, which also count what is no convolution
    ("espnetv2_s05", 20, (512, 1024), 0.596),
    ("espnetv2_s10", 20, (512, 1024), 1.085),
    ("espnetv2_s15", 20, (512, 1024), 1.713),
    ("espnetv2_s20", 20, (512, 1024), 2.698),
    ("icnet_resnet18", 19, (512, 1024), 16.445),
    ("icnet_resnet50", 19, (512, 1024), 28.508),
    ("ppliteseg", 19, (512, 1024), 11.421),
    ("ppliteseg", 19, (768, 1536), 25.694),
    ("ppliteseg", 11, (720, 960), 15.132),
    ("ppliteseg_b", 19, (512, 1024), 19.228),
    ("ppliteseg_b", 11, (720, 960), 25.453),
    ("pspnet_resnet50", 19, (713, 713), 363.777),
    ("pspnet_resnet101", 19, (713, 713), 517.190),
    ("sfnet_resnet18", 19, (1024, 2048), 242.965),
    ("sfnet_resnet50", 19, (1024, 2048), 663.318),
    ("sfnet_lite_resnet18", 19, (1024, 2048), 177.947),
    ("stdcseg_stdc1", 19, (512, 1024), 16.863),
    ("stdcseg_stdc1", 19, (768, 1536), 37.942),
    ("stdcseg_stdc2", 19, (512, 1024), 23.457),
    ("stdcseg_stdc2", 19, (768, 1536), 52.777),
]


@pytest.mark.parametrize(
    ("name", "classes", "choices", "training", "inference"),
    [
        pytest.param(*row, id="-".join([row[0], str(row[1]), *row[2].values()]))
        for row in PARAMETERS
    ],
)
def test_parameters_are_the_official_ones(
    name: str, classes: int, choices: dict[str, str], training: int | None, inference: int | None
) -> None:
    model = on_meta(name, classes, **choices)
    assert training is None or parameters(model) == training
    assert inference is None or parameters(model.strip_auxiliary()) == inference


@pytest.mark.parametrize(
    ("name", "classes", "size", "gmacs"),
    [pytest.param(*row, id=f"{row[0]}-{row[2][0]}x{row[2][1]}") for row in WORK],
)
def test_work_is_the_official_one(
    name: str, classes: int, size: tuple[int, int], gmacs: float
) -> None:
    assert measure(on_meta(name, classes), size).macs / 1e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("afformer_tiny", 2_032_948), ("afformer_small", 2_228_748), ("afformer_base", 2_843_548)],
)
def test_afformers_encoders_have_the_official_parameters(name: str, expected: int) -> None:
    assert sum(parameters(part) for part in on_meta(name, 150).parts()["encoder"]) == expected


@pytest.mark.parametrize(("variant", "expected"), [("stdc1", 5_318_304), ("stdc2", 9_348_768)])
def test_stdc_has_the_official_parameters(variant: str, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(STDC(variant)) == expected


def test_each_part_of_bisenetv2_has_the_official_parameters() -> None:
    model = on_meta("bisenetv2", 19)
    parts = {name: sum(map(parameters, modules)) for name, modules in model.parts().items()}
    assert parameters(model.encoder.detail) == 519_232  # type: ignore[arg-type]
    assert parts["encoder"] + parts["context"] == 519_232 + 1_159_504
    assert parts["fusion"] == 478_720
    assert parts["head"] == 1_201_171


def fapn_macs(low: int, high: int, width: int, pixels: int, above: int) -> int:
    """By hand: attention on one pixel, projection, comparison, guide, deformable convolution."""
    groups = 8
    selection = low * low + low * width * pixels
    projection = 0 if high == width else high * width * above
    comparison = 2 * width * width * pixels
    guide = width * 3 * groups * 9 * 9 * pixels
    deformable = width * width * 9 * pixels
    return selection + projection + comparison + guide + deformable


@pytest.mark.parametrize(
    ("name", "channels", "width"),
    [("fapn_resnet18", (64, 128, 256), 128), ("fapn_resnet50", (256, 512, 1024), 256)],
)
def test_the_work_of_fapns_deformable_convolutions_is_counted(
    name: str, channels: tuple[int, ...], width: int
) -> None:
    height, breadth = 512, 1024
    by_hand = sum(
        fapn_macs(
            low, width, width, height * breadth // stride**2, height * breadth // (2 * stride) ** 2
        )
        for low, stride in zip(channels, (4, 8, 16), strict=True)
    )
    assert measure(on_meta(name, 19), (height, breadth)).parts["fusion"]["macs"] == by_hand


GUIDES = ("decoder_guide_8", "decoder_guide_16")
SFNET = ("decoder_16", "decoder_8", "decoder_fused4")
# Model, its heads of training, exchanged parts.
TRAINED: list[tuple[str, tuple[str, ...], dict[str, str]]] = [
    *((f"afformer_{size}", (), {}) for size in ("tiny", "small", "base")),
    *((f"alignseg_resnet{depth}", ("decoder_merged16",), {}) for depth in (50, 101)),
    ("dfanet", (), {}),
    ("dfanet_b", (), {}),
    ("dfanet", (), {"fusion": "add"}),
    ("dfanet", (), {"fusion": "uafm_spatial", "context": "sppm"}),
    ("dfanet", (), {"encoder": "stdc1"}),
    ("enet", (), {}),
    *((name, (), {}) for name in ("espnet", "espnet_q5", "espnet_q3")),
    *((f"espnetv2_s{width}", (), {}) for width in ("05", "10", "125", "15", "20")),
    *((f"fapn_resnet{depth}", (), {}) for depth in (18, 50)),
    ("fcn_resnet50", ("encoder_layer3",), {}),
    ("fcn8s_vgg16", (), {}),
    *((f"icnet_resnet{depth}", GUIDES, {}) for depth in (18, 50)),
    *((f"pspnet_resnet{depth}", ("encoder_layer3",), {}) for depth in (18, 50, 101)),
    ("segnet", (), {}),
    *((f"sfnet_resnet{depth}", SFNET, {}) for depth in (18, 50)),
    *((name, (), {}) for name in ("sfnet_lite_resnet18", "sfnet_stdc1", "sfnet_stdc2")),
]


@pytest.mark.parametrize(
    ("name", "heads", "choices"),
    [pytest.param(*row, id="-".join([row[0], *row[2].values()])) for row in TRAINED],
)
def test_it_trains_and_evaluates_at_an_odd_size(
    name: str, heads: tuple[str, ...], choices: dict[str, str]
) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=5, **choices).train()
    image = torch.randn(2, 3, 64, 96)
    before = image.clone()
    outputs = model(image)
    assert {key: tuple(x.shape) for key, x in outputs.items()} == dict.fromkeys(
        ["main", *heads], (2, 5, 64, 96)
    )
    torch.stack([x.square().mean() for x in outputs.values()]).sum().backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    if name.startswith("espnet"):  # with branches that could have no effect
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert torch.equal(image, before)
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 5, 37, 61) and torch.isfinite(logits).all()
