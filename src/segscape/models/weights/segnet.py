"""PaddleSeg's names of SegNet. SegNet: Badrinarayanan et al., arXiv 1511.00561."""

from __future__ import annotations

from segscape.models.weights.rows import PADDLE_LEAVES
from segscape.models.weights.sources import Source
from segscape.models.weights.variants import always

_PLACES = (
    (r"deco5\.1(?=\.)", "head.classifier"),
    *((rf"enco{stage + 1}\.(\d)", rf"encoder.stages.{stage}.\1") for stage in range(5)),
    *((rf"deco{level + 1}\.(\d)", rf"decoder.levels.{4 - level}.\1") for level in range(5)),
)

SOURCES = (
    Source(
        name="PaddleSeg SegNet",
        system="segnet",
        signature=(r"^enco1\.0\._conv\.weight$", r"^deco4\.2\._conv\.weight$", r"^deco5\.1\."),
        places=_PLACES,
        leaves=PADDLE_LEAVES,
        infer=always("segnet", classes_of="deco5.1.weight"),
    ),
)
