"""AFFormer equals the official one, weights imported by name."""

from __future__ import annotations

from pathlib import Path

import official_record
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import segscape
from segscape.errors import UserError
from segscape.models.encoders.afformer import AFFormer
from segscape.models.heads.afformer import AFFormerHead
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

RECORDS = ("afformer_tiny", "afformer_base")
VARIANTS = ("afformer_tiny", "afformer_small", "afformer_base")
ALIGN = 66_048
"""Parameters of the official head that no input reaches."""


def build(name: str, num_classes: int = 19) -> Segmenter:
    torch.manual_seed(0)
    return segscape.create_model(name, num_classes=num_classes)


def official(name: str) -> dict[str, Tensor]:
    return official_record.tensors(official_record.read(name))


def encoder_part(name: str) -> dict[str, Tensor]:
    """What an ImageNet checkpoint holds: the backbone's names and a classifier."""
    prefix = "backbone."
    found = {k.removeprefix(prefix): v for k, v in official(name).items() if k.startswith(prefix)}
    return {**found, "cls_head.cls.weight": torch.zeros(1000, 216)}


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", RECORDS)
def test_official_weights_give_the_official_outputs(name: str) -> None:
    record = official_record.read(name)
    model = build(name, record["num_classes"])
    report = load_official(model, official_record.tensors(record))
    with torch.no_grad():
        logits = model.eval()(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4
    aliases = sum(kind.startswith("alias:") for *_, kind in record["tensors"])
    assert set(report.ignored.values()) == {
        "second name of a shared layer",
        "unused layer of the head",
    }
    assert len(report.ignored) == aliases + 3


def test_the_comparison_notices_a_small_change() -> None:
    record = official_record.read("afformer_tiny")
    model = build("afformer_tiny", record["num_classes"]).eval()
    load_official(model, official_record.tensors(record))
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = 1e-2
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-3


# Counted independently from the official graph, with its unused layer.
@pytest.mark.parametrize(
    ("name", "encoder", "ade20k", "cityscapes"),
    [
        ("afformer_tiny", 2_032_948, 2_193_354, 2_159_687),
        ("afformer_small", 2_228_748, 2_389_154, 2_355_487),
        ("afformer_base", 2_843_548, 3_003_954, 2_970_287),
    ],
)
def test_parameters_are_the_official_ones(
    name: str, encoder: int, ade20k: int, cityscapes: int
) -> None:
    with torch.device("meta"):
        model = build(name, 150)
        assert parameters(model) == ade20k - ALIGN
        assert parameters(build(name, 19)) == cityscapes - ALIGN
    assert sum(parameters(part) for part in model.parts()["encoder"]) == encoder


@pytest.mark.parametrize(
    ("name", "small", "large"),
    [
        ("afformer_tiny", 3.079, 23.537),
        ("afformer_small", 3.334, 25.571),
        ("afformer_base", 4.344, 33.656),
    ],
)
def test_work_is_the_official_one(name: str, small: float, large: float) -> None:
    cases = [((512, 512), 150, small), ((1024, 2048), 19, large)]
    for size, num_classes, gmacs in cases:
        with torch.device("meta"):
            model = build(name, num_classes).eval()
            image = torch.empty(1, 3, *size)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(image)
        assert counter.get_total_flops() / 2e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize("name", RECORDS)
def test_the_choices_of_a_checkpoint_are_inferred(name: str) -> None:
    expected = {"variant": name, "num_classes": 150, "encoder": name}
    assert infer_choices(official(name)) == expected
    assert infer_choices(encoder_part(name)) == {"encoder": name}


@pytest.mark.parametrize("name", VARIANTS)
def test_trains_and_evaluates(name: str) -> None:
    model = build(name)
    outputs = model.train()(torch.randn(2, 3, 64, 96))
    assert {key: tuple(x.shape) for key, x in outputs.items()} == {"main": (2, 19, 64, 96)}
    outputs["main"].square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 19, 37, 61)


def test_a_shared_layer_that_differs_is_refused() -> None:
    tensors = official("afformer_tiny")
    name = "backbone.mhca_stages.2.mhca_blks.0.MHCA_layers.3.cpe.proj.weight"
    tensors[name] = tensors[name] + 1
    with pytest.raises(UserError, match=r"cannot be ignored as 'second name.*it differs from"):
        load_official(build("afformer_tiny", 150), tensors)


def test_the_imagenet_checkpoint_fills_the_encoder(tmp_path: Path) -> None:
    file = tmp_path / "afformer.pth"
    torch.save({"state_dict": encoder_part("afformer_tiny")}, file)
    encoder = AFFormer((32, 64, 160, 216), (2, 4, 2), weights=str(file))
    whole = build("afformer_tiny", 150)
    load_official(whole, official("afformer_tiny"))
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, whole.encoder.state_dict()[name]), name
    with pytest.raises(UserError, match="tensors have another shape"):
        AFFormer(weights=str(file))


def test_impossible_widths_are_refused() -> None:
    with pytest.raises(UserError, match="each must be a multiple of 8"):
        AFFormer((32, 64, 170, 216))
    with pytest.raises(UserError, match="four widths"):
        AFFormer((32, 64, 160), (2, 4, 2))
    with pytest.raises(UserError, match="multiple of 32"):
        AFFormerHead(8, 5, mid_channels=40)


@pytest.mark.parametrize("encoder", ["afformer_tiny", "resnet18"])
def test_its_features_suit_pyramid_decoders(encoder: str) -> None:
    model = segscape.create_model("ppliteseg", num_classes=5, encoder=encoder)
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)


def test_head_free_takes_any_stride_of_any_encoder() -> None:
    model = segscape.create_model("afformer_tiny", num_classes=5, encoder="resnet18")
    assert model.head.conv.in_channels == 128
    with pytest.raises(UserError, match="decoder head_free needs features at stride 8"):
        segscape.create_model("afformer_tiny", num_classes=5, encoder="timm", **VIT)


VIT = {"overrides": ["encoder.name=vit_tiny_patch16_224"]}
