"""The names of ESPNet's authors.

Mehta et al., arXiv 1803.06815. Their file of ESPNet holds its ESPNet-C under `encoder.`, with the
classifier, which is the first layer of our decoder.
"""

from __future__ import annotations

import re
from typing import Any

from segscape.errors import UserError
from segscape.models.weights.sources import Source, Tensors

_ESP = (
    (r"\.c1\.conv\.weight", ".reduce.weight"),
    *(
        (rf"\.d{dilation}\.conv\.weight", f".branches.{index}.weight")
        for index, dilation in enumerate((1, 2, 4, 8, 16))
    ),
)
_STATE = r"(weight|bias|running_mean|running_var|num_batches_tracked)"

_LEAVES = (
    *_ESP,
    # A block that halves the size ends in layers of its own, the others in a pair of layers.
    (rf"(downs\.\d+)\.bn\.{_STATE}", r"\1.out.norm.\2"),
    (r"(downs\.\d+)\.act\.weight", r"\1.out.act.weight"),
    (rf"\.bn\.bn\.{_STATE}", r".out.norm.\1"),
    (r"\.bn\.act\.weight", ".out.act.weight"),
    (rf"\.bn\.{_STATE}", r".norm.\1"),
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
    p, q = (_blocks(tensors, rf"encoder\.{level}\.(\d+)\.c1\.") for level in ("level2", "level3"))
    if (p, q) not in _VARIANTS:
        raise UserError(
            f"The file's ESPNet has p={p} and q={q} blocks.",
            "Known are p=2 with q=3, 5 and 8; for others build the model with "
            f"encoder.p={p} encoder.q={q}.",
        )
    name = "classifier.weight"
    if name not in tensors:
        raise UserError(f"The file lacks the tensor '{name}' of ESPNet.", "It may be truncated.")
    return {"variant": _VARIANTS[p, q], **classes_and_void(tensors[name].shape[1])}


def classes_and_void(outputs: int) -> dict[str, int]:
    """The classes and the further outputs of a network of these authors.

    For CamVid and for Cityscapes they gave their networks one output more, the last, for pixels
    of none of the classes.
    """
    if outputs in _WITH_VOID:
        return {"num_classes": outputs - 1, "model.extra_outputs": 1}
    return {"num_classes": outputs}


def _blocks(tensors: Tensors, pattern: str) -> int:
    found = (re.match(pattern, name) for name in tensors)
    return 1 + max((int(match[1]) for match in found if match), default=-1)


SOURCES = (
    Source(
        name="ESPNet of its authors",
        system="espnet",
        signature=(r"^encoder\.level2_0\.d16\.", r"^level3_C\.", r"^combine_l2_l3\."),
        places=_PLACES,
        leaves=_LEAVES,
        ignored=(),
        infer=_infer,
        variants=tuple(_VARIANTS.values()),
    ),
)
