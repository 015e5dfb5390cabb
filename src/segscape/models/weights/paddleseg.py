"""PaddleSeg's names of PP-LiteSeg and of its STDC encoders.

PP-LiteSeg: Peng et al., arXiv 2204.02681. The names are those of the state dicts that PaddleSeg
publishes as `.pdparams`; convolutions have the same layout as in torch.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from segscape.errors import UserError
from segscape.models.weights.sources import Ignore, Source, Tensors

_NORM = r"(?:bn|_batch_norm)"

_LEAVES = (
    (r"\._conv\.(weight|bias)", r".conv.\1"),
    (rf"\.{_NORM}\.(weight|bias)", r".norm.\1"),
    (rf"\.{_NORM}\._mean", ".norm.running_mean"),
    (rf"\.{_NORM}\._variance", ".norm.running_var"),
    # The depthwise convolution of the stride-2 blocks is a Sequential of two.
    (r"\.down\.0\.weight", ".down.conv.weight"),
    (r"\.down\.1\.(weight|bias)", r".down.norm.\1"),
    (r"\.down\.1\._mean", ".down.norm.running_mean"),
    (r"\.down\.1\._variance", ".down.norm.running_var"),
)

_STDC = (
    (r"features\.(\d+)\.conv_list\.(\d+)", r"layers.\1.convs.\2"),
    (r"features\.(\d+)\.avd_layer", r"layers.\1.down"),
    (r"features\.(\d+)", r"layers.\1"),
)

_PPLITESEG = (
    *((rf"backbone\.{pattern}", f"encoder.{replacement}") for pattern, replacement in _STDC),
    (r"ppseg_head\.cm\.stages\.(\d+)\.1", r"context.branches.\1"),
    (r"ppseg_head\.cm\.conv_out", "context.out"),
    (r"ppseg_head\.arm_list\.(\d+)\.conv_x(?=\.)", r"decoder.fusions.\1.project"),
    (r"ppseg_head\.arm_list\.(\d+)\.conv_out", r"decoder.fusions.\1.out"),
    (r"ppseg_head\.arm_list\.(\d+)\.conv_xy_atten", r"decoder.fusions.\1.attention"),
    (r"seg_heads\.0\.conv_out", "head.classifier"),
    (r"seg_heads\.0\.conv(?=\.)", "head.conv"),
    (r"seg_heads\.1\.conv_out", "auxiliary.decoder_16.classifier"),
    (r"seg_heads\.1\.conv(?=\.)", "auxiliary.decoder_16.conv"),
    (r"seg_heads\.2\.conv_out", "auxiliary.decoder_32.classifier"),
    (r"seg_heads\.2\.conv(?=\.)", "auxiliary.decoder_32.conv"),
)

_VARIANTS = {(32, 64, 128): "ppliteseg", (64, 96, 128): "ppliteseg_b"}
"""Our model by the widths of the decoder."""

_FUSIONS = "uafm_spatial, uafm_channel, the same with _mean (PaddleSeg's _S), add"

_STARTS = {8: {2: 0, 4: 1, 8: 2, 16: 4, 32: 6}, 14: {2: 0, 4: 1, 8: 2, 16: 6, 32: 11}}
"""Index of the first layer of each stride, by the number of layers (STDC1, STDC2)."""


def _is_one(name: str, tensors: Tensors) -> str | None:
    values = tensors[name].flatten().tolist()
    return None if values == [1.0] else f"it should be the constant 1 and is {values[:4]}"


def _is_alias(name: str, tensors: Tensors) -> str | None:
    """Some versions of STDC list their layers again by stride, as views of the same tensors."""
    match = re.fullmatch(r"(.*?)x(\d+)\.(?:0\.)?(\d+)\.(.+)", name)
    starts = _STARTS.get(_layers(tensors))
    if match is None or starts is None or int(match[2]) not in starts:
        return "it is no copy of a known layer"
    twin = f"{match[1]}features.{starts[int(match[2])] + int(match[3])}.{match[4]}"
    if twin in tensors and torch.equal(tensors[twin], tensors[name]):
        return None
    return f"it differs from '{twin}', which it should repeat"


def _stdc_ignored(prefix: str) -> tuple[Ignore, ...]:
    return (
        Ignore(
            "classifier of the backbone",
            rf"{prefix}(?:conv_last|fc|bn|linear|cls)\..+",
            "layers for ImageNet classification that take no part in segmentation",
        ),
        Ignore(
            "second name of a layer",
            rf"{prefix}x(?:2|4|8|16|32)\..+",
            "the same tensors are in the file under 'features'",
            _is_alias,
        ),
    )


def _layers(tensors: Tensors) -> int:
    """Number of layers of the STDC in the file: 8 for STDC1, 14 for STDC2."""
    found = (re.match(r"(?:backbone\.)?features\.(\d+)\.", name) for name in tensors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


def _encoder(tensors: Tensors) -> str:
    layers = _layers(tensors)
    names = {8: "stdc1", 14: "stdc2"}
    if layers not in names:
        raise UserError(
            f"The file's STDC has {layers} layers.", "Known are STDC1 with 8 and STDC2 with 14."
        )
    return names[layers]


def _infer_stdc(tensors: Tensors) -> dict[str, Any]:
    return {"encoder": _encoder(tensors)}


def _shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise UserError(
            f"The file lacks the tensor '{name}' of PaddleSeg's PP-LiteSeg.",
            "It may be truncated, or of a variant that is not known here.",
        )
    return tuple(tensors[name].shape)


def _fusion(tensors: Tensors) -> str:
    """The option of the fusion group, from the shape of the attention's first convolution."""
    name = "ppseg_head.arm_list.0.conv_xy_atten.0._conv.weight"
    if name not in tensors:
        if any("conv_xy_atten" in other for other in tensors):
            raise UserError(
                "The file's fusion has separable convolutions (PaddleSeg's 'Mobile' UAFM).",
                f"Known fusions of PP-LiteSeg: {_FUSIONS}.",
            )
        return "add"
    _, inputs, kernel, _ = _shape(tensors, name)
    projected = _shape(tensors, "ppseg_head.arm_list.0.conv_x._conv.weight")[0]
    options = {
        (4, 3): "uafm_spatial",
        (2, 3): "uafm_spatial_mean",
        (4 * projected, 1): "uafm_channel",
        (2 * projected, 1): "uafm_channel_mean",
    }
    if (inputs, kernel) not in options:
        raise UserError(
            f"The file's fusion attends to {inputs} maps with a {kernel}x{kernel} kernel.",
            f"Known fusions of PP-LiteSeg: {_FUSIONS}.",
        )
    return options[inputs, kernel]


def _infer_ppliteseg(tensors: Tensors) -> dict[str, Any]:
    encoder, fusion = _encoder(tensors), _fusion(tensors)
    widths = tuple(
        _shape(tensors, f"ppseg_head.arm_list.{level}.conv_out._conv.weight")[0]
        for level in range(3)
    )
    if widths not in _VARIANTS:
        raise UserError(
            f"The file's decoder has the widths {widths}.",
            "Known are (32, 64, 128) of PP-LiteSeg-T and (64, 96, 128) of PP-LiteSeg-B.",
        )
    return {
        "variant": _VARIANTS[widths],
        "num_classes": _shape(tensors, "seg_heads.0.conv_out.weight")[0],
        "encoder": encoder,
        "fusion": fusion,
    }


SOURCES = (
    Source(
        name="PaddleSeg PP-LiteSeg",
        system="ppliteseg",
        signature=(r"^backbone\.features\.", r"^ppseg_head\.arm_list\.", r"^seg_heads\.0\."),
        places=_PPLITESEG,
        leaves=_LEAVES,
        ignored=(
            Ignore(
                "constant of UAFM",
                r"ppseg_head\.arm_list\.\d+\._scale",
                "the 1 in (1 - a), which PaddleSeg stores as a tensor",
                _is_one,
            ),
            *_stdc_ignored(r"backbone\."),
        ),
        infer=_infer_ppliteseg,
        variants=tuple(_VARIANTS.values()),
    ),
    Source(
        name="PaddleSeg STDC encoder",
        system="stdc",
        signature=(r"^features\.0\.conv\.weight$", r"^features\.2\.conv_list\.", r"\._mean$"),
        places=_STDC,
        leaves=_LEAVES,
        ignored=_stdc_ignored(""),
        infer=_infer_stdc,
    ),
)
