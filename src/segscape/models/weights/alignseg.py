"""The names of the official AlignSeg, speedinghzl/AlignSeg (arXiv 2003.00872).

The file does not record with which warp the network was trained: the released code's is the
published one, although a comment there advises the other.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.rows import (
    head,
    layers,
    numbered,
    numbered_leaves,
    resnet_layers,
    resnet_stem,
)
from segscape.models.weights.sources import Source, Tensors
from segscape.models.weights.variants import resnet_depth, shape

_CONTEXT = (
    *numbered(r"CAM\.pool", *layers("context.pooled.0"), *layers("context.pooled.1"), first=1),
    *numbered(r"CAM\.adapt", *layers("context.local.0"), *layers("context.local.1")),
    (r"CAM\.delta_gen(?=\.)", "context.offsets"),
)

_DECODER = (
    *((rf"RRB{level}a(?=\.)", f"decoder.inputs.{level - 1}") for level in range(1, 6)),
    *((rf"RRB{level}b(?=\.)", f"decoder.outputs.{level - 2}") for level in range(2, 6)),
    *(
        row
        for level in range(2, 6)
        for row in (
            (rf"CAB{level}\.delta_gen1(?=\.)", f"decoder.fusions.{level - 2}.offsets_high"),
            (rf"CAB{level}\.delta_gen2(?=\.)", f"decoder.fusions.{level - 2}.offsets_low"),
        )
    ),
)

_LEAVES = (
    *numbered_leaves(r"(offsets(?:_high|_low)?)", *layers(r"\1.mix"), r"\1.field"),
    *numbered_leaves("residual", *layers("narrow"), "widen"),
)


def _infer(tensors: Tensors) -> dict[str, Any]:
    depth = resnet_depth(tensors, among=(50, 101))
    classes = shape(tensors, "head.3.weight")[0]
    return {"variant": f"alignseg_resnet{depth}", "num_classes": classes}


SOURCES = (
    Source(
        name="AlignSeg",
        system="alignseg",
        signature=(r"^CAM\.delta_gen\.", r"^CAB2\.delta_gen1\.", r"^RRB1a\.unify\."),
        places=(
            *resnet_stem("", "encoder."),
            *resnet_layers("", "encoder."),
            *_CONTEXT,
            *_DECODER,
            *head("head", "head", 3),
            *head("dsn", "auxiliary.decoder_merged16", 3),
        ),
        leaves=_LEAVES,
        infer=_infer,
        variants=("alignseg_resnet50", "alignseg_resnet101"),
    ),
)
