"""FCN-8s equals the authors' network, of which there is no record."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import segscape
from segscape.errors import UserError
from segscape.models.encoders import vgg
from segscape.models.segmenter import Segmenter
from segscape.models.weights.fcn import bilinear_kernel
from segscape.models.weights.importer import infer_choices, load_official

CONVOLUTIONS = [
    f"conv{stage}_{i}"
    for stage, count in enumerate((2, 2, 3, 3, 3), 1)
    for i in range(1, count + 1)
]


def published_fcn8s(weights: dict[str, Tensor], image: Tensor) -> Tensor:
    """FCN-8s as published: padded by 100 pixels, fixed transposed convolutions, crops."""

    def conv(name: str, x: Tensor, padding: int = 0) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=padding)

    def up(name: str, x: Tensor, stride: int) -> Tensor:
        return F.conv_transpose2d(x, weights[f"{name}.weight"], stride=stride)

    def crop(x: Tensor, offset: int, like: Tensor) -> Tensor:
        return x[:, :, offset : offset + like.shape[2], offset : offset + like.shape[3]]

    x, pools = image, []
    for name in CONVOLUTIONS:
        stage, index = name.removeprefix("conv").split("_")
        x = conv(name, x, 100 if name == "conv1_1" else 1).relu()
        if index == ("2" if stage in "12" else "3"):
            x = F.max_pool2d(x, 2, ceil_mode=True)
            pools.append(x)
    x = up("upscore2", conv("score_fr", conv("fc7", conv("fc6", x).relu()).relu()), 2)
    x = up("upscore_pool4", x + crop(conv("score_pool4", pools[3]), 5, x), 2)
    x = up("upscore8", x + crop(conv("score_pool3", pools[2]), 9, x), 8)
    return crop(x, 31, image)


def fcn8s_tensors(model: Segmenter) -> dict[str, Tensor]:
    """Random weights under the names of wkentaro/pytorch-fcn."""
    ours = {name: p.shape for name, p in model.named_parameters()}
    names = [*CONVOLUTIONS, "fc6", "fc7", "score_fr", "score_pool4", "score_pool3"]
    where = [name.rpartition(".")[0] for name in ours if name.endswith("weight")]
    order = sorted(where, key=lambda name: name.endswith("scores.0"))  # score_pool3 comes last
    found = {}
    for theirs, mine in zip(names, order, strict=True):
        shape = ours[f"{mine}.weight"]
        found[f"{theirs}.weight"] = torch.randn(shape) * (2 / shape[1:].numel()) ** 0.5
        found[f"{theirs}.bias"] = torch.randn(shape[0]) * 0.3
    identity = torch.eye(model.num_classes)[:, :, None, None]
    for name, side in (("upscore2", 4), ("upscore_pool4", 4), ("upscore8", 16)):
        found[f"{name}.weight"] = identity * bilinear_kernel(side)
    return found


def small_fcn8s(monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    monkeypatch.setattr(vgg, "_WIDTHS", (3, 4, 5, 6, 6))
    torch.manual_seed(0)
    return segscape.create_model("fcn8s_vgg16", 4, overrides=["context.out_channels=8"])


def test_fcn8s_is_the_published_one_away_from_the_border(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_fcn8s(monkeypatch)
    weights = fcn8s_tensors(model)
    report = load_official(model, weights)
    assert set(report.loaded) | set(report.ignored) == set(weights) and len(report.ignored) == 3
    image = torch.randn(1, 3, 637, 669)
    with torch.no_grad():
        published = published_fcn8s(weights, image)
        # Cells of stride 32 start 3 pixels before the image there, with the image here.
        ours = model(F.pad(image, (3, 0, 3, 0)))[:, :, 3:, 3:]
    inner = (..., slice(250, -250), slice(250, -250))
    torch.testing.assert_close(ours[inner], published[inner], atol=1e-5, rtol=1e-4)
    assert not torch.allclose(ours, published, atol=1e-2)


def test_fcn8s_refuses_learned_interpolation(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_fcn8s(monkeypatch)
    weights = fcn8s_tensors(model)
    assert infer_choices(weights) == {"variant": "fcn8s_vgg16", "num_classes": 4}
    weights["upscore8.weight"] = weights["upscore8.weight"] * 1.1
    with pytest.raises(UserError, match="trained away from bilinear"):
        load_official(model, weights)


def test_fcn8s_takes_its_images_as_caffe_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_fcn8s(monkeypatch)
    rgb = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = torch.tensor([30 - 104.007, 20 - 116.669, 10 - 122.679]).view(1, 3, 1, 1)
    torch.testing.assert_close(model.normalize(rgb), expected, atol=1e-3, rtol=0)
