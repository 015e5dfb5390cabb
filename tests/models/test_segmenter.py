"""The network around the parts: sizes, normalisation, heads, its description."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segscape.errors import UserError
from segscape.models.contexts.sppm import SPPM
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.decoders.fld import FLD
from segscape.models.encoders.timm_adapter import TimmEncoder
from segscape.models.fusions.add import Add
from segscape.models.fusions.uafm import UAFMSpatial
from segscape.models.heads.seg import SegHead
from segscape.models.segmenter import Segmenter, assemble


class Tiny(nn.Module):
    """Strided convolutions, and an extra output."""

    def __init__(self, strides: tuple[int, ...] = (4, 8, 16, 32)) -> None:
        super().__init__()
        self.spec = FeatureSpec(dict.fromkeys(strides, 6), {"detail": (8, 3)})
        self.multiple = self.spec.deepest
        self.convs = nn.ModuleList(nn.Conv2d(3, 6, s, s) for s in strides)
        self.detail = nn.Conv2d(3, 3, 8, 8)

    def forward(self, image: Tensor) -> Features:
        maps = {s: conv(image) for s, conv in zip(self.spec.strides, self.convs, strict=True)}
        return {**maps, "detail": self.detail(image)}


def build(**choices: object) -> Segmenter:
    torch.manual_seed(0)
    arguments: dict = {
        "encoder": Tiny(),
        "context": partial(SPPM, out_channels=8),
        "decoder": partial(FLD, widths=(4, 5, 6)),
        "fusion": UAFMSpatial,
        "head": SegHead,
        "num_classes": 3,
    }
    return assemble(**{**arguments, **choices})


@pytest.mark.parametrize("size", [(97, 131), (1, 1), (64, 33), (32, 64)])
def test_any_size_is_padded_at_the_right_and_bottom_and_cropped_back(
    size: tuple[int, int],
) -> None:
    model = build().eval()
    height, width = size
    image = torch.randn(2, 3, height, width)
    padded = F.pad(image, (0, -width % 32, 0, -height % 32))
    with torch.no_grad():
        logits = model(image)
        expected = model(padded)[:, :, :height, :width]
    assert logits.shape == (2, 3, height, width)
    torch.testing.assert_close(logits, expected)


def test_training_gives_every_head_at_full_size_and_evaluation_only_the_main_one() -> None:
    auxiliary = ("decoder_16", "encoder_32", "encoder_detail")
    model = build(auxiliary=auxiliary).train()
    outputs = model(torch.randn(2, 3, 50, 70))
    assert list(outputs) == ["main", *auxiliary]
    assert {tuple(x.shape) for x in outputs.values()} == {(2, 3, 50, 70)}
    sum(x.sum() for x in outputs.values()).backward()
    for name, head in model.auxiliary.items():
        assert all(p.grad is not None for p in head.parameters()), name

    image = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        before = model.eval()(image)
        after = model.strip_auxiliary()(image)
    assert torch.equal(before, after)
    assert not [name for name in model.state_dict() if name.startswith("auxiliary")]
    assert list(model.train()(torch.randn(2, 3, 64, 64))) == ["main"]


def test_normalisation_is_the_formula_and_keeps_layout_and_input() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    model = build(mean=mean, std=std)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 6, 8), dtype=np.uint8)
    images = torch.from_numpy(pixels.copy()).to(memory_format=torch.channels_last)
    result = model.normalize(images)
    column = (1, 3, 1, 1)
    expected = (pixels / 255 - np.reshape(mean, column)) / np.reshape(std, column)
    np.testing.assert_allclose(result.numpy(), expected, atol=2e-6)
    assert result.dtype == torch.float32
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(images.numpy(), pixels)
    floats = images.float()
    torch.testing.assert_close(model.normalize(floats), result)
    assert np.array_equal(floats.numpy(), pixels)


def test_checkpoints_hold_no_normalisation() -> None:
    names = build().state_dict()
    assert {name.partition(".")[0] for name in names} == {
        "encoder",
        "context",
        "decoder",
        "head",
        "auxiliary",
    }


def test_parts_cover_every_parameter_once() -> None:
    model = build().strip_auxiliary()
    parts = model.parts()
    assert list(parts) == ["encoder", "context", "decoder", "fusion", "head"]
    counted = [id(p) for ms in parts.values() for m in ms for p in m.parameters()]
    assert sorted(counted) == sorted(id(p) for p in model.parameters())
    assert len(parts["fusion"]) == 3


def test_a_copy_is_independent_and_equal() -> None:
    model = build(classes=("a", "b", "c"), palette=((0, 0, 0), (1, 1, 1), (2, 2, 2)), name="tiny")
    twin = copy.deepcopy(model).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model.eval()(image), twin(image))
    assert (twin.name, twin.classes, twin.palette) == ("tiny", ("a", "b", "c"), model.palette)


def test_channels_last_gives_the_same_logits() -> None:
    model = build().eval()
    image = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        plain = model(image)
        last = model.to(memory_format=torch.channels_last)(
            image.to(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(plain, last, atol=1e-5, rtol=1e-4)


def test_export_gives_the_same_logits() -> None:
    model = build(encoder=TimmEncoder(), fusion=Add).eval()
    image = torch.randn(1, 3, 50, 70)
    exported = torch.export.export(model, (image,)).module()
    other = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        torch.testing.assert_close(exported(other), model(other), atol=1e-5, rtol=1e-4)


class Straight(nn.Module):
    """A decoder that uses neither context nor fusion."""

    requires = (8,)
    uses = frozenset[str]()

    def __init__(self, spec: FeatureSpec, context_channels: int, fusion: None) -> None:
        super().__init__()
        assert context_channels == 0 and fusion is None
        self.spec = FeatureSpec({8: spec.channels[8]})
        self.fusions = nn.ModuleList()

    def forward(self, features: Features, context: Tensor | None) -> dict[int, Tensor]:
        assert context is None
        return {8: features[8]}


def test_a_decoder_may_use_neither_context_nor_fusion() -> None:
    model = build(decoder=Straight, context=None, fusion=None, auxiliary=())
    assert model.eval()(torch.randn(1, 3, 20, 20)).shape == (1, 3, 20, 20)
    assert model.parts()["context"] == model.parts()["fusion"] == []


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"decoder": Straight, "context": None}, "Straight uses no fusion"),
        ({"decoder": partial(Straight), "fusion": None}, "Straight uses no context"),
        ({"fusion": None}, "FLD needs a fusion"),
        ({"context": None}, "FLD needs a context"),
        (
            {"encoder": Tiny((4, 8))},
            r"fld needs features at stride 16, stride 32.*gives stride 4, stride 8,",
        ),
        (
            {"auxiliary": ("decoder_4",)},
            r"'decoder_4': there is no feature 4; available: 8, 16, 32",
        ),
        ({"auxiliary": ("encoder_edge",)}, r"available: 4, 8, 16, 32, detail"),
        ({"auxiliary": ("head_8",)}, "features are decoder_<stride>"),
        ({"classes": ("a", "b")}, "2 class names for num_classes=3"),
    ],
)
def test_parts_that_do_not_fit_are_named(choices: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(**choices)
