"""The names of ESPNet's authors.

Mehta et al., arXiv 1803.06815. Their file of ESPNet holds its ESPNet-C under `encoder.`, with the
classifier, which is the first layer of our decoder.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.sources import Source, Tensors
from segscape.models.weights.variants import count, one_of, shape

_ESP = (
    (r"\.c1\.conv\.weight", ".reduce.weight"),
    *(
        (rf"\.d{dilation}\.conv\.weight", f".branches.{index}.weight")
        for index, dilation in enumerate((1, 2, 4, 8, 16))
    ),
)

_LEAVES = (
    *_ESP,
    # A block that halves the size ends in layers of its own, the others in a pair of layers.
    (r"(downs\.\d+)\.bn\.(\w+)", r"\1.out.norm.\2"),
    (r"(downs\.\d+)\.act\.weight", r"\1.out.act.weight"),
    (r"\.bn\.bn\.(\w+)", r".out.norm.\1"),
    (r"\.bn\.act\.weight", ".out.act.weight"),
    (r"\.bn\.(\w+)", r".norm.\1"),
)

_PLACES = (
    (r"encoder\.level1(?=\.)", "encoder.stem"),
    (r"encoder\.b1(?=\.)", "encoder.joins.0"),
    (r"encoder\.b2(?=\.)", "encoder.joins.1"),
    (r"encoder\.b3(?=\.)", "encoder.joins.2"),
    (r"encoder\.level2_0(?=\.)", "encoder.downs.0"),
    (r"encoder\.level3_0(?=\.)", "encoder.downs.1"),
    (r"encoder\.level2(?=\.)", "encoder.stages.0"),
    (r"encoder\.level3(?=\.)", "encoder.stages.1"),
    (r"encoder\.classifier\.conv(?=\.)", "decoder.classify"),
    (r"level3_C\.conv(?=\.)", "decoder.classify_4"),
    (r"br(?=\.)", "decoder.norm"),
    (r"conv(?=\.)", "decoder.merge_2"),
    (r"up_l3\.0(?=\.)", "decoder.up_4"),
    (r"combine_l2_l3(?=\.)", "decoder.merge_4"),
    (r"up_l2(?=\.)", "decoder.up_2"),
    (r"classifier(?=\.)", "decoder.up_1"),
)

_VARIANTS = {(2, 8): "espnet", (2, 5): "espnet_q5", (2, 3): "espnet_q3"}
"""Our model by the blocks at strides 4 and 8."""

_WITH_VOID = (11 + 1, 19 + 1)
"""Outputs for CamVid and for Cityscapes."""


def _infer(tensors: Tensors) -> dict[str, Any]:
    p, q = (count(tensors, rf"encoder\.{level}\.(\d+)\.c1\.") for level in ("level2", "level3"))
    return {
        "variant": one_of(_VARIANTS, (p, q), f"an ESPNet with p={p} and q={q} blocks"),
        **classes_and_void(shape(tensors, "classifier.weight")[1]),
    }


def classes_and_void(outputs: int) -> dict[str, int]:
    """The classes and the further outputs of a network of these authors.

    For CamVid and for Cityscapes they gave their networks one output more, the last, for pixels
    of none of the classes.
    """
    if outputs in _WITH_VOID:
        return {"num_classes": outputs - 1, "model.extra_outputs": 1}
    return {"num_classes": outputs}


SOURCES = (
    Source(
        name="ESPNet of its authors",
        system="espnet",
        signature=(r"^encoder\.level2_0\.d16\.", r"^level3_C\.", r"^combine_l2_l3\."),
        places=_PLACES,
        leaves=_LEAVES,
        infer=_infer,
        variants=tuple(_VARIANTS.values()),
    ),
)
