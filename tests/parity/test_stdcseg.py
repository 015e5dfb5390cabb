"""STDC-Seg equals the official one, weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.errors import UserError
from segscape.models.encoders.stdc import STDC
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

RECORD = official_record.read("stdcseg_official_stdc1")
HEADS = ["main", "decoder_context8", "decoder_16", "detail"]
# Of the official graph: the ImageNet classifier (3 125 248) and the detail heads at strides 2, 4
# and 16, whose loss is never taken.
DEAD = 3_125_248 + sum(64 * (9 * c + 3) for c in (32, 64, 512))


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official() -> Segmenter:
    model = segscape.create_model("stdcseg_stdc1", num_classes=19)
    load_official(model, official_record.tensors(RECORD))
    return model


@torch.no_grad()
def recorded(model: Segmenter) -> dict[str, Tensor]:
    """Class scores at the size of the image, edges as the head gives them."""
    image = official_record.image(RECORD)
    outputs = model.raw(image, auxiliary=True)
    assert list(outputs) == HEADS
    full = {
        name: torch.nn.functional.interpolate(
            y, image.shape[2:], mode="bilinear", align_corners=True
        )
        for name, y in outputs.items()
    }
    return full | {"detail": outputs["detail"]}


def test_official_weights_give_the_official_outputs() -> None:
    model = official()
    for output, expected in zip(
        recorded(model.eval()).values(), RECORD["eval_outputs"], strict=True
    ):
        assert official_record.distance(output, expected) < 1e-4
    with torch.no_grad():
        assert (
            official_record.distance(
                model(official_record.image(RECORD)), RECORD["eval_outputs"][0]
            )
            < 1e-4
        )
    for output, expected in zip(
        recorded(model.train()).values(), RECORD["train_outputs"], strict=True
    ):
        assert official_record.distance(output, expected) < 1e-3


@torch.no_grad()
def test_the_comparison_notices_paddles_way_of_pooling() -> None:
    model = segscape.create_model("stdcseg_stdc1", num_classes=19, encoder="stdc1")
    load_official(model, official_record.tensors(RECORD))
    logits = model(official_record.image(RECORD))
    assert official_record.distance(logits, RECORD["eval_outputs"][0]) > 1e-2


def test_every_tensor_is_accounted_for() -> None:
    model = segscape.create_model("stdcseg_stdc1", num_classes=19)
    report = load_official(model, official_record.tensors(RECORD))
    assert len(report.loaded) + len(report.ignored) == len(RECORD["tensors"])
    assert set(report.ignored.values()) == {
        "classifier of the encoder",
        "second name of a layer",
        "unused detail head",
    }
    assert parameters(model) == RECORD["parameters"] - DEAD


def test_a_second_name_must_repeat_the_layer() -> None:
    tensors = official_record.tensors(RECORD)
    name = "cp.backbone.x8.0.2.conv_list.1.conv.weight"
    tensors[name] = tensors[name] + 1
    with pytest.raises(UserError, match="which it should repeat"):
        load_official(segscape.create_model("stdcseg_stdc1", num_classes=19), tensors)


def test_the_scale_of_in_place_abn_has_no_sign() -> None:
    tensors = official_record.tensors(RECORD)
    for name in ("ffm.convblk.bn.weight", "cp.arm16.bn_atten.weight"):
        tensors[name] = -tensors[name]
    model = segscape.create_model("stdcseg_stdc1", num_classes=19)
    load_official(model, tensors)
    for ours, plain in zip(
        model.state_dict().values(), official().state_dict().values(), strict=True
    ):
        assert torch.equal(ours, plain)


def test_the_file_tells_how_it_was_made() -> None:
    assert infer_choices(official_record.tensors(RECORD)) == {
        "variant": "stdcseg_stdc1",
        "num_classes": 19,
        "encoder": "stdc1_official",
        "fusion": "ffm_stdc",
    }


@torch.no_grad()
def test_the_classifier_gives_the_encoder() -> None:
    prefix = "cp.backbone."
    tensors = {
        name.removeprefix(prefix): tensor
        for name, tensor in official_record.tensors(RECORD).items()
        if name.startswith(prefix)
    }
    assert infer_choices(tensors) == {"encoder": "stdc1_official"}
    encoder = STDC("stdc1", count_include_pad=True)
    load_official(encoder, tensors, system="stdc")
    for ours, whole in zip(
        encoder.state_dict().values(), official().encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, whole)


@pytest.mark.parametrize(
    ("name", "training", "inference"),
    [
        ("stdcseg_stdc1", 12_048_928 - DEAD, 8_275_104),
        ("stdcseg_stdc2", 16_079_392 - DEAD, 12_305_568),
    ],
)
def test_parameters_are_the_official_ones(name: str, training: int, inference: int) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
    assert parameters(model) == training
    assert parameters(model.strip_auxiliary()) == inference


@pytest.mark.parametrize(
    ("name", "size", "gmacs"),
    [
        ("stdcseg_stdc1", (512, 1024), 16.863),
        ("stdcseg_stdc1", (768, 1536), 37.942),
        ("stdcseg_stdc2", (512, 1024), 23.457),
        ("stdcseg_stdc2", (768, 1536), 52.777),
    ],
)
def test_work_is_the_official_one(name: str, size: tuple[int, int], gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
        image = torch.empty(1, 3, *size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(image)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)
