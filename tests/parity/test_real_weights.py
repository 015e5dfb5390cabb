"""Weights that ESPNet's authors published, on real images: they need SEGSCAPE_SHARED."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import segscape
from segscape.inference.evaluate import evaluate
from segscape.inference.predictor import Model

CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car")
# Ids of Cityscapes for classes of CamVid.
CITYSCAPES = {"road": 0, "pavement": 1, "building": 2, "tree": 8, "sky": 10, "car": 13}
NAMES = ("0016E5_07959", "0016E5_08035", "0016E5_08157")


@pytest.fixture
def shared() -> Path:
    """The folder with weights and data; tests that need it are skipped without."""
    folder = os.environ.get("SEGSCAPE_SHARED")
    if not folder:
        pytest.skip("SEGSCAPE_SHARED is not set: no published weights at hand")
    return Path(folder)


def pairs(shared: Path, model: Model) -> tuple[np.ndarray, ...]:
    """Labels and predictions of three images of CamVid's validation split, pixel by pixel."""
    labels, masks = [], []
    for name in NAMES:
        folder = shared / "data" / "camvid"
        labels.append(np.asarray(Image.open(folder / "valannot" / f"{name}.png")).ravel())
        masks.append(model.predict(folder / "val" / f"{name}.jpg").mask.ravel())
    return np.concatenate(labels), np.concatenate(masks)


def test_espnet_segments_camvid(shared: Path) -> None:
    weights = shared / "weights" / "espnet_p_2_q_8_camvid.pth"
    model = segscape.create_model("espnet", num_classes=11, weights=weights)
    label, mask = pairs(shared, model)
    real = label < 11
    assert (mask == label)[real].mean() > 0.9
    # Where the output for void wins it is no class.
    assert 0 < (mask[real] == 255).mean() < 0.05
    assert set(np.unique(mask)) <= {*range(11), 255}


def test_espnetv2_of_cityscapes_finds_its_way_in_camvid(shared: Path) -> None:
    weights = shared / "weights" / "espnetv2_s_0.5_city_1024x512.pth"
    model = segscape.create_model("espnetv2_s05", num_classes=19, weights=weights)
    label, mask = pairs(shared, model)
    found = {
        name: (mask[label == CAMVID.index(name)] == index).mean()
        for name, index in CITYSCAPES.items()
    }
    assert found.pop("tree") > 0.4  # bare ones look like buildings to it
    assert min(found.values()) > 0.85, found


@pytest.mark.slow
def test_espnet_has_its_score_on_camvid(shared: Path) -> None:
    from omegaconf import OmegaConf

    from segscape import build
    from segscape.config import composing

    root = shared / "data" / "camvid"
    settings: Any = OmegaConf.to_container(
        composing.compose(["model=espnet", "data=camvid", f"data.root={root}"]), resolve=True
    )
    weights = shared / "weights" / "espnet_p_2_q_8_camvid.pth"
    model = segscape.create_model("espnet", num_classes=11, weights=weights)
    data = build.data(settings, training=False)
    keys = evaluate(model, data, "val", metrics=settings["metrics"], progress=False)
    # The authors' own code: 70.1. With the output for void taken away, 69.3.
    assert keys["val/miou"] == pytest.approx(0.701, abs=0.003)
