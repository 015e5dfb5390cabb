"""ICNet equals liminn's, weights imported by name, in evaluation and in training."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch import Tensor, nn

import segscape
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official
from segscape.profiling.complexity import measure

MODELS = ("icnet_resnet18", "icnet_resnet50")
GUIDES = ("decoder_guide_8", "decoder_guide_16")


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official() -> tuple[Segmenter, dict[str, object]]:
    record = official_record.read("icnet_resnet50")
    model = segscape.create_model("icnet_resnet50", num_classes=19)
    load_official(model, official_record.tensors(record))
    return model, record


def outputs(model: Segmenter, image: Tensor) -> list[Tensor]:
    """In liminn's order: at the size of the image, at strides 4, 8 and 16."""
    with torch.no_grad():
        raw, full = model.raw(image, auxiliary=True), model(image)
    main = full["main"] if model.training else full
    return [main, raw["main"], *(raw[guide] for guide in GUIDES)]


@pytest.mark.parametrize(("mode", "tolerance"), [("eval", 1e-4), ("train", 1e-3)])
def test_official_weights_give_the_official_outputs(mode: str, tolerance: float) -> None:
    model, record = official()
    model.train(mode == "train")
    ours = outputs(model, official_record.image(record))
    assert len(ours) == len(record[f"{mode}_outputs"]) == 4
    for output, expected in zip(ours, record[f"{mode}_outputs"], strict=True):
        assert official_record.distance(output, expected) < tolerance


def test_the_comparison_notices_a_small_change() -> None:
    model, record = official()
    model.decoder.fusions[0].high.conv.dilation = (1, 1)
    model.decoder.fusions[0].high.conv.padding = (1, 1)
    ours = outputs(model, official_record.image(record))
    assert official_record.distance(ours[0], record["eval_outputs"][0]) > 1e-2


def test_the_checkpoint_tells_what_it_is() -> None:
    tensors = official_record.tensors(official_record.read("icnet_resnet50"))
    assert infer_choices(tensors) == {
        "variant": "icnet_resnet50",
        "num_classes": 19,
        "encoder": "icnet_resnet50",
    }
    report = load_official(segscape.create_model("icnet_resnet50", num_classes=19), tensors)
    assert set(report.ignored) == {"pretrained.fc.weight", "pretrained.fc.bias"}


def test_parameters_are_the_official_ones() -> None:
    with torch.device("meta"):
        model = segscape.create_model("icnet_resnet50", num_classes=19)
    # liminn's trainable ones, without the classifier of ImageNet
    assert parameters(model) == 28_298_376 - (2048 * 1000 + 1000)
    assert parameters(model.strip_auxiliary()) == 26_244_512


@pytest.mark.parametrize(
    ("name", "gmacs"), [("icnet_resnet18", 16.445), ("icnet_resnet50", 28.508)]
)
def test_the_figures_of_the_headers(name: str, gmacs: float) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
    assert measure(model, (512, 1024)).macs / 1e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize("name", MODELS)
def test_trains_a_step_and_takes_any_size(name: str) -> None:
    model = segscape.create_model(name, num_classes=5).train()
    logits = model(torch.randn(2, 3, 64, 96))
    assert list(logits) == ["main", *GUIDES]
    sum(x.square().mean() for x in logits.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)


@pytest.mark.parametrize(
    ("choices", "guides"),
    [
        # UAFM gives no guide of its own: the heads then read the deep inputs as they come.
        (
            {"fusion": "uafm_spatial"},
            {"decoder_guide_8": (2, 5, 4, 6), "decoder_guide_16": (2, 5, 2, 3)},
        ),
        (
            {"encoder": "stdc1"},
            {"decoder_guide_8": (2, 5, 8, 12), "decoder_guide_16": (2, 5, 4, 6)},
        ),
        (
            {"encoder": "stdc1", "context": "sppm", "fusion": "add"},
            {"decoder_guide_8": (2, 5, 4, 6), "decoder_guide_16": (2, 5, 2, 3)},
        ),
    ],
)
def test_its_parts_recombine(choices: dict[str, str], guides: dict[str, tuple[int, ...]]) -> None:
    model = segscape.create_model("icnet_resnet18", num_classes=5, **choices).train()
    logits = model.raw(torch.randn(2, 3, 64, 96), auxiliary=True)
    assert {name: tuple(logits[name].shape) for name in GUIDES} == guides
    sum(x.square().mean() for x in logits.values()).backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 5, 37, 61)


def test_the_encoder_feeds_another_decoder() -> None:
    model = segscape.create_model("ppliteseg", num_classes=5, encoder="icnet_resnet18").train()
    assert model(torch.randn(2, 3, 64, 96))["decoder_32"].shape == (2, 5, 64, 96)


def test_the_small_images_round_up() -> None:
    model = segscape.create_model("icnet_resnet18", num_classes=5)
    with torch.no_grad():
        features = model.encoder(torch.randn(1, 3, 37, 61))
    sizes = {stride: tuple(x.shape[2:]) for stride, x in features.items()}
    assert sizes == {2: (19, 31), 4: (10, 16), 8: (5, 8), 16: (3, 4), 32: (2, 2)}
