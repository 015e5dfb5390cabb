"""Names that have moved since they were written into checkpoints, run directories and yaml files.

Classes are still found under the name that was recorded. What identifies a run is hashed with the
first name that a class had, so that moving a module changes no identity. Options of groups that
have gone are not found; the error gives today's spelling.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Module as recorded first -> module today; longer names before shorter ones that begin them.
_MODULES = {
    **{
        f"segscape.data.{name}": f"segscape.data.datasets.{name}"
        for name in ("ade20k", "camvid", "cityscapes", "cocostuff", "folder", "streets.module")
    },
}
_FIRST = {today: first for first, today in _MODULES.items()}

# Class as recorded first -> class today, and the arguments that make it the same.
_MERGED: dict[str, tuple[str, dict[str, Any]]] = {
    "segscape.models.heads.unbiased.UnbiasedClassifier": (
        "segscape.models.heads.classifier.Classifier",
        {"bias": False},
    ),
}

# Experiments that differed in their model only are one per system: system -> the models that its
# experiments were named after.
_OF_SYSTEM = {
    "afformer": ("afformer_tiny", "afformer_small", "afformer_base"),
    "alignseg": ("alignseg_resnet50", "alignseg_resnet101"),
    "bisenet": ("bisenet_xception39",),
    "bisenetv2": ("bisenetv2_large",),
    "dfanet": ("dfanet_b",),
    "espnet": ("espnet_q3", "espnet_q5"),
    "espnetv2": ("espnetv2_s05", "espnetv2_s10", "espnetv2_s15", "espnetv2_s20"),
    "fapn": ("fapn_resnet18", "fapn_resnet50"),
    "icnet": ("icnet_resnet18", "icnet_resnet50"),
    "ppliteseg": ("ppliteseg_t", "ppliteseg_b"),
    "pspnet": ("pspnet_resnet50", "pspnet_resnet101"),
    "sfnet": ("sfnet_resnet18", "sfnet_resnet50"),
    "sfnet_lite": ("sfnet_lite_resnet18", "sfnet_stdc1", "sfnet_stdc2"),
    "stdcseg": ("stdcseg_stdc1", "stdcseg_stdc2"),
}
_RENAMED_MODELS = {"ppliteseg_t": "ppliteseg"}

# Options that only set arguments of another one, by group.
_DILATED = "encoder.strides=[1,1] encoder.dilations=[2,4]"
_ARGUMENTS = {
    "encoder": {
        **{f"resnet{n}_psp": f"encoder=resnet{n}_deep {_DILATED}" for n in (18, 50, 101)},
        **{f"resnet{n}_align": f"encoder=resnet{n}_deep encoder.ceil_mode=true" for n in (50, 101)},
    },
    "context": {
        "ce_large": "context=ce context.out_channels=256",
        "ppm_psp_narrow": "context=ppm_psp context.out_channels=128",
        "ppm_sfnet_wide": (
            "context=ppm_sfnet context.out_channels=256 context.branch_channels=256"
        ),
    },
    "decoder": {
        "aggregation_b": "decoder=aggregation decoder.widths=[32,64,128]",
        "bilateral_large": "decoder=bilateral decoder.out_channels=256",
        "fapn_wide": "decoder=fapn decoder.width=256",
        "fpn_wide": "decoder=fpn decoder.width=256",
    },
    "head": {
        "bisenetv2_large": "head=bisenetv2 head.mid_channels=2048",
        "classifier": "head=conv1x1",
        "classifier_dropout": "head=conv1x1 head.dropout=0.1",
        "classifier_k3": "head=conv3x3",
        "unbiased": "head=conv1x1 head.bias=false",
        "unbiased_3x3": "head=conv3x3 head.bias=false",
    },
}


def current_target(target: str) -> str:
    """Where the class or function of a recorded `_target_` is today."""
    return _MERGED[target][0] if target in _MERGED else _renamed(target, _MODULES)


def current_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded node with its class of today, and the arguments that this one needs for it."""
    target = str(node["_target_"])
    needed = _MERGED[target][1] if target in _MERGED else {}
    return {**needed, **node, "_target_": current_target(target)}


def first_target(target: str) -> str:
    """The name under which a class or function was first recorded."""
    return _renamed(target, _FIRST)


def with_first_targets(node: Any) -> Any:
    """A configuration as it would have been recorded before anything moved.

    Args:
        node: plain data; it is not changed.
    """
    if isinstance(node, Mapping):
        first = {key: with_first_targets(value) for key, value in node.items()}
        target = node.get("_target_")
        if isinstance(target, str):
            first["_target_"] = first_target(target)
            for merged, (today, needed) in _MERGED.items():
                if target == today and needed.items() <= node.items():
                    first = {key: first[key] for key in first if key not in needed}
                    first["_target_"] = merged
        return first
    if isinstance(node, list | tuple):
        return [with_first_targets(item) for item in node]
    return node


def option_today(group: str, name: str) -> tuple[str, ...]:
    """The overrides that replace an option which was removed; empty where there was none."""
    if group == "experiment":
        if name.endswith("_recipe"):
            return (f"recipe={name.removesuffix('_recipe')}",)
        for system, models in _OF_SYSTEM.items():
            for model in models:
                if name.startswith(f"{model}_"):
                    data = name.removeprefix(f"{model}_")
                    today = _RENAMED_MODELS.get(model, model)
                    return (f"experiment={system}_{data}", f"model={today}")
    return tuple(_ARGUMENTS.get(group, {}).get(name, "").split())


# The metrics of every training from before conf/metrics listed them.
_STANDARD_METRICS = {
    "confusion": {"_target_": "segscape.metrics.confusion.ConfusionMatrix"},
    "boundary_iou": {"_target_": "segscape.metrics.boundary.BoundaryIoU", "width": 0.02},
}


def with_listed_metrics(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration with the metrics that a run of its time was scored with.

    Args:
        config: plain data; it is not changed.
    """
    metrics = config.get("metrics")
    if not isinstance(metrics, Mapping) or any(isinstance(n, Mapping) for n in metrics.values()):
        return dict(config)
    return {**config, "metrics": {**metrics, **_STANDARD_METRICS}}


def as_first_recorded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as the first version would have recorded it: what identifies a run stays.

    Args:
        config: plain data; it is not changed.
    """
    first: dict[str, Any] = with_first_targets(config)
    if isinstance(first.get("metrics"), Mapping):
        listed = with_listed_metrics(first)["metrics"]
        other = {
            key: listed.get(key) or "left out"
            for key, node in _STANDARD_METRICS.items()
            if listed.get(key) != node
        }
        kept = {k: v for k, v in first["metrics"].items() if k not in _STANDARD_METRICS}
        first["metrics"] = {**kept, **other}
    return first


def _renamed(target: str, names: Mapping[str, str]) -> str:
    module, _, name = target.rpartition(".")
    return f"{names.get(module, module)}.{name}"
