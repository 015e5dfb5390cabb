"""SegNet equals PaddleSeg's, weights imported by name; max-unpooling equals torch's."""

from __future__ import annotations

import official_record
import pytest
import torch
from torch.nn import functional as F

import segscape
from segscape.errors import UserError
from segscape.models.contracts import MissingFeatures
from segscape.models.decoders.unpool import unpool
from segscape.models.segmenter import Segmenter
from segscape.models.weights.importer import infer_choices, load_official

RECORD = "segnet"


def parameters(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def official() -> tuple[Segmenter, dict]:
    record = official_record.read(RECORD)
    model = segscape.create_model("segnet", num_classes=record["num_classes"])
    report = load_official(model, official_record.tensors(record))
    assert not report.ignored
    return model, record


def test_official_weights_give_the_official_outputs() -> None:
    model, record = official()
    image = official_record.image(record)
    with torch.no_grad():
        logits = model(image)
        assert official_record.distance(logits, record["eval_outputs"][0]) < 1e-4
        outputs = model.train()(image)
    assert list(outputs) == ["main"]
    assert official_record.distance(outputs["main"], record["train_outputs"][0]) < 1e-3


def test_the_comparison_notices_wrong_indices(monkeypatch: pytest.MonkeyPatch) -> None:
    model, record = official()
    plain = model.encoder.forward  # type: ignore[attr-defined]

    def shifted(image: torch.Tensor) -> dict:
        features = plain(image)
        features["pool_2"] = features["pool_2"].flip(1)
        return features

    monkeypatch.setattr(model.encoder, "forward", shifted)
    with torch.no_grad():
        logits = model(official_record.image(record))
    assert official_record.distance(logits, record["eval_outputs"][0]) > 1e-2


def test_the_choices_are_read_from_the_file() -> None:
    tensors = official_record.tensors(official_record.read(RECORD))
    assert infer_choices(tensors) == {"variant": "segnet", "num_classes": 19}


# PaddleSeg has a convolution more at stride 2 (128 to 128 channels, with bias and BatchNorm) than
# the authors' Caffe network, whose counts at 11 and 19 classes are 29 449 355 and 29 453 971.
@pytest.mark.parametrize(
    ("decoder", "classes", "expected"),
    [
        ("unpool", 19, 29_601_811),
        ("unpool_caffe", 19, 29_453_971),
        ("unpool_caffe", 11, 29_449_355),
    ],
)
def test_parameters_are_the_official_ones(decoder: str, classes: int, expected: int) -> None:
    with torch.device("meta"):
        model = segscape.create_model("segnet", num_classes=classes, decoder=decoder)
        assert model(torch.empty(1, 3, 64, 96)).shape == (1, classes, 64, 96)
    assert parameters(model) == expected


def test_trains_a_step_and_takes_odd_sizes() -> None:
    torch.manual_seed(0)
    model = segscape.create_model("segnet", num_classes=5).train()
    outputs = model(torch.randn(2, 3, 64, 96))
    assert {key: tuple(x.shape) for key, x in outputs.items()} == {"main": (2, 5, 64, 96)}
    outputs["main"].square().mean().backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None]
    with torch.no_grad():
        logits = model.eval()(torch.randn(1, 3, 37, 61))
    assert logits.shape == (1, 5, 37, 61) and torch.isfinite(logits).all()


@pytest.mark.parametrize("last", [False, True], ids=["planar", "channels last"])
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_unpooling_is_that_of_torch(dtype: torch.dtype, size: tuple[int, int], last: bool) -> None:
    torch.manual_seed(0)
    layout = torch.channels_last if last else torch.contiguous_format
    x = torch.randn(2, 3, *size).to(dtype).to(memory_format=layout)
    pooled, indices = F.max_pool2d(x, 2, ceil_mode=True, return_indices=True)
    pooled.requires_grad_()
    ours = unpool(pooled, indices, size)
    assert torch.equal(ours, F.max_unpool2d(pooled, indices, 2, output_size=size))
    assert ours.is_contiguous(memory_format=layout)
    ours.sum().backward()
    assert torch.equal(pooled.grad, torch.ones_like(pooled))


def test_what_cannot_be_recombined_says_so() -> None:
    with pytest.raises(MissingFeatures, match=r"decoder unpool needs .*'pool_2'") as caught:
        segscape.create_model("ppliteseg", 5, decoder="unpool", overrides=["model.auxiliary=null"])
    assert "vgg16, vgg16_bn" in str(caught.value.hint)
    with pytest.raises(UserError, match="fusion has no effect") as refused:
        segscape.create_model("segnet", 5, fusion="add")
    assert "fld" in f"{refused.value.what} {refused.value.hint}"
