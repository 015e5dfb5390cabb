"""Names of the PSPNet checkpoints of its authors' PyTorch code (hszhao/semseg).

PSPNet: Zhao et al., arXiv 1612.01105. The convolution after the pyramid pooling belongs to the
context here and to the classifier there.
"""

from __future__ import annotations

from typing import Any

from segscape.errors import UserError
from segscape.models.weights.sources import Source, Tensors
from segscape.models.weights.torchvision_encoders import (
    RESNET_LEAVES,
    resnet_depth,
    resnet_layers,
)

_PLACES = (
    *(
        (rf"layer0\.{3 * index + step}\.", f"encoder.stem.{index}.{name}.")
        for index in range(3)
        for step, name in enumerate(("conv", "norm"))
    ),
    *resnet_layers("", "encoder."),
    (r"ppm\.features\.(\d)\.1\.", r"context.branches.\1.conv."),
    (r"ppm\.features\.(\d)\.2\.", r"context.branches.\1.norm."),
    (r"cls\.0\.", "context.out.conv."),
    (r"cls\.1\.", "context.out.norm."),
    (r"cls\.4\.", "head.classifier."),
    (r"aux\.0\.", "auxiliary.encoder_layer3.conv.conv."),
    (r"aux\.1\.", "auxiliary.encoder_layer3.conv.norm."),
    (r"aux\.4\.", "auxiliary.encoder_layer3.classifier."),
)


def _infer(tensors: Tensors) -> dict[str, Any]:
    depth = resnet_depth(tensors)
    if depth not in (50, 101):
        raise UserError(
            f"The file is of a PSPNet with ResNet-{depth}.", "Known are ResNet-50 and ResNet-101."
        )
    return {
        "variant": f"pspnet_resnet{depth}",
        "num_classes": tensors["cls.4.weight"].shape[0],
        "encoder": f"resnet{depth}_psp",
    }


SOURCES = (
    Source(
        name="semseg PSPNet",
        system="pspnet",
        signature=(
            r"^layer0\.0\.weight$",
            r"^ppm\.features\.0\.1\.weight$",
            r"^cls\.4\.weight$",
        ),
        places=_PLACES,
        leaves=RESNET_LEAVES,
        ignored=(),
        infer=_infer,
        variants=("pspnet_resnet50", "pspnet_resnet101"),
    ),
)
