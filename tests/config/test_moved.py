"""Names recorded by older versions are still found, and identify the same runs."""

from __future__ import annotations

from segscape.config.identity import design, identity
from segscape.config.moved import _MODULES, current_target, first_target
from segscape.config.targets import arguments, locate
from segscape.models.heads.classifier import Classifier


def test_every_recorded_name_is_found_and_maps_back() -> None:
    classes = {"ade20k": "ADE20K", "camvid": "CamVid", "cityscapes": "Cityscapes"}
    classes |= {"cocostuff": "CocoStuff10k", "folder": "Folder", "streets.module": "Streets"}
    for module in _MODULES:
        target = f"{module}.{classes[module.removeprefix('segscape.data.')]}"
        assert locate(target, "data") is locate(current_target(target), "data")
        assert first_target(current_target(target)) == target


def test_identity_does_not_depend_on_where_a_class_lives() -> None:
    old = {"data": {"_target_": "segscape.data.camvid.CamVid", "seed": 1}, "seed": 1}
    new = {"data": {"_target_": "segscape.data.datasets.camvid.CamVid", "seed": 1}, "seed": 1}
    assert identity(old) == identity(new)
    assert design(old) == design(new)
    other = {"data": {"_target_": "segscape.data.datasets.folder.Folder", "seed": 1}, "seed": 1}
    assert identity(other) != identity(new)


def test_a_class_that_is_part_of_another_one_is_built_and_identified_as_before() -> None:
    recorded = {"_target_": "segscape.models.heads.unbiased.UnbiasedClassifier", "kernel": 3}
    today = {
        "_target_": "segscape.models.heads.classifier.Classifier",
        "kernel": 3,
        "bias": False,
    }
    assert arguments(recorded, "head", ("in_channels", "num_classes")) == (
        Classifier,
        {"kernel": 3, "bias": False},
    )
    assert identity({"head": recorded}) == identity({"head": today})
    assert identity({"head": recorded}) != identity({"head": {**today, "bias": True}})
