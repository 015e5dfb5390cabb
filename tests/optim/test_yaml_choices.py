"""The yaml choices of losses, optimisers and schedules build what they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from segscape.losses.cross_entropy import CrossEntropy
from segscape.losses.lovasz import CrossEntropyLovasz, LovaszSoftmax
from segscape.losses.ohem import OHEM
from segscape.losses.ohem_top_k import OHEMTopK

CONF = Path(__file__).parents[2] / "conf"


def build(choice: str, *args: object, **kwargs: object) -> object:
    path = CONF / f"{choice}.yaml"
    assert path.read_text().startswith("# ")  # the description that `segscape list` shows
    return instantiate(OmegaConf.load(path), *args, **kwargs)


@pytest.mark.parametrize(
    ("choice", "kind"),
    [
        ("loss/cross_entropy", CrossEntropy),
        ("loss/ohem", OHEM),
        ("loss/ohem_stdc", OHEMTopK),
        ("loss/ohem_coincheung", OHEMTopK),
        ("loss/ohem_per_image", OHEMTopK),
        ("loss/ohem_torchseg", OHEMTopK),
        ("loss/lovasz", LovaszSoftmax),
        ("loss/alignseg", CrossEntropyLovasz),
    ],
)
def test_losses(choice: str, kind: type) -> None:
    assert isinstance(build(choice), kind)


@pytest.mark.parametrize("optim", ["optim/sgd", "optim/adam", "optim/adamw"])
@pytest.mark.parametrize(
    ("choice", "factor"),
    [
        ("schedule/poly", (1 - 37 / 95) ** 0.9),  # 5 % of the steps warm up
        ("schedule/constant", 1.0),
        ("schedule/step", 0.1),  # between one third and two thirds
        ("schedule/hybrid", 4.0),  # a cycle of 5, 4, 3, 2, 1 begins at 41
    ],
)
def test_optimisers_and_schedules(optim: str, choice: str, factor: float) -> None:
    optimizer: Any = build(optim, nn.Linear(2, 2))
    schedule: Any = build(choice, optimizer, 100)
    for _ in range(42):
        optimizer.step()
        schedule.step()
    assert schedule.get_last_lr() == pytest.approx([factor * optimizer.defaults["lr"]])
