"""The names of the official SFNet and SFNet-Lite, lxtGH/SFSegNets (arXiv 2002.10120, 2207.04415).

With ResNet and, for SFNet-Lite, also with STDC. Checkpoints of SFNet that were trained without deep
supervision have no auxiliary heads.

Everything the code builds by name dilates the last two layers of the ResNet (variant "D"), which
the papers do not mention and the tensors do not show; `infer` returns the encoder of the code.
"""

from __future__ import annotations

from typing import Any

from segscape.errors import UserError
from segscape.models.weights.rows import (
    STDC,
    deep_stem,
    head,
    layers,
    numbered,
    prefixed,
    resnet_layers,
)
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import resnet_depth, shape, stdc, stdc_ignored

_RESNET = (
    *numbered(r"layer0\.0", *deep_stem("encoder.stem")),
    (r"layer0\.1(?=\.)", "encoder.stem.2.norm"),
    *resnet_layers("", "encoder."),
)

_PPM = (
    *numbered(r"head\.ppm\.stages\.(\d+)", *layers(r"context.branches.\1"), first=1),
    *numbered(r"head\.ppm\.bottleneck", *layers("context.out")),
)

_LAST = (
    *numbered(r"head\.conv_last\.0", *layers("decoder.join")),
    (r"head\.conv_last\.1(?=\.)", "head.classifier"),
)


_FPN = (
    *numbered(r"head\.fpn_in\.(\d)", *layers(r"decoder.laterals.\1")),
    *numbered(r"head\.fpn_out\.(\d)\.0", *layers(r"decoder.outputs.\1")),
    (r"head\.fpn_out_align\.(\d)(?=\.)", r"decoder.fusions.\1"),
    *head(r"head\.dsn\.0", "auxiliary.decoder_fused4", 4),
    *head(r"head\.dsn\.1", "auxiliary.decoder_8", 4),
    *head(r"head\.dsn\.2", "auxiliary.decoder_16", 4),
)

_LITE = (
    *numbered(r"head\.fpn_in\.0", *layers("decoder.lateral4")),
    *numbered(r"head\.fpn_in\.1", *layers("decoder.lateral16")),
    (r"head\.flow_align_module(?=\.)", "decoder.fusions.0"),
)

_LEAVES = (
    (r"\.down_l\.weight", ".reduce_low.weight"),
    (r"\.down_h\.weight", ".reduce_high.weight"),
    (r"\.flow_make\.weight", ".flow.weight"),
    (r"\.flow_gate\.0\.weight", ".gate.weight"),
    (r"(layers\.\d+(?:\.convs\.\d+)?)\.bn\.(\w+)", r"\1.norm.\2"),
)

_UNUSED = (
    Ignore(
        "lateral without a use",
        r"head\.fpn_in\.2\..+",
        "SFNet-Lite builds a lateral of the deepest level that its forward never calls",
    ),
    Ignore(
        "auxiliary head without a use",
        r"head\.dsn\..+",
        "SFNet-Lite builds an auxiliary head that its forward never calls",
    ),
)


def _classes(tensors: Tensors) -> int:
    return shape(tensors, "head.conv_last.1.weight")[0]


def _infer_sfnet(tensors: Tensors) -> dict[str, Any]:
    depth = resnet_depth(tensors, among=(18, 50))
    return {
        "variant": f"sfnet_resnet{depth}",
        "num_classes": _classes(tensors),
        "encoder": f"resnet{depth}_sfnet",
    }


def _check_gate(tensors: Tensors) -> None:
    gate = tensors.get("head.flow_align_module.flow_gate.0.weight")
    if gate is None or gate.shape[1] != 4:
        raise UserError(
            "the file's gate is computed from the features themselves (fa_type 'spatial')",
            "known is SFNet-Lite with a gate from means and maxima ('spatial_atten')",
        )


def _infer_lite(tensors: Tensors) -> dict[str, Any]:
    _check_gate(tensors)
    resnet_depth(tensors, among=(18,))
    return {"variant": "sfnet_lite_resnet18", "num_classes": _classes(tensors)}


def _infer_stdc(tensors: Tensors) -> dict[str, Any]:
    _check_gate(tensors)
    return {"variant": f"sfnet_{stdc(tensors)}", "num_classes": _classes(tensors)}


SOURCES = (
    Source(
        name="SFSegNets SFNet",
        system="sfnet",
        signature=(r"^layer0\.0\.0\.weight$", r"^head\.ppm\.", r"^head\.fpn_out_align\."),
        places=(*_RESNET, *_PPM, *_FPN, *_LAST),
        leaves=_LEAVES,
        infer=_infer_sfnet,
        variants=("sfnet_resnet18", "sfnet_resnet50"),
    ),
    Source(
        name="SFSegNets SFNet-Lite",
        system="sfnet",
        signature=(r"^layer0\.0\.0\.weight$", r"^head\.ppm\.", r"^head\.flow_align_module\."),
        places=(*_RESNET, *_PPM, *_LITE, *_LAST),
        leaves=_LEAVES,
        ignored=_UNUSED,
        infer=_infer_lite,
        variants=("sfnet_lite_resnet18",),
    ),
    Source(
        name="SFSegNets SFNet-Lite with STDC",
        system="sfnet",
        signature=(r"^backbone\.features\.", r"^head\.ppm\.", r"^head\.flow_align_module\."),
        places=(*prefixed(STDC, r"backbone\.", "encoder."), *_PPM, *_LITE, *_LAST),
        leaves=_LEAVES,
        ignored=(*_UNUSED, *stdc_ignored(r"backbone\.", by_stride=True)),
        infer=_infer_stdc,
        variants=("sfnet_stdc1", "sfnet_stdc2"),
    ),
)
