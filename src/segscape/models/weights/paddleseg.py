"""PaddleSeg's names of PP-LiteSeg and of its STDC encoders.

PP-LiteSeg: Peng et al., arXiv 2204.02681. The names are those of the state dicts that PaddleSeg
publishes as `.pdparams`; convolutions have the same layout as in torch.
"""

from __future__ import annotations

from typing import Any

from segscape.errors import UserError
from segscape.models.weights.rows import PADDLE_LEAVES, STDC, prefixed
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import one_of, shape, stdc, stdc_ignored

_PPLITESEG = (
    *prefixed(STDC, r"backbone\.", "encoder."),
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

_VARIANTS: dict[tuple[int, ...], str] = {(32, 64, 128): "ppliteseg", (64, 96, 128): "ppliteseg_b"}
"""Our model by the widths of the decoder."""

_FUSIONS = "uafm_spatial, uafm_channel, the same with _mean (PaddleSeg's _S), add"


def _is_one(name: str, tensors: Tensors) -> str | None:
    values = tensors[name].flatten().tolist()
    return None if values == [1.0] else f"it should be the constant 1 and is {values[:4]}"


def _fusion(tensors: Tensors) -> str:
    """The option of the fusion group, from the shape of the attention's first convolution."""
    name = "ppseg_head.arm_list.0.conv_xy_atten.0._conv.weight"
    if name not in tensors:
        if any("conv_xy_atten" in other for other in tensors):
            raise UserError(
                "the file's fusion has separable convolutions (PaddleSeg's 'Mobile' UAFM)",
                f"known fusions of PP-LiteSeg: {_FUSIONS}",
            )
        return "add"
    _, inputs, kernel, _ = shape(tensors, name)
    projected = shape(tensors, "ppseg_head.arm_list.0.conv_x._conv.weight")[0]
    options = {
        (4, 3): "uafm_spatial",
        (2, 3): "uafm_spatial_mean",
        (4 * projected, 1): "uafm_channel",
        (2 * projected, 1): "uafm_channel_mean",
    }
    if (inputs, kernel) not in options:
        raise UserError(
            f"the file's fusion attends to {inputs} maps with a {kernel}x{kernel} kernel",
            f"known fusions of PP-LiteSeg: {_FUSIONS}",
        )
    return options[inputs, kernel]


def _infer_ppliteseg(tensors: Tensors) -> dict[str, Any]:
    encoder, fusion = stdc(tensors), _fusion(tensors)
    widths = tuple(
        shape(tensors, f"ppseg_head.arm_list.{level}.conv_out._conv.weight")[0]
        for level in range(3)
    )
    return {
        "variant": one_of(_VARIANTS, widths, f"a PP-LiteSeg with the widths {widths}"),
        "num_classes": shape(tensors, "seg_heads.0.conv_out.weight")[0],
        "encoder": encoder,
        "fusion": fusion,
    }


SOURCES = (
    Source(
        name="PaddleSeg PP-LiteSeg",
        system="ppliteseg",
        signature=(r"^backbone\.features\.", r"^ppseg_head\.arm_list\.", r"^seg_heads\.0\."),
        places=_PPLITESEG,
        leaves=PADDLE_LEAVES,
        ignored=(
            Ignore(
                "constant of UAFM",
                r"ppseg_head\.arm_list\.\d+\._scale",
                "the 1 in (1 - a), which PaddleSeg stores as a tensor",
                _is_one,
            ),
            *stdc_ignored(r"backbone\.", by_stride=True),
        ),
        infer=_infer_ppliteseg,
        variants=tuple(_VARIANTS.values()),
    ),
    Source(
        name="PaddleSeg STDC encoder",
        system="stdc",
        signature=(r"^features\.0\.conv\.weight$", r"^features\.2\.conv_list\.", r"\._mean$"),
        places=STDC,
        leaves=PADDLE_LEAVES,
        ignored=stdc_ignored("", by_stride=True),
        infer=lambda tensors: {"encoder": stdc(tensors)},
    ),
)
