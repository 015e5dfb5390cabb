"""EdgeNets' names of ESPNetV2.

Mehta et al., arXiv 1811.11431. EdgeNets is the authors' later code; their older ESPNetv2 code has
another decoder and other names.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.espnet import classes_and_void
from segscape.models.weights.rows import layers, numbered_leaves
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import one_of, shape

_LAYERS = ("conv", "norm", "act")

_LEAVES = (
    # EESP
    (r"\.spp_dw\.(\d+)\.conv\.weight", r".branches.\1.weight"),
    (r"\.br_after_cat\.bn\.(\w+)", r".joined.norm.\1"),
    (r"\.br_after_cat\.act\.weight", ".joined.act.weight"),
    (r"\.proj_1x1\.conv\.weight", ".reduce.conv.weight"),
    (r"\.proj_1x1\.bn\.(\w+)", r".reduce.norm.\1"),
    (r"\.proj_1x1\.act\.weight", ".reduce.act.weight"),
    (r"\.conv_1x1_exp\.conv\.weight", ".expand.conv.weight"),
    (r"\.conv_1x1_exp\.bn\.(\w+)", r".expand.norm.\1"),
    (r"\.module_act\.weight", ".act.weight"),
    (r"\.inp_reinf\.(\d)\.bn\.(\w+)", r".reinforce.\1.norm.\2"),
    (r"\.inp_reinf\.(\d)\.(conv|act)\.weight", r".reinforce.\1.\2.weight"),
    # Efficient pyramid pooling
    (r"\.stages\.(\d)\.weight", r".scales.\1.weight"),
    *numbered_leaves(r"projection_layer\.cbr", *layers("project", *_LAYERS)),
    *numbered_leaves(r"merge_layer\.0\.br", "joined.norm", "joined.act"),
    *numbered_leaves(r"merge_layer\.2\.cbr", *layers("mix", *_LAYERS)),
    (r"\.merge_layer\.3\.(weight|bias)", r".classify.\1"),
    *numbered_leaves(r"br\.br", "out.norm", "out.act"),
    # Fusion
    (r"\.wt_layer\.1\.weight", ".weigh.weight"),
    *numbered_leaves(r"expansion_layer\.cbr", *layers("expand", *_LAYERS)),
    *numbered_leaves("sum", "out.norm", "out.act"),
    # Any other convolution with BatchNorm and PReLU
    (r"\.bn\.(\w+)", r".norm.\1"),
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
    width = shape(tensors, "base_net.level2_0.act.weight")[0]
    deepest = shape(tensors, "bu_dec_l1.merge_layer.3.weight")[0]
    return {
        "variant": one_of(_WIDTHS, width, f"an ESPNetV2 with {width} channels at stride 4"),
        "decoder": one_of(_DECODERS, deepest, f"an ESPNetV2 with a decoder of {deepest} channels"),
        **classes_and_void(shape(tensors, "bu_dec_l4.merge_layer.3.weight")[0]),
    }


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
