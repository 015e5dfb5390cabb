"""The names of the official STDC-Seg and of its STDC classifiers.

STDC-Seg: Fan et al., arXiv 2104.13188. The names are those of the files that its authors publish:
the segmentation networks (`model_maxmIOU50.pth`) and the ImageNet classifiers that they start from
(`STDCNet813M_73.91.tar`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segscape.errors import UserError
from segscape.models.weights.bisenet import CONTEXT_PATH, LEAVES
from segscape.models.weights.sources import Ignore, Source, Tensors

_STDC = (
    (r"features\.(\d+)\.conv_list\.(\d+)", r"layers.\1.convs.\2"),
    # The depthwise convolution of the stride-2 blocks is a Sequential of two.
    (r"features\.(\d+)\.avd_layer\.0", r"layers.\1.down.conv"),
    (r"features\.(\d+)\.avd_layer\.1", r"layers.\1.down.norm"),
    (r"features\.(\d+)", r"layers.\1"),
)

_STDCSEG = (
    *((rf"cp\.backbone\.{pattern}", f"encoder.{replacement}") for pattern, replacement in _STDC),
    *CONTEXT_PATH,
    (r"ffm\.conv1", "decoder.fusions.0.reduce"),
    (r"ffm\.conv2", "decoder.fusions.0.expand"),
    (r"conv_out_sp8\.conv_out", "auxiliary.detail.edges"),
    (r"conv_out_sp8\.conv(?=\.)", "auxiliary.detail.conv"),
)

_LAYERS = {8: "stdc1", 14: "stdc2"}
"""The network by the number of its layers."""


@dataclass(frozen=True)
class _StdcSeg(Source):
    """Its BatchNorms outside the encoder are In-Place ABN, which scales by |weight|.

    (And adds 1e-5 to it, which changes nothing that could be measured.)
    """

    def converted(self, name: str, tensor: Tensor) -> Tensor:
        """The tensor as BatchNorm means it: a scale without its sign."""
        if re.search(r"\.bn(?:_atten)?\.weight$", name) and not name.startswith("cp.backbone."):
            return tensor.abs()
        return tensor


def _is_alias(name: str, tensors: Tensors) -> str | None:
    """The layers are listed again by stride, as views of the same tensors."""
    twin = re.sub(r"x(?:2|4|8|16|32)\.0\.(?=\d)", "features.", name)
    if twin in tensors and torch.equal(tensors[twin], tensors[name]):
        return None
    return f"it differs from '{twin}', which it should repeat"


def _ignored(prefix: str) -> tuple[Ignore, ...]:
    return (
        Ignore(
            "classifier of the encoder",
            rf"{prefix}(?:conv_last|fc|bn|linear)\..+",
            "layers for ImageNet classification that take no part in segmentation",
        ),
        Ignore(
            "second name of a layer",
            rf"{prefix}x(?:2|4|8|16|32)\.0\..+",
            "the same tensors are in the file under 'features'",
            _is_alias,
        ),
    )


def _encoder(tensors: Tensors) -> str:
    found = (re.match(r"(?:cp\.backbone\.)?features\.(\d+)\.", name) for name in tensors)
    layers = 1 + max((int(match[1]) for match in found if match), default=-1)
    if layers not in _LAYERS:
        raise UserError(
            f"The file's STDC has {layers} layers.", "Known are STDC1 with 8 and STDC2 with 14."
        )
    return _LAYERS[layers]


def _infer_stdc(tensors: Tensors) -> dict[str, Any]:
    return {"encoder": f"{_encoder(tensors)}_official"}


def _infer_stdcseg(tensors: Tensors) -> dict[str, Any]:
    encoder = _encoder(tensors)
    return {
        "variant": f"stdcseg_{encoder}",
        "num_classes": tensors["conv_out.conv_out.weight"].shape[0],
        "encoder": f"{encoder}_official",
        "fusion": "ffm_stdc",
    }


SOURCES = (
    _StdcSeg(
        name="official STDC-Seg",
        system="stdcseg",
        signature=(
            r"^cp\.backbone\.features\.",
            r"^cp\.arm16\.",
            r"^ffm\.convblk\.",
            r"^conv_out\.conv_out\.weight$",
        ),
        places=_STDCSEG,
        leaves=LEAVES,
        ignored=(
            *_ignored(r"cp\.backbone\."),
            Ignore(
                "unused detail head",
                r"conv_out_sp(?:2|4|16)\..+",
                "heads at strides 2, 4 and 16 that are computed but enter no loss and no output",
            ),
        ),
        infer=_infer_stdcseg,
        variants=("stdcseg_stdc1", "stdcseg_stdc2"),
    ),
    Source(
        name="official STDC encoder",
        system="stdc",
        signature=(
            r"^features\.0\.conv\.weight$",
            r"^features\.2\.conv_list\.",
            r"^features\.0\.bn\.running_mean$",
        ),
        places=_STDC,
        leaves=LEAVES,
        ignored=_ignored(""),
        infer=_infer_stdc,
    ),
)
