"""Names of the PSPNet checkpoints of its authors' PyTorch code (hszhao/semseg).

PSPNet: Zhao et al., arXiv 1612.01105. The convolution after the pyramid pooling belongs to the
context here and to the classifier there.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.rows import deep_stem, head, layers, numbered, resnet_layers
from segscape.models.weights.sources import Source, Tensors
from segscape.models.weights.variants import resnet_depth, shape

_PLACES = (
    *numbered("layer0", *deep_stem("encoder.stem")),
    *resnet_layers("", "encoder."),
    *numbered(r"ppm\.features\.(\d)", *layers(r"context.branches.\1"), first=1),
    *numbered("cls", *layers("context.out"), None, None, "head.classifier"),
    *head("aux", "auxiliary.encoder_layer3", 4),
)


def _infer(tensors: Tensors) -> dict[str, Any]:
    depth = resnet_depth(tensors, among=(50, 101))
    return {
        "variant": f"pspnet_resnet{depth}",
        "num_classes": shape(tensors, "cls.4.weight")[0],
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
        infer=_infer,
        variants=("pspnet_resnet50", "pspnet_resnet101"),
    ),
)
