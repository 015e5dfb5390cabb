"""FCN: with ResNet-50 equal to torchvision's; FCN-8s equal to the authors' network."""

from __future__ import annotations

import official_record
import torch

import segscape
from segscape.models.layers import resize
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

RECORD = "fcn_torchvision_resnet50"


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official_resnet() -> tuple[Segmenter, dict]:
    record = official_record.read(RECORD)
    model = segscape.create_model("fcn_resnet50", num_classes=record["num_classes"])
    load_official(model, official_record.tensors(record))
    return model, record


def test_torchvision_weights_give_its_outputs() -> None:
    model, record = official_resnet()
    image = official_record.image(record)
    with torch.no_grad():
        raw = model.raw(image, auxiliary=True)
        assert list(raw) == ["main", "encoder_layer3"]
        for output, expected in zip(raw.values(), record["eval_outputs"], strict=True):
            full = resize(output, (128, 256))
            assert official_record.distance(full, expected) < 1e-4
        outputs = official_record.without_dropout(model).train()(image)
    for output, expected in zip(outputs.values(), record["train_outputs"], strict=True):
        assert official_record.distance(output, expected) < 1e-3


def test_the_comparison_notices_the_other_dilation() -> None:
    model, record = official_resnet()
    # PSPNet's: the first block of a layer is dilated like the others.
    model.encoder.layers[3][0].conv2.conv.dilation = (4, 4)  # type: ignore
    model.encoder.layers[3][0].conv2.conv.padding = (4, 4)  # type: ignore
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_the_resnet_has_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        model = segscape.create_model("fcn_resnet50", num_classes=19)
    assert parameters(model) == official_record.read(RECORD)["parameters"]


def test_the_choices_are_read_from_the_file() -> None:
    tensors = official_record.tensors(official_record.read(RECORD))
    assert infer_choices(tensors) == {
        "variant": "fcn_resnet50",
        "num_classes": 19,
        "encoder": "resnet50_dilated",
    }


def test_every_tensor_of_torchvision_has_a_place() -> None:
    from torchvision.models.segmentation import fcn_resnet101

    theirs = fcn_resnet101(
        weights=None, weights_backbone=None, num_classes=7, aux_loss=True
    ).state_dict()
    choices = infer_choices(theirs, "fcn")
    assert choices["encoder"] == "resnet101_dilated"
    model = segscape.create_model(
        choices["variant"], choices["num_classes"], encoder=choices["encoder"]
    )
    report = load_official(model, theirs)
    assert set(report.loaded) == set(theirs)
