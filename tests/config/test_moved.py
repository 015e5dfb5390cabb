"""Names recorded by older versions are still found, and identify the same runs."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from segscape.config.composing import compose
from segscape.config.identity import changes, design, identity
from segscape.config.moved import (
    _MODULES,
    current_target,
    first_target,
    option_today,
    with_listed_metrics,
)
from segscape.config.targets import arguments, locate
from segscape.errors import UserError
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


def test_identity_does_not_depend_on_whether_the_standard_metrics_are_listed() -> None:
    old = {"metrics": {"void": "ignore"}, "seed": 1}
    new = with_listed_metrics(old)
    assert set(new["metrics"]) == {"void", "confusion", "boundary_iou"}
    assert identity(old) == identity(new) and not changes(old, new)
    for name, value in (("boundary_iou", None), ("mine", {"_target_": "mine.Mine"})):
        other = {**new, "metrics": {**new["metrics"], name: value}}
        assert identity(other) != identity(old)
        assert [key for key, _, _ in changes(old, other)] == [f"metrics.{name}"]


def test_only_callbacks_of_others_belong_to_the_identity() -> None:
    plain = {"callbacks": {"progress": True}, "seed": 1}
    assert identity(plain) == identity({"callbacks": {"progress": False}, "seed": 1})
    stopping = {"callbacks": {"progress": True, "stop": {"_target_": "x.EarlyStopping"}}, "seed": 1}
    assert identity(plain) != identity(stopping)
    assert changes(plain, stopping)


# Options that only set arguments of another one, and what they were.
GONE = {
    "encoder=resnet50_psp": {
        "depth": 50,
        "stem": "deep",
        "strides": [1, 1],
        "dilations": [2, 4],
    },
    "encoder=resnet101_align": {"depth": 101, "stem": "deep", "ceil_mode": True},
    "context=ce_large": {"out_channels": 256},
    "context=ppm_psp_narrow": {"out_channels": 128, "align_corners": True},
    "context=ppm_sfnet_wide": {
        "out_channels": 256,
        "branch_channels": 256,
        "branch_relu": False,
        "kernel": 1,
        "feature_first": False,
        "dropout": 0.1,
        "align_corners": True,
    },
    "decoder=aggregation_b": {"widths": [32, 64, 128], "channels": 64},
    "decoder=bilateral_large": {"out_channels": 256},
    "decoder=fapn_wide": {"width": 256},
    "decoder=fpn_wide": {"width": 256},
    "head=bisenetv2_large": {"mid_channels": 2048, "dropout": 0.1},
    "head=classifier": {},
    "head=classifier_dropout": {"dropout": 0.1},
    "head=classifier_k3": {"kernel": 3},
    "head=unbiased": {"bias": False},
    "head=unbiased_3x3": {"bias": False, "kernel": 3},
}


@pytest.mark.parametrize("typed", GONE)
def test_the_error_for_a_removed_option_gives_its_replacement(typed: str) -> None:
    group, _, name = typed.partition("=")
    today = option_today(group, name)
    with pytest.raises(UserError) as caught:
        compose([typed])
    assert caught.value.hint == f"it is {' '.join(today)} today"
    node = OmegaConf.to_container(compose(list(today))[group])
    assert isinstance(node, dict) and node.pop("_target_")
    assert node == GONE[typed]
