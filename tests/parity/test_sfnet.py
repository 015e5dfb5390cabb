"""SFNet equals the official one; SFNet-Lite has its size, and its weights are imported by name.

The record was made without the dilations that the released code gives to the last two layers of
the ResNet: that is the network of the paper.
"""

from __future__ import annotations

from typing import Any

import official_record
import pytest
import torch
from torch import Tensor, nn

import segscape
from segscape.errors import UserError
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official
from segscape.profiling.complexity import measure

RECORD = "sfnet_official_resnet18"
MODELS = ("sfnet_resnet18", "sfnet_resnet50", "sfnet_lite_resnet18", "sfnet_stdc1", "sfnet_stdc2")


def meta(name: str, num_classes: int = 19, **choices: str) -> Segmenter:
    with torch.device("meta"):
        return segscape.create_model(name, num_classes=num_classes, **choices)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def imported(record: dict[str, Any], **choices: str) -> Segmenter:
    model = segscape.create_model("sfnet_resnet18", record["num_classes"], **choices)
    report = load_official(model, official_record.tensors(record))
    assert len(report.loaded) == len(record["tensors"]) and not report.ignored
    return model.eval()


def test_official_weights_give_the_official_outputs() -> None:
    record = official_record.read(RECORD)
    with torch.no_grad():
        logits = imported(record)(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4


def test_the_released_dilations_are_another_network() -> None:
    record = official_record.read(RECORD)
    with torch.no_grad():
        logits = imported(record, encoder="resnet18_sfnet")(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_a_checkpoint_tells_its_network() -> None:
    tensors = official_record.tensors(official_record.read(RECORD))
    expected = {"variant": "sfnet_resnet18", "num_classes": 19, "encoder": "resnet18_sfnet"}
    assert infer_choices(tensors) == expected
    assert infer_choices(tensors, "sfnet") == expected
    assert infer_choices(tensors, "sfnet_resnet18") == expected


@pytest.mark.parametrize(
    ("name", "inference", "training", "gmacs"),
    [
        ("sfnet_resnet18", 12_869_715, 13_320_588, 242.965),
        ("sfnet_resnet50", 31_325_139, None, 663.318),
        # the official count has a lateral and an auxiliary head that are never called
        ("sfnet_lite_resnet18", 12_296_074 - 65_920 - 150_291, 12_079_863, 177.947),
    ],
)
def test_size_is_the_official_one(
    name: str, inference: int, training: int | None, gmacs: float
) -> None:
    model = meta(name)
    assert training is None or parameters(model) == training
    cost = measure(model, (1024, 2048))
    assert cost.params == inference
    assert cost.macs / 1e9 == pytest.approx(gmacs, abs=6e-4)


@pytest.mark.parametrize("name", MODELS)
def test_each_model_trains_and_evaluates(name: str) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=4).train()
    outputs = model(torch.randn(2, 3, 64, 96))
    heads = () if "lite" in name or "stdc" in name else ("16", "8", "fused4")
    assert list(outputs) == ["main", *(f"decoder_{head}" for head in heads)]
    sum(x.square().mean() for x in outputs.values()).backward()
    silent = [key for key, p in model.named_parameters() if p.grad is None]
    assert not silent
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 4, 37, 61)


def resnet_lite() -> dict[str, Tensor]:
    """A checkpoint of SFNet-Lite under the official names, dead layers and all."""
    record = official_record.read(RECORD)
    shared = ("layer", "head.ppm.")
    shapes = {n: s for n, s, _ in record["tensors"] if n.startswith(shared)}
    return {name: torch.rand(shape) for name, shape in (shapes | lite_head(64, 256, 512)).items()}


def lite_head(*laterals: int) -> dict[str, list[int]]:
    """Shapes of the official head: one lateral more than are used is dead."""
    shapes: dict[str, list[int]] = {}

    def norm(name: str, channels: int) -> None:
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{leaf}"] = [channels]

    for index, channels in enumerate(laterals):
        shapes[f"head.fpn_in.{index}.0.weight"] = [128, channels, 1, 1]
        shapes[f"head.fpn_in.{index}.0.bias"] = [128]
        norm(f"head.fpn_in.{index}.1", 128)
    for name, shape in {"down_h": [64, 128, 1, 1], "down_l": [64, 128, 1, 1]}.items():
        shapes[f"head.flow_align_module.{name}.weight"] = shape
    shapes["head.flow_align_module.flow_make.weight"] = [4, 128, 3, 3]
    shapes["head.flow_align_module.flow_gate.0.weight"] = [1, 4, 3, 3]
    shapes["head.dsn.0.weight"] = [128, 128, 3, 3]
    norm("head.dsn.1", 128)
    shapes["head.dsn.4.weight"] = [7, 128, 1, 1]
    shapes["head.conv_last.0.0.weight"] = [128, 256, 3, 3]
    norm("head.conv_last.0.1", 128)
    shapes["head.conv_last.1.weight"] = [7, 128, 1, 1]
    shapes["head.conv_last.1.bias"] = [7]
    return shapes


def stdc_lite() -> dict[str, Tensor]:
    """The same with STDC1, whose layers the official state dict lists twice."""
    model = meta("sfnet_stdc1", num_classes=7)
    shapes: dict[str, list[int]] = lite_head(64, 512)
    for name, value in model.encoder.state_dict().items():
        theirs = name.replace("layers.", "backbone.features.").replace(".convs.", ".conv_list.")
        theirs = theirs.replace("down.conv", "avd_layer.0").replace("down.norm", "avd_layer.1")
        shapes[theirs.replace(".norm.", ".bn.")] = list(value.shape)
    ppm = {"branches.": "stages.", "out.conv": "bottleneck.0", "out.norm": "bottleneck.1"}
    for name, value in model.context.state_dict().items():
        for ours, theirs in ppm.items():
            name = name.replace(ours, theirs)
        name = name.replace(".conv.", ".1.").replace(".norm.", ".2.")
        shapes[f"head.ppm.{name}"] = list(value.shape)
    shapes["backbone.linear.weight"] = [1000, 1024]
    found = {name: torch.rand(s) for name, s in shapes.items() if "num_batches" not in name}
    found["backbone.x8.0.1.conv_list.2.bn.weight"] = found[
        "backbone.features.3.conv_list.2.bn.weight"
    ]
    return found


def test_a_lite_checkpoint_with_resnet_fits() -> None:
    tensors = resnet_lite()
    chosen = infer_choices(tensors)
    assert chosen == {"variant": "sfnet_lite_resnet18", "num_classes": 7}
    model = segscape.create_model("sfnet_lite_resnet18", num_classes=7)
    report = load_official(model, tensors)
    rules = set(report.ignored.values())
    assert rules == {"lateral without a use", "auxiliary head without a use"}
    gate = tensors["head.flow_align_module.flow_gate.0.weight"]
    assert torch.equal(model.decoder.fusions[0].gate.weight, gate)
    assert torch.equal(model.decoder.lateral16.conv.weight, tensors["head.fpn_in.1.0.weight"])


def test_a_lite_checkpoint_with_stdc_fits() -> None:
    tensors = stdc_lite()
    assert infer_choices(tensors) == {"variant": "sfnet_stdc1", "num_classes": 7}
    model = segscape.create_model("sfnet_stdc1", num_classes=7)
    load_official(model, tensors)
    twin = tensors["backbone.features.3.conv_list.2.bn.weight"]
    assert torch.equal(model.encoder.layers[3].convs[2].norm.weight, twin)

    tensors["backbone.x8.0.1.conv_list.2.bn.weight"] = twin + 1
    with pytest.raises(UserError, match=r"differs from 'backbone\.features\.3"):
        load_official(model, tensors)


def test_another_gate_is_refused() -> None:
    tensors = resnet_lite()
    tensors["head.flow_align_module.flow_gate.0.weight"] = torch.rand(1, 128, 3, 3)
    with pytest.raises(UserError, match="gate is computed from the features"):
        infer_choices(tensors)
