"""The names of the official SFNet and SFNet-Lite, lxtGH/SFSegNets (arXiv 2002.10120, 2207.04415).

With ResNet and, for SFNet-Lite, also with STDC. Checkpoints of SFNet that were trained without deep
supervision have no auxiliary heads.

Everything the code builds by name dilates the last two layers of the ResNet (variant "D"), which
the papers do not mention and the tensors do not tell; `infer` answers with the encoder of the code.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from segscape.errors import UserError
from segscape.models.weights.resnet_names import resnet_places
from segscape.models.weights.sources import Ignore, Source, Tensors

_RESNET = (
    (r"layer0\.0\.0(?=\.)", "encoder.stem.0.conv"),
    (r"layer0\.0\.1(?=\.)", "encoder.stem.0.norm"),
    (r"layer0\.0\.3(?=\.)", "encoder.stem.1.conv"),
    (r"layer0\.0\.4(?=\.)", "encoder.stem.1.norm"),
    (r"layer0\.0\.6(?=\.)", "encoder.stem.2.conv"),
    (r"layer0\.1(?=\.)", "encoder.stem.2.norm"),
    *resnet_places(),
)

_STDC = (
    (r"backbone\.features\.(\d+)\.conv_list\.(\d+)", r"encoder.layers.\1.convs.\2"),
    (r"backbone\.features\.(\d+)\.avd_layer\.0", r"encoder.layers.\1.down.conv"),
    (r"backbone\.features\.(\d+)\.avd_layer\.1", r"encoder.layers.\1.down.norm"),
    (r"backbone\.features\.(\d+)", r"encoder.layers.\1"),
)

_PPM = (
    (r"head\.ppm\.stages\.(\d+)\.1(?=\.)", r"context.branches.\1.conv"),
    (r"head\.ppm\.stages\.(\d+)\.2(?=\.)", r"context.branches.\1.norm"),
    (r"head\.ppm\.bottleneck\.0(?=\.)", "context.out.conv"),
    (r"head\.ppm\.bottleneck\.1(?=\.)", "context.out.norm"),
)

_LAST = (
    (r"head\.conv_last\.0\.0(?=\.)", "decoder.join.conv"),
    (r"head\.conv_last\.0\.1(?=\.)", "decoder.join.norm"),
    (r"head\.conv_last\.1(?=\.)", "head.classifier"),
)

_FPN = (
    (r"head\.fpn_in\.(\d)\.0(?=\.)", r"decoder.laterals.\1.conv"),
    (r"head\.fpn_in\.(\d)\.1(?=\.)", r"decoder.laterals.\1.norm"),
    (r"head\.fpn_out\.(\d)\.0\.0(?=\.)", r"decoder.outputs.\1.conv"),
    (r"head\.fpn_out\.(\d)\.0\.1(?=\.)", r"decoder.outputs.\1.norm"),
    (r"head\.fpn_out_align\.(\d)(?=\.)", r"decoder.fusions.\1"),
    *(
        row
        for index, ours in enumerate(("fused4", "8", "16"))
        for row in (
            (rf"head\.dsn\.{index}\.0(?=\.)", f"auxiliary.decoder_{ours}.conv.conv"),
            (rf"head\.dsn\.{index}\.1(?=\.)", f"auxiliary.decoder_{ours}.conv.norm"),
            (rf"head\.dsn\.{index}\.4(?=\.)", f"auxiliary.decoder_{ours}.classifier"),
        )
    ),
)

_LITE = (
    *(
        row
        for index, stride in enumerate((4, 16))
        for row in (
            (rf"head\.fpn_in\.{index}\.0(?=\.)", f"decoder.lateral{stride}.conv"),
            (rf"head\.fpn_in\.{index}\.1(?=\.)", f"decoder.lateral{stride}.norm"),
        )
    ),
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

_STARTS = {8: {2: 0, 4: 1, 8: 2, 16: 4, 32: 6}, 14: {2: 0, 4: 1, 8: 2, 16: 6, 32: 11}}
"""Index of the first layer of each stride, by the number of layers (STDC1, STDC2)."""


def _stdc_layers(tensors: Tensors) -> int:
    found = (re.match(r"backbone\.features\.(\d+)\.", name) for name in tensors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _is_alias(name: str, tensors: Tensors) -> str | None:
    """The layers are listed again by stride: `x8.0.1` is the second layer of stride 8."""
    match = re.fullmatch(r"backbone\.x(\d+)\.0\.(\d+)\.(.+)", name)
    starts = _STARTS.get(_stdc_layers(tensors), {})
    if match is None or int(match[1]) not in starts:
        return "it is no copy of a known layer"
    twin = f"backbone.features.{starts[int(match[1])] + int(match[2])}.{match[3]}"
    if twin in tensors and torch.equal(tensors[twin], tensors[name]):
        return None
    return f"it differs from '{twin}', which it should repeat"


_STDC_IGNORED = (
    Ignore(
        "classifier of the backbone",
        r"backbone\.(?:conv_last|fc|bn|linear)\..+",
        "layers for ImageNet classification that take no part in segmentation",
    ),
    Ignore(
        "second name of a layer",
        r"backbone\.x(?:2|4|8|16|32)\..+",
        "the same tensors are in the file under 'features'",
        _is_alias,
    ),
)


def _classes(tensors: Tensors) -> int:
    if "head.conv_last.1.weight" not in tensors:
        raise UserError(
            "The file lacks the tensor 'head.conv_last.1.weight' of SFNet.", "It may be truncated."
        )
    return int(tensors["head.conv_last.1.weight"].shape[0])


def _depth(tensors: Tensors) -> int:
    """18 or 50, the ResNets that models of ours stand for."""
    blocks = len({m[0] for m in (re.match(r"layer3\.\d+\.", name) for name in tensors) if m})
    depth = {2: 18, 6: 50}.get(blocks)
    if depth is None:
        raise UserError(
            f"The file's ResNet has {blocks} blocks in layer 3.",
            "Known are SFNet with ResNet-18 (2) and ResNet-50 (6).",
        )
    return depth


def _infer_sfnet(tensors: Tensors) -> dict[str, Any]:
    depth = _depth(tensors)
    return {
        "variant": f"sfnet_resnet{depth}",
        "num_classes": _classes(tensors),
        "encoder": f"resnet{depth}_sfnet",
    }


def _check_gate(tensors: Tensors) -> None:
    gate = tensors.get("head.flow_align_module.flow_gate.0.weight")
    if gate is None or gate.shape[1] != 4:
        raise UserError(
            "The file's gate is computed from the features themselves (fa_type 'spatial').",
            "Known is SFNet-Lite with a gate from means and maxima ('spatial_atten').",
        )


def _infer_lite(tensors: Tensors) -> dict[str, Any]:
    _check_gate(tensors)
    if _depth(tensors) != 18:
        raise UserError("The file is SFNet-Lite with ResNet-50.", "Known is ResNet-18.")
    return {"variant": "sfnet_lite_resnet18", "num_classes": _classes(tensors)}


def _infer_stdc(tensors: Tensors) -> dict[str, Any]:
    _check_gate(tensors)
    variant = {8: "sfnet_stdc1", 14: "sfnet_stdc2"}.get(_stdc_layers(tensors))
    if variant is None:
        raise UserError(
            f"The file's STDC has {_stdc_layers(tensors)} layers.",
            "Known are STDC1 with 8 and STDC2 with 14.",
        )
    return {"variant": variant, "num_classes": _classes(tensors)}


SOURCES = (
    Source(
        name="SFSegNets SFNet",
        system="sfnet",
        signature=(r"^layer0\.0\.0\.weight$", r"^head\.ppm\.", r"^head\.fpn_out_align\."),
        places=(*_RESNET, *_PPM, *_FPN, *_LAST),
        leaves=_LEAVES,
        ignored=(),
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
        places=(*_STDC, *_PPM, *_LITE, *_LAST),
        leaves=_LEAVES,
        ignored=(*_UNUSED, *_STDC_IGNORED),
        infer=_infer_stdc,
        variants=("sfnet_stdc1", "sfnet_stdc2"),
    ),
)
