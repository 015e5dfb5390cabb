"""The yaml choices of losses, optimisers and schedules build what they name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from segscape.losses.cross_entropy import CrossEntropy
from segscape.losses.lovasz import CrossEntropyLovasz, LovaszSoftmax
from segscape.losses.ohem import OHEM
from segscape.losses.ohem_top_k import OHEMTopK
from segscape.optim.schedules import Constant, Hybrid, Milestones, Poly

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
    ("choice", "kind"),
    [
        ("schedule/poly", Poly),
        ("schedule/constant", Constant),
        ("schedule/step", Milestones),
        ("schedule/hybrid", Hybrid),
    ],
)
def test_optimisers_and_schedules(optim: str, choice: str, kind: type) -> None:
    optimizer = build(optim, nn.Linear(2, 2))
    assert isinstance(build(choice, optimizer, 10), kind)
