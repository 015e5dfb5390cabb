"""Published networks with an output for void: it may win, and is no class of the data."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import official_record
import pytest
import torch
from PIL import Image
from torch import Tensor

import segscape
from segscape.config import files
from segscape.errors import UserError
from segscape.inference.evaluate import evaluate
from segscape.inference.predictor import predict
from segscape.models.segmenter import Segmenter
from segscape.models.weights.files import save
from segscape.models.weights.importer import load_official
from segscape.models.weights.outputs import extra_outputs
from segscape.preflight import check_training_step


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of ESPNet's authors for CamVid: 11 classes and void."""
    path = tmp_path_factory.mktemp("official") / "espnet.pth"
    torch.save(official_record.tensors(official_record.read("espnet_p2q8")), path)
    return path


def test_the_weights_bring_their_output_for_void(official: Path) -> None:
    model = segscape.create_model("espnet", num_classes=11, weights=official)
    assert (model.num_classes, model.extra_outputs) == (11, 1)
    whole = segscape.create_model("espnet", num_classes=12, weights=official)
    assert (whole.num_classes, whole.extra_outputs) == (12, 0)
    image = torch.randn(1, 3, 40, 48)
    with torch.no_grad():
        assert torch.equal(model(image), whole(image))


def test_other_classes_are_refused(official: Path) -> None:
    with pytest.raises(UserError, match=r"num_classes=11 model\.extra_outputs=1"):
        segscape.create_model("espnet", num_classes=19, weights=official)
    with pytest.raises(UserError, match="do not fit"):
        segscape.create_model(
            "espnet", num_classes=11, weights=official, overrides=["model.extra_outputs=0"]
        )


def test_a_segscape_file_records_them_too(official: Path, tmp_path: Path) -> None:
    model = segscape.create_model("espnet", num_classes=11, weights=official)
    metadata = {"num_classes": "11", "model.extra_outputs": "1"}
    path = save(tmp_path / "espnet.safetensors", model.state_dict(), metadata)
    assert extra_outputs(path, 11) == 1
    assert extra_outputs(path, 12) == 0
    assert segscape.create_model("espnet", num_classes=11, weights=path).extra_outputs == 1
    assert extra_outputs(tmp_path / "missing.pth", 11) == 0


def test_nothing_is_trained_with_them(official: Path) -> None:
    model = segscape.create_model("espnet", num_classes=11, weights=official)
    with pytest.raises(UserError, match="no label of the data would train them"):
        check_training_step(model, 2, (64, 64))


class Columns(torch.nn.Module):
    """A network of two classes and void: logits that the columns of the image give."""

    num_classes, extra_outputs = 2, 1
    classes = ("a", "b")
    palette = ((255, 0, 0), (0, 255, 0))

    def normalize(self, images: Tensor) -> Tensor:
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Scores of the class that the red channel names."""
        return torch.nn.functional.one_hot(images[:, 0].long(), 3).permute(0, 3, 1, 2).float()


def test_void_is_a_miss_and_no_class_of_its_own() -> None:
    # Label a a a a b b b b, predicted a a void void b b b a; the last row of the label is void.
    predicted = torch.tensor([[0, 0, 2, 2, 1, 1, 1, 0], [2, 2, 2, 2, 2, 2, 2, 2]])
    label = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1], [255] * 8], dtype=torch.uint8)
    batch = {
        "image": predicted[None, None].expand(1, 3, 2, 8).to(torch.uint8),
        "label": label[None],
        "valid": torch.tensor([True]),
    }
    data: Any = SimpleNamespace(classes=("a", "b"), eval_loader=lambda split: [batch])
    network: Any = Columns()
    metrics = files.option("metrics", "default")
    cpu = torch.device("cpu")
    keys = evaluate(network, data, "val", metrics=metrics, device=cpu, progress=False)
    assert keys["val/iou/a"] == pytest.approx(2 / 5)
    assert keys["val/iou/b"] == pytest.approx(3 / 4)
    assert keys["val/miou"] == pytest.approx((2 / 5 + 3 / 4) / 2)
    assert keys["val/pixel_accuracy"] == pytest.approx(5 / 8)
    assert 0 < keys["val/boundary_iou"] < 1


def test_a_prediction_shows_void_as_no_class(tmp_path: Path) -> None:
    image = np.repeat(np.array([[[0], [2], [1], [1]]], np.uint8), 3, axis=2)
    found = predict(Columns(), image)  # type: ignore[arg-type]
    assert found.mask.tolist() == [[0, 255, 1, 1]]
    assert found.fractions() == {"a": 0.25, "b": 0.5}
    assert found.colors()[0, 1].tolist() == [0, 0, 0]
    mask, _ = found.save(tmp_path, "x")
    assert np.asarray(Image.open(mask)).tolist() == [[0, 255, 1, 1]]
    assert np.asarray(Image.open(mask).convert("RGB"))[0, 2].tolist() == [0, 255, 0]


def test_every_head_has_them() -> None:
    model: Segmenter = segscape.create_model(
        "espnetv2_s05", num_classes=3, overrides=["model.extra_outputs=2"]
    )
    logits = model(torch.randn(1, 3, 32, 32))
    assert logits.shape == (1, 5, 32, 32)
    with pytest.raises(UserError, match="do not fit"):
        load_official(
            model, official_record.tensors(official_record.read("espnetv2_edgenets_s0.5"))
        )
