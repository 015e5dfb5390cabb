"""EdgeNets' names of ESPNetV2.

Mehta et al., arXiv 1811.11431. EdgeNets is the authors' later code; their older ESPNetv2 code has
another decoder and other names.
"""

from __future__ import annotations

from typing import Any

from segscape.errors import UserError
from segscape.models.weights.espnet import classes_and_void
from segscape.models.weights.sources import Ignore, Source, Tensors

_STATE = r"(weight|bias|running_mean|running_var|num_batches_tracked)"


def _layers(official: str, ours: str) -> tuple[tuple[str, str], ...]:
    """Convolution, BatchNorm and PReLU that stand in a Sequential by number."""
    return (
        (rf"\.{official}\.0\.weight", rf".{ours}.conv.weight"),
        (rf"\.{official}\.1\.{_STATE}", rf".{ours}.norm.\1"),
        (rf"\.{official}\.2\.weight", rf".{ours}.act.weight"),
    )


_LEAVES = (
    # EESP
    (r"\.spp_dw\.(\d+)\.conv\.weight", r".branches.\1.weight"),
    (rf"\.br_after_cat\.bn\.{_STATE}", r".joined.norm.\1"),
    (r"\.br_after_cat\.act\.weight", ".joined.act.weight"),
    (r"\.proj_1x1\.conv\.weight", ".reduce.conv.weight"),
    (rf"\.proj_1x1\.bn\.{_STATE}", r".reduce.norm.\1"),
    (r"\.proj_1x1\.act\.weight", ".reduce.act.weight"),
    (r"\.conv_1x1_exp\.conv\.weight", ".expand.conv.weight"),
    (rf"\.conv_1x1_exp\.bn\.{_STATE}", r".expand.norm.\1"),
    (r"\.module_act\.weight", ".act.weight"),
    (rf"\.inp_reinf\.(\d)\.bn\.{_STATE}", r".reinforce.\1.norm.\2"),
    (r"\.inp_reinf\.(\d)\.(conv|act)\.weight", r".reinforce.\1.\2.weight"),
    # Efficient pyramid pooling
    (r"\.stages\.(\d)\.weight", r".scales.\1.weight"),
    *_layers(r"projection_layer\.cbr", "project"),
    (rf"\.merge_layer\.0\.br\.0\.{_STATE}", r".joined.norm.\1"),
    (r"\.merge_layer\.0\.br\.1\.weight", ".joined.act.weight"),
    *_layers(r"merge_layer\.2\.cbr", "mix"),
    (r"\.merge_layer\.3\.(weight|bias)", r".classify.\1"),
    (rf"\.br\.br\.0\.{_STATE}", r".out.norm.\1"),
    (r"\.br\.br\.1\.weight", ".out.act.weight"),
    # Fusion
    (r"\.wt_layer\.1\.weight", ".weigh.weight"),
    *_layers(r"expansion_layer\.cbr", "expand"),
    (rf"\.sum\.0\.{_STATE}", r".out.norm.\1"),
    (r"\.sum\.1\.weight", ".out.act.weight"),
    # Any other convolution with BatchNorm and PReLU
    (rf"\.bn\.{_STATE}", r".norm.\1"),
)

_PLACES = (
    (r"base_net\.level1(?=\.)", "encoder.stem"),
    *((rf"base_net\.level{n}_0(?=\.)", f"encoder.downs.{n - 2}") for n in (2, 3, 4)),
    *((rf"base_net\.level{n}(?=\.\d)", f"encoder.stages.{n - 2}") for n in (3, 4)),
    *((rf"bu_dec_l{n}(?=\.)", f"decoder.pools.{n - 1}") for n in (1, 2, 3, 4)),
    *((rf"merge_enc_dec_l{n}(?=\.)", f"decoder.fusions.{4 - n}") for n in (2, 3, 4)),
    *((rf"bu_br_l{n}(?=\.)", f"decoder.fusions.{4 - n}.sum") for n in (2, 3, 4)),
)

_WIDTHS = {
    32: "espnetv2_s05",
    64: "espnetv2_s10",
    80: "espnetv2_s125",
    96: "espnetv2_s15",
    128: "espnetv2_s20",
}
"""Our model, and its encoder, by the channels at stride 4."""

_DECODERS = {64: "pyramid_refinement", 128: "pyramid_refinement_wide"}
"""Our decoder by the channels of its deepest level."""


def _infer(tensors: Tensors) -> dict[str, Any]:
    width = _channels(tensors, "base_net.level2_0.act.weight")
    deepest = _channels(tensors, "bu_dec_l1.merge_layer.3.weight")
    if width not in _WIDTHS or deepest not in _DECODERS:
        raise UserError(
            f"The file's ESPNetV2 has {width} channels at stride 4 and a decoder of {deepest}.",
            "Known are s=0.5, 1.0, 1.25, 1.5 and 2.0, with decoders of 64 and (COCO) 128.",
        )
    return {
        "variant": _WIDTHS[width],
        "decoder": _DECODERS[deepest],
        **classes_and_void(_channels(tensors, "bu_dec_l4.merge_layer.3.weight")),
    }


def _channels(tensors: Tensors, name: str) -> int:
    if name not in tensors:
        raise UserError(
            f"The file lacks the tensor '{name}' of EdgeNets' ESPNetV2.", "It may be truncated."
        )
    return tensors[name].shape[0]


SOURCES = (
    Source(
        name="EdgeNets ESPNetV2",
        system="espnetv2",
        signature=(r"^base_net\.level2_0\.eesp\.", r"^bu_dec_l1\.", r"^merge_enc_dec_l2\."),
        places=_PLACES,
        leaves=_LEAVES,
        ignored=(
            Ignore(
                "activation passed by",
                r"base_net\.level\d_0\.eesp\.module_act\.weight",
                "a block that halves the size returns before this PReLU",
            ),
            Ignore(
                "layers of the classifier",
                r"base_net\.(?:level5_0|level5|classifier)\..+",
                "stride 32 and the classifier for ImageNet take no part in segmentation",
            ),
        ),
        infer=_infer,
        variants=tuple(_WIDTHS.values()),
    ),
)
