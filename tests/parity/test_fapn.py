"""FaPN's fusion equals the official alignment module; its networks have counted sizes."""

from __future__ import annotations

from typing import Any

import official_record
import pytest
import torch

import segscape
from segscape.models.fusions.fapn import FaPNFusion
from segscape.profiling.complexity import measure

NAMES = {
    "lateral_conv.conv_atten.weight": "select.attention.weight",
    "lateral_conv.conv.weight": "select.project.weight",
    "offset.weight": "compare.weight",
    "dcpack_L2.weight": "align.weight",
    "dcpack_L2.bias": "align.bias",
    "dcpack_L2.conv_offset_mask.weight": "align.guide.weight",
    "dcpack_L2.conv_offset_mask.bias": "align.guide.bias",
}
MODELS = ("fapn_resnet18", "fapn_resnet50")


def imported(record: dict[str, Any]) -> FaPNFusion:
    channels = [shape[1] for shape in record["inputs"].values()]
    fusion = FaPNFusion(*channels, record["eval_outputs"][0]["shape"][1]).eval()
    tensors = official_record.tensors(record)
    fusion.load_state_dict({NAMES[name]: value for name, value in tensors.items()})
    return fusion


def test_official_weights_give_the_official_output() -> None:
    record = official_record.read("fapn_fusion")
    fusion = imported(record)
    assert sum(p.numel() for p in fusion.parameters()) == record["parameters"] == 450_904
    low, high = (official_record.feature(k, s) for k, s in record["inputs"].items())
    with torch.no_grad():
        output = fusion(low, high)
        assert official_record.distance(output, record["eval_outputs"][0]) < 1e-4
        # The guide is of both features; that of one of them alone is noticed.
        fusion.compare.weight[:, 128:] = 0
        assert official_record.distance(fusion(low, high), record["eval_outputs"][0]) > 1e-2


def fusion_macs(low: int, high: int, width: int, pixels: int, above: int) -> int:
    """By hand: attention on one pixel, projection, comparison, guide, deformable convolution."""
    groups = 8
    selection = low * low + low * width * pixels
    projection = 0 if high == width else high * width * above
    comparison = 2 * width * width * pixels
    guide = width * 3 * groups * 9 * 9 * pixels
    deformable = width * width * 9 * pixels
    return selection + projection + comparison + guide + deformable


@pytest.mark.parametrize(
    ("name", "channels", "width", "params"),
    [
        ("fapn_resnet18", (64, 128, 256), 128, 13_191_560),
        ("fapn_resnet50", (256, 512, 1024), 256, 31_443_720),
    ],
)
def test_the_work_of_the_deformable_convolutions_is_counted(
    name: str, channels: tuple[int, ...], width: int, params: int
) -> None:
    with torch.device("meta"):
        model = segscape.create_model(name, num_classes=19)
    height, breadth = 512, 1024
    cost = measure(model, (height, breadth))
    by_hand = sum(
        fusion_macs(
            low, width, width, height * breadth // stride**2, height * breadth // (2 * stride) ** 2
        )
        for low, stride in zip(channels, (4, 8, 16), strict=True)
    )
    assert cost.parts["fusion"]["macs"] == by_hand
    assert cost.params == params


@pytest.mark.parametrize("name", MODELS)
def test_each_model_trains_and_evaluates(name: str) -> None:
    torch.manual_seed(0)
    model = segscape.create_model(name, num_classes=4).train()
    outputs = model(torch.randn(2, 3, 64, 96))
    assert list(outputs) == ["main"]
    outputs["main"].square().mean().backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        assert model.eval()(torch.randn(1, 3, 37, 61)).shape == (1, 4, 37, 61)
