"""The official layout of Cityscapes in miniature: every label id lands where it belongs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segscape.data.cityscapes import CLASSES, PALETTE, Cityscapes
from segscape.errors import UserError

# id -> trainId as the Cityscapes scripts define them; every other id is not scored.
SCORED = {7: 0, 8: 1, 11: 2, 12: 3, 13: 4, 17: 5, 19: 6, 20: 7, 21: 8, 22: 9, 23: 10}
SCORED |= {24: 11, 25: 12, 26: 13, 27: 14, 28: 15, 31: 16, 32: 17, 33: 18}


def write(root: Path, split: str, city: str, frame: int, label: np.ndarray) -> Path:
    stem = f"{city}_000000_{frame:06d}"
    image = root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png"
    target = root / "gtFine" / split / city / f"{stem}_gtFine_labelIds.png"
    for path in (image, target):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*label.shape, 3), np.uint8)).save(image)
    Image.fromarray(label).save(target)
    return target


def test_every_id_is_mapped(tmp_path: Path) -> None:
    ids = np.array([[*range(34), 255]], np.uint8)
    write(tmp_path, "val", "lindau", 1, ids)
    write(tmp_path, "val", "frankfurt", 2, ids)
    dataset = Cityscapes(tmp_path).dataset("val")
    assert [dataset.name(i) for i in range(2)] == [
        "frankfurt_000000_000002",
        "lindau_000000_000001",
    ]
    expected = [SCORED.get(int(i), 255) for i in ids[0]]
    assert dataset.read(0).label[0].tolist() == expected
    assert len(CLASSES) == len(PALETTE) == 19
    assert (CLASSES[0], CLASSES[13], PALETTE[13]) == ("road", "car", (0, 0, 142))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.root=DIR"):
        Cityscapes().check()
    with pytest.raises(UserError, match="no such folder"):
        Cityscapes(tmp_path / "nowhere").check()
    with pytest.raises(UserError, match="gtFine_trainvaltest"):
        Cityscapes(tmp_path).check()
    write(tmp_path, "val", "lindau", 1, np.zeros((2, 2), np.uint8)).unlink()
    with pytest.raises(UserError, match="lindau_000000_000001_gtFine_labelIds"):
        Cityscapes(tmp_path).dataset("val")
    with pytest.raises(UserError, match="not public"):
        Cityscapes(tmp_path).dataset("test")


def test_unknown_ids_are_named(tmp_path: Path) -> None:
    write(tmp_path, "val", "lindau", 1, np.full((2, 2), 77, np.uint8))
    with pytest.raises(UserError, match=r"lindau.*77"):
        Cityscapes(tmp_path).dataset("val").read(0)
