"""liminn's names of ICNet.

ICNet: Zhao et al., arXiv 1704.08545. The names are those of liminn/ICNet-pytorch, whose fusion
calls "low" what is low in resolution; here low is the finer feature.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.rows import (
    deep_stem,
    layers,
    numbered,
    numbered_leaves,
    resnet_layers,
)
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import resnet_depth, shape

_PLACES = (
    *numbered(r"pretrained\.conv1", *deep_stem("encoder.backbone.stem")),
    (r"pretrained\.bn1(?=\.)", "encoder.backbone.stem.2.norm"),
    *resnet_layers(r"pretrained\.", "encoder.backbone."),
    (r"conv_sub1\.(\d+)(?=\.)", r"encoder.full.\1"),
    (r"head\.cff_12\.conv_low(?=\.)", "decoder.fusions.0.high"),
    (r"head\.cff_12\.conv_high(?=\.)", "decoder.fusions.0.low"),
    (r"head\.cff_24\.conv_low(?=\.)", "decoder.fusions.1.high"),
    (r"head\.cff_24\.conv_high(?=\.)", "decoder.fusions.1.low"),
    (r"head\.cff_12\.conv_low_cls", "auxiliary.decoder_guide_8.classifier"),
    (r"head\.cff_24\.conv_low_cls", "auxiliary.decoder_guide_16.classifier"),
    (r"head\.conv_cls", "head.classifier"),
)

_LEAVES = (
    (r"\.bn\.(\w+)", r".norm.\1"),
    # The two branches of a fusion are a convolution and its BatchNorm in a Sequential.
    *numbered_leaves("(low|high)", *layers(r"\1")),
)


def _infer(tensors: Tensors) -> dict[str, Any]:
    variant = f"icnet_resnet{resnet_depth(tensors, 'pretrained.', among=(18, 50))}"
    return {
        "variant": variant,
        "num_classes": shape(tensors, "head.conv_cls.weight")[0],
        "encoder": variant,
    }


SOURCES = (
    Source(
        name="liminn ICNet",
        system="icnet",
        signature=(r"^pretrained\.layer1\.", r"^conv_sub1\.0\.conv\.", r"^head\.cff_24\."),
        places=_PLACES,
        leaves=_LEAVES,
        ignored=(
            Ignore(
                "classifier of the encoder",
                r"pretrained\.fc\.(?:weight|bias)",
                "the layer for ImageNet classification takes no part in segmentation",
            ),
        ),
        infer=_infer,
        variants=("icnet_resnet18", "icnet_resnet50"),
    ),
)
