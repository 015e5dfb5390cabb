"""PP-LiteSeg equals PaddleSeg's, weights imported by name, in evaluation and in training."""

from __future__ import annotations

from functools import partial

import official_record
import pytest
import torch
from torch import nn

from segscape.models.contexts.sppm import SPPM
from segscape.models.decoders.fld import FLD
from segscape.models.encoders.stdc import STDC
from segscape.models.fusions.add import Add
from segscape.models.fusions.uafm import UAFMChannel, UAFMSpatial
from segscape.models.heads.seg import SegHead
from segscape.models.segmenter import Segmenter, assemble
from segscape.models.weights.importer import load_official

RECORDS = {
    "ppliteseg_t": UAFMSpatial,
    "ppliteseg_t_channel": UAFMChannel,
    "ppliteseg_t_add": Add,
}
# In training, channel attention normalises two values per channel (batch 2, maps of 1x1). Where the
# two nearly agree, rounding is divided by rounding: our float64 result is 0.27 % from the record,
# and float32 results on different numbers of threads are 0.01 % to 0.9 % from it.
TRAIN_TOLERANCE = {"ppliteseg_t": 1e-3, "ppliteseg_t_channel": 2e-2, "ppliteseg_t_add": 1e-3}

T = ("stdc1", (32, 64, 128))
B = ("stdc2", (64, 96, 128))


def build(
    variant: str = "stdc1",
    widths: tuple[int, ...] = (32, 64, 128),
    fusion: type[nn.Module] = UAFMSpatial,
    num_classes: int = 19,
) -> Segmenter:
    decoder = partial(FLD, widths=widths)
    return assemble(STDC(variant), SPPM, decoder, fusion, SegHead, num_classes=num_classes)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", RECORDS)
def test_official_weights_give_the_official_outputs(name: str) -> None:
    record = official_record.read(name)
    model = build(fusion=RECORDS[name], num_classes=record["num_classes"])
    load_official(model, official_record.tensors(record))
    image = official_record.image(record)

    with torch.no_grad():
        logits = model.eval()(image)
        assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4
        outputs = model.train()(image)
    assert list(outputs) == ["main", "decoder_16", "decoder_32"]
    for output, expected in zip(outputs.values(), record["train_outputs"], strict=True):
        assert official_record.distance(output, expected) < TRAIN_TOLERANCE[name]


def test_the_comparison_notices_a_small_change() -> None:
    record = official_record.read("ppliteseg_t")
    model = build().eval()
    load_official(model, official_record.tensors(record))
    # The official STDC's way of pooling, which PaddleSeg does not have.
    for module in model.encoder.modules():
        if isinstance(module, nn.AvgPool2d):
            module.count_include_pad = True
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


# Counted independently from PaddleSeg's graph, minus its three constants `_scale`.
@pytest.mark.parametrize(
    ("parts", "num_classes", "training", "inference"),
    [
        (T, 19, 8_141_603 - 3, 8_028_323 - 3),
        (T, 11, 8_140_323 - 3, 8_028_067 - 3),
        (B, 19, 12_366_467 - 3, 12_234_755 - 3),
        (B, 11, 12_364_931 - 3, 12_234_243 - 3),
    ],
)
def test_parameters_are_the_official_ones(
    parts: tuple[str, tuple[int, ...]], num_classes: int, training: int, inference: int
) -> None:
    variant, widths = parts
    with torch.device("meta"):
        model = build(variant, widths, num_classes=num_classes)
    assert parameters(model) == training
    assert parameters(model.strip_auxiliary()) == inference


@pytest.mark.parametrize(("variant", "expected"), [("stdc1", 5_318_304), ("stdc2", 9_348_768)])
def test_stdc_has_the_official_number_of_parameters(variant: str, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(STDC(variant)) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ppliteseg_t", 8_141_600),
        ("ppliteseg_t_channel", 8_234_432),
        ("ppliteseg_t_add", 8_141_312),
    ],
)
def test_each_fusion_has_the_official_number_of_parameters(name: str, expected: int) -> None:
    with torch.device("meta"):
        assert parameters(build(fusion=RECORDS[name])) == expected


@pytest.mark.parametrize(
    ("parts", "size", "gmacs"),
    [
        *((T, (512, 1024), 11.421), (T, (768, 1536), 25.694), (T, (720, 960), 15.132)),
        *((B, (512, 1024), 19.228), (B, (720, 960), 25.453)),
    ],
)
def test_work_is_the_official_one(
    parts: tuple[str, tuple[int, ...]], size: tuple[int, int], gmacs: float
) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    variant, widths = parts
    with torch.device("meta"):
        model = build(variant, widths, num_classes=11 if size == (720, 960) else 19).eval()
        image = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    measured = counter.get_total_flops() / 2e9
    assert measured == pytest.approx(gmacs, abs=6e-4)
