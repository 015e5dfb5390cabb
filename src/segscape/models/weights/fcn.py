"""Names of FCN checkpoints: torchvision's with a ResNet, wkentaro's pytorch-fcn with VGG-16.

FCN: Long et al., arXiv 1411.4038. wkentaro's FCN-8s has the layers of the authors' Caffe network
under their names, and its transposed convolutions as tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from segscape.models.weights.rows import head, resnet_layers, resnet_stem
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.torchvision_encoders import vgg_places
from segscape.models.weights.variants import always, resnet_depth, shape

_RESNET = (
    *resnet_stem(r"backbone\.", "encoder."),
    *resnet_layers(r"backbone\.", "encoder."),
    *head("classifier", "head", 4),
    *head("aux_classifier", "auxiliary.encoder_layer3", 4),
)

_VGG_NAMES = [
    f"conv{stage}_{index}"
    for stage, count in enumerate((2, 2, 3, 3, 3), 1)
    for index in range(1, count + 1)
]

_FCN8S = (
    *vgg_places(_VGG_NAMES, "encoder."),
    (r"fc6(?=\.)", "context.fc6"),
    (r"fc7(?=\.)", "context.fc7"),
    (r"score_fr(?=\.)", "decoder.score_context"),
    (r"score_pool4(?=\.)", "decoder.scores.1"),
    (r"score_pool3(?=\.)", "decoder.scores.0"),
)


def bilinear_kernel(side: int) -> Tensor:
    """The kernel (side, side) of a transposed convolution that interpolates."""
    factor = (side + 1) // 2
    centre = factor - 1 if side % 2 else factor - 0.5
    line = 1 - (torch.arange(side) - centre).abs() / factor
    return line[:, None] * line[None, :]


def _is_bilinear(name: str, tensors: Tensors) -> str | None:
    given = tensors[name].float()
    classes, others, side, _ = given.shape
    fixed = torch.eye(classes, others)[:, :, None, None] * bilinear_kernel(side)
    if torch.allclose(given, fixed, atol=1e-3):
        return None
    return "it was trained away from bilinear interpolation, which is fixed here"


def _infer_resnet(tensors: Tensors) -> dict[str, Any]:
    depth = resnet_depth(tensors, "backbone.", among=(50, 101))
    return {
        "variant": "fcn_resnet50",
        "num_classes": shape(tensors, "classifier.4.weight")[0],
        "encoder": f"resnet{depth}_dilated",
    }


SOURCES = (
    Source(
        name="torchvision FCN",
        system="fcn",
        signature=(
            r"^backbone\.layer4\.0\.conv1\.weight$",
            r"^classifier\.0\.weight$",
            r"^classifier\.4\.weight$",
        ),
        places=_RESNET,
        infer=_infer_resnet,
        variants=("fcn_resnet50",),
    ),
    Source(
        name="wkentaro pytorch-fcn FCN-8s",
        system="fcn",
        signature=(r"^conv1_1\.weight$", r"^score_fr\.weight$", r"^score_pool3\.weight$"),
        places=_FCN8S,
        ignored=(
            Ignore(
                "bilinear interpolation",
                r"upscore(?:2|8|_pool4)\.weight",
                "a fixed kernel, which is computed here",
                _is_bilinear,
            ),
        ),
        infer=always("fcn8s_vgg16", classes_of="score_fr.weight"),
        variants=("fcn8s_vgg16",),
    ),
)
