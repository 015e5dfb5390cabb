"""The names of the official STDC-Seg and of its STDC classifiers.

STDC-Seg: Fan et al., arXiv 2104.13188. The names are those of the files that its authors publish:
the segmentation networks (`model_maxmIOU50.pth`) and the ImageNet classifiers that they start from
(`STDCNet813M_73.91.tar`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from segscape.models.weights.bisenet import CONTEXT_PATH, LEAVES
from segscape.models.weights.rows import STDC, prefixed
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import shape, stdc, stdc_ignored

_STDCSEG = (
    *prefixed(STDC, r"cp\.backbone\.", "encoder."),
    *CONTEXT_PATH,
    (r"ffm\.conv1", "decoder.fusions.0.reduce"),
    (r"ffm\.conv2", "decoder.fusions.0.expand"),
    (r"conv_out_sp8\.conv_out", "auxiliary.detail.edges"),
    (r"conv_out_sp8\.conv(?=\.)", "auxiliary.detail.conv"),
)


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


def _infer_stdc(tensors: Tensors) -> dict[str, Any]:
    return {"encoder": f"{stdc(tensors)}_official"}


def _infer_stdcseg(tensors: Tensors) -> dict[str, Any]:
    encoder = stdc(tensors)
    return {
        "variant": f"stdcseg_{encoder}",
        "num_classes": shape(tensors, "conv_out.conv_out.weight")[0],
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
            *stdc_ignored(r"cp\.backbone\.", by_stride=False),
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
        places=STDC,
        leaves=LEAVES,
        ignored=stdc_ignored("", by_stride=False),
        infer=_infer_stdc,
    ),
)
