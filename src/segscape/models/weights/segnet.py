"""PaddleSeg's names of SegNet. SegNet: Badrinarayanan et al., arXiv 1511.00561."""

from __future__ import annotations

from typing import Any

from segscape.models.weights.sources import Source, Tensors

_PLACES = (
    (r"deco5\.1(?=\.)", "head.classifier"),
    *((rf"enco{stage + 1}\.(\d)", rf"encoder.stages.{stage}.\1") for stage in range(5)),
    *((rf"deco{level + 1}\.(\d)", rf"decoder.levels.{4 - level}.\1") for level in range(5)),
)

_LEAVES = (
    (r"\._conv\.(weight|bias)", r".conv.\1"),
    (r"\._batch_norm\.(weight|bias)", r".norm.\1"),
    (r"\._batch_norm\._mean", ".norm.running_mean"),
    (r"\._batch_norm\._variance", ".norm.running_var"),
)


def _infer(tensors: Tensors) -> dict[str, Any]:
    return {"variant": "segnet", "num_classes": tensors["deco5.1.weight"].shape[0]}


SOURCES = (
    Source(
        name="PaddleSeg SegNet",
        system="segnet",
        signature=(r"^enco1\.0\._conv\.weight$", r"^deco4\.2\._conv\.weight$", r"^deco5\.1\."),
        places=_PLACES,
        leaves=_LEAVES,
        ignored=(),
        infer=_infer,
    ),
)
