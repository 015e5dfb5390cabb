"""The names of the official AlignSeg, speedinghzl/AlignSeg (arXiv 2003.00872).

The file does not tell which warp the network was trained with: the released code's is the
published one, although a comment there advises the other.
"""

from __future__ import annotations

import re
from typing import Any

from segscape.errors import UserError
from segscape.models.weights.resnet_names import resnet_places
from segscape.models.weights.sources import Source, Tensors

_STEM = tuple(
    row
    for index in range(3)
    for row in (
        (rf"conv{index + 1}(?=\.)", f"encoder.stem.{index}.conv"),
        (rf"bn{index + 1}(?=\.)", f"encoder.stem.{index}.norm"),
    )
)

_CONTEXT = (
    (r"CAM\.pool\.1(?=\.)", "context.pooled.0.conv"),
    (r"CAM\.pool\.2(?=\.)", "context.pooled.0.norm"),
    (r"CAM\.pool\.3(?=\.)", "context.pooled.1.conv"),
    (r"CAM\.pool\.4(?=\.)", "context.pooled.1.norm"),
    (r"CAM\.adapt\.0(?=\.)", "context.local.0.conv"),
    (r"CAM\.adapt\.1(?=\.)", "context.local.0.norm"),
    (r"CAM\.adapt\.2(?=\.)", "context.local.1.conv"),
    (r"CAM\.adapt\.3(?=\.)", "context.local.1.norm"),
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

_HEADS = tuple(
    row
    for theirs, ours in (("head", "head"), ("dsn", "auxiliary.decoder_merged16"))
    for row in (
        (rf"{theirs}\.0(?=\.)", f"{ours}.conv.conv"),
        (rf"{theirs}\.1(?=\.)", f"{ours}.conv.norm"),
        (rf"{theirs}\.3(?=\.)", f"{ours}.classifier"),
    )
)

_LEAF = r"\.(\w+)"

_LEAVES = (
    (rf"(offsets(?:_high|_low)?)\.0{_LEAF}", r"\1.mix.conv.\2"),
    (rf"(offsets(?:_high|_low)?)\.1{_LEAF}", r"\1.mix.norm.\2"),
    (rf"(offsets(?:_high|_low)?)\.2{_LEAF}", r"\1.field.\2"),
    (rf"\.residual\.0{_LEAF}", r".narrow.conv.\1"),
    (rf"\.residual\.1{_LEAF}", r".narrow.norm.\1"),
    (rf"\.residual\.2{_LEAF}", r".widen.\1"),
)

_VARIANTS = {6: "alignseg_resnet50", 23: "alignseg_resnet101"}
"""Our model by the number of blocks in layer 3."""


def _infer(tensors: Tensors) -> dict[str, Any]:
    found = (re.match(r"layer3\.(\d+)\.", name) for name in tensors)
    blocks = 1 + max((int(match[1]) for match in found if match), default=-1)
    classifier = tensors.get("head.3.weight")
    if blocks not in _VARIANTS or classifier is None:
        raise UserError(
            f"The file's ResNet has {blocks} blocks in layer 3.",
            "Known are AlignSeg with ResNet-50 (6) and ResNet-101 (23).",
        )
    return {"variant": _VARIANTS[blocks], "num_classes": classifier.shape[0]}


SOURCES = (
    Source(
        name="AlignSeg",
        system="alignseg",
        signature=(r"^CAM\.delta_gen\.", r"^CAB2\.delta_gen1\.", r"^RRB1a\.unify\."),
        places=(*_STEM, *resnet_places(), *_CONTEXT, *_DECODER, *_HEADS),
        leaves=_LEAVES,
        ignored=(),
        infer=_infer,
        variants=tuple(_VARIANTS.values()),
    ),
)
