"""Miniature data sets in the exact layouts of the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from miniature import SEGNET_NAMES, ids, picture, save


@pytest.fixture
def shared() -> Path:
    """The folder with real data; tests that need it are skipped without."""
    folder = os.environ.get("SEGSCAPE_SHARED")
    if not folder:
        pytest.skip("SEGSCAPE_SHARED is not set: no real data at hand")
    return Path(folder)


@pytest.fixture
def segnet_root(tmp_path: Path) -> Path:
    """SegNet's layout, PNG, lists with the absolute paths of SegNet's machine."""
    root = tmp_path / "CamVid"
    seed = 0
    for split, names in SEGNET_NAMES.items():
        lines = []
        for name in names:
            seed += 1
            save(root / split / f"{name}.png", picture(seed))
            save(root / f"{split}annot" / f"{name}.png", ids(seed))
            lines.append(
                f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png"
            )
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root
