"""Predictions in the ids of the label files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from segscape.data.datasets.cityscapes import CLASSES, PALETTE, Cityscapes
from segscape.errors import UserError
from segscape.inference.submission import write_submission


class Brightness(nn.Module):
    """Class = grey level."""

    classes = CLASSES
    palette = PALETTE

    def normalize(self, images: Tensor) -> Tensor:
        return images.float()

    def forward(self, x: Tensor) -> Tensor:
        levels = torch.arange(19).reshape(1, 19, 1, 1)
        return -(x[:, :1] - levels).abs()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png"
    path.parent.mkdir(parents=True)
    grey = np.arange(19, dtype=np.uint8)[None].repeat(2, axis=0)
    Image.fromarray(np.repeat(grey[..., None], 3, axis=2)).save(path)
    return tmp_path


def test_label_ids_of_a_split_without_labels(root: Path) -> None:
    written = write_submission(Brightness(), Cityscapes(root), "test", root / "out")
    assert written == [root / "out" / "berlin_000000_000019.png"]
    found = Image.open(written[0])
    expected = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
    assert found.mode == "L" and np.asarray(found).tolist() == [expected, expected]


def test_other_classes_are_refused(root: Path) -> None:
    model = Brightness()
    model.classes = CLASSES[:11]
    with pytest.raises(UserError, match=r"11 classes, which are not the 19 of data=cityscapes"):
        write_submission(model, Cityscapes(root), "test", root / "out")
    assert not (root / "out").exists()
