"""liminn's names of ICNet.

ICNet: Zhao et al., arXiv 1704.08545. The names are those of liminn/ICNet-pytorch, whose fusion
calls "low" what is low in resolution; here low is the finer feature.
"""

from __future__ import annotations

import re
from typing import Any

from segscape.errors import UserError
from segscape.models.weights.sources import Ignore, Source, Tensors

_PLACES = (
    (r"pretrained\.conv1\.0(?=\.)", "encoder.backbone.stem.0.conv"),
    (r"pretrained\.conv1\.1(?=\.)", "encoder.backbone.stem.0.norm"),
    (r"pretrained\.conv1\.3(?=\.)", "encoder.backbone.stem.1.conv"),
    (r"pretrained\.conv1\.4(?=\.)", "encoder.backbone.stem.1.norm"),
    (r"pretrained\.conv1\.6(?=\.)", "encoder.backbone.stem.2.conv"),
    (r"pretrained\.bn1(?=\.)", "encoder.backbone.stem.2.norm"),
    *((rf"pretrained\.layer{n + 1}(?=\.)", f"encoder.backbone.layers.{n}") for n in range(4)),
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
    (r"\.conv(\d)\.weight", r".conv\1.conv.weight"),
    (r"\.bn(\d)\.(\w+)", r".conv\1.norm.\2"),
    (r"\.downsample\.0\.weight", ".shortcut.conv.weight"),
    (r"\.downsample\.1\.(\w+)", r".shortcut.norm.\1"),
    (r"\.bn\.(\w+)", r".norm.\1"),
    # The two branches of a fusion are a convolution and its BatchNorm in a Sequential.
    (r"\.(low|high)\.0\.weight", r".\1.conv.weight"),
    (r"\.(low|high)\.1\.(\w+)", r".\1.norm.\2"),
)

_VARIANTS = {(2, False): "icnet_resnet18", (6, True): "icnet_resnet50"}
"""Our model by the blocks in layer 3 of the ResNet and whether they are bottlenecks."""


def _infer(tensors: Tensors) -> dict[str, Any]:
    found = (re.match(r"pretrained\.layer3\.(\d+)\.", name) for name in tensors)
    blocks = 1 + max((int(match[1]) for match in found if match), default=-1)
    key = (blocks, "pretrained.layer3.0.conv3.weight" in tensors)
    if key not in _VARIANTS:
        kind = "bottlenecks" if key[1] else "basic blocks"
        raise UserError(
            f"The file's ResNet has {blocks} {kind} in layer 3.",
            "Known are 2 basic blocks of ResNet-18 and 6 bottlenecks of ResNet-50.",
        )
    if "head.conv_cls.weight" not in tensors:
        raise UserError(
            "The file lacks the tensor 'head.conv_cls.weight' of liminn's ICNet.",
            "It may be truncated.",
        )
    return {
        "variant": _VARIANTS[key],
        "num_classes": tensors["head.conv_cls.weight"].shape[0],
        "encoder": _VARIANTS[key],
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
                "classifier of the backbone",
                r"pretrained\.fc\.(?:weight|bias)",
                "the layer for ImageNet classification takes no part in segmentation",
            ),
        ),
        infer=_infer,
        variants=tuple(_VARIANTS.values()),
    ),
)
