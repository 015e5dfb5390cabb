"""The official names of AFFormer, whole networks and ImageNet encoders.

Paper: Dong et al., AAAI 2023, arXiv 2301.04648. The names are those of the checkpoints of
dongbo811/AFFormer, which are mmseg's: `backbone.` and `decode_head.`.
"""

from __future__ import annotations

import re
from typing import Any

from segscape.models.weights.rows import prefixed
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import count, differs, one_of, shape

_EMBED = r"patch_embed_stages\.(\d+)\.patch_embeds\."
_STAGE = r"mhca_stages\.(\d+)\."
_BLOCK = rf"{_STAGE}mhca_blks\.0\."
_LAYER = rf"{_BLOCK}MHCA_layers\.(\d+)\."

_ENCODER = (
    (r"stem\.(\d+)", r"stem.\1"),
    (rf"{_EMBED}0\.patch_conv", r"stages.\1.pixel_embed"),
    (rf"{_EMBED}1\.patch_conv", r"stages.\1.prototype_embed"),
    (rf"{_STAGE}Restore\.conv1", r"stages.\1.descriptor.reduce"),
    (rf"{_STAGE}Restore\.dwconv", r"stages.\1.descriptor.depthwise.conv"),
    (rf"{_STAGE}Restore\.norm", r"stages.\1.descriptor.depthwise.norm"),
    (rf"{_STAGE}Restore\.conv2", r"stages.\1.descriptor.expand"),
    (rf"{_STAGE}aggregate", r"stages.\1.aggregate"),
    (rf"{_BLOCK}cpe\.proj", r"stages.\1.prototypes.position"),
    (rf"{_BLOCK}crpe\.conv_list\.(\d+)", r"stages.\1.prototypes.high_pass.convs.\2"),
    (rf"{_LAYER}factoratt_crpe\.qkv", r"stages.\1.prototypes.layers.\2.filter.qkv"),
    (rf"{_LAYER}factoratt_crpe\.proj", r"stages.\1.prototypes.layers.\2.filter.project"),
    (rf"{_LAYER}mlp\.fc1", r"stages.\1.prototypes.layers.\2.mlp.expand"),
    (rf"{_LAYER}mlp\.dwconv\.dwconv", r"stages.\1.prototypes.layers.\2.mlp.depthwise"),
    (rf"{_LAYER}mlp\.fc2", r"stages.\1.prototypes.layers.\2.mlp.reduce"),
    (rf"{_LAYER}norm([12])", r"stages.\1.prototypes.layers.\2.norm\3"),
)

_NETWORK = (
    *prefixed(_ENCODER, r"backbone\.", "encoder."),
    (r"decode_head\.squeeze\.conv", "head.conv"),
    (r"decode_head\.squeeze\.gn", "head.norm"),
    (r"decode_head\.conv_seg", "head.classifier"),
)

_LEAVES = (
    (r"\.bn\.(\w+)", r".norm.\1"),
    # Of the embeddings' convolutions; elsewhere the places have renamed `dwconv`.
    (r"\.dwconv\.weight", ".depthwise.weight"),
    (r"\.pwconv\.weight", ".pointwise.weight"),
)

_VARIANTS: dict[tuple[tuple[int, ...], ...], str] = {
    ((32, 64, 160, 216), (2, 4, 2)): "afformer_tiny",
    ((32, 64, 176, 216), (2, 4, 2)): "afformer_small",
    ((32, 96, 176, 216), (2, 6, 2)): "afformer_base",
}
"""Our model, and its encoder, by widths and by layers of the transformers."""

_ALIAS = r"mhca_stages\.\d+\.mhca_blks\.0\.MHCA_layers\.\d+\.(?:factoratt_crpe\.)?(?:cpe|crpe)\..+"


def _is_alias(name: str, tensors: Tensors) -> str | None:
    """The layers of a stage share their position encoding and their high-pass."""
    twin = re.sub(r"MHCA_layers\.\d+\.(?:factoratt_crpe\.)?", "", name)
    return differs(twin, name, tensors)


def _shared(prefix: str) -> Ignore:
    return Ignore(
        "second name of a shared layer",
        prefix + _ALIAS,
        "the layers of a stage share these tensors, which are in the file once more",
        _is_alias,
    )


def _variant(tensors: Tensors, prefix: str) -> str:
    stage = rf"{re.escape(prefix)}mhca_stages\."
    widths = tuple(
        shape(tensors, f"{prefix}mhca_stages.{index}.Restore.conv1.conv.weight")[1]
        for index in range(4)
    )
    layers = tuple(
        count(tensors, rf"{stage}{index}\.mhca_blks\.0\.MHCA_layers\.(\d+)\.")
        for index in (1, 2, 3)
    )
    what = f"an AFFormer with the widths {widths} and {layers} layers"
    return one_of(_VARIANTS, (widths, layers), what)


def _infer_network(tensors: Tensors) -> dict[str, Any]:
    variant = _variant(tensors, "backbone.")
    classes = shape(tensors, "decode_head.conv_seg.weight")[0]
    return {"variant": variant, "num_classes": classes, "encoder": variant}


SOURCES = (
    Source(
        name="AFFormer",
        system="afformer",
        signature=(
            r"^backbone\.patch_embed_stages\.",
            r"^backbone\.mhca_stages\.\d+\.Restore\.",
            r"^decode_head\.squeeze\.gn\.",
        ),
        places=_NETWORK,
        leaves=_LEAVES,
        ignored=(
            _shared(r"backbone\."),
            Ignore(
                "unused layer of the head",
                r"decode_head\.align\..+",
                "the official head builds this convolution and never calls it",
            ),
        ),
        infer=_infer_network,
        variants=tuple(_VARIANTS.values()),
    ),
    Source(
        name="AFFormer encoder",
        system="afformer_encoder",
        signature=(r"^patch_embed_stages\.", r"^mhca_stages\.\d+\.Restore\."),
        places=_ENCODER,
        leaves=_LEAVES,
        ignored=(
            _shared(""),
            Ignore(
                "classifier of the encoder",
                r"(?:cls_head|head)\..+",
                "layers for ImageNet classification that take no part in segmentation",
            ),
        ),
        infer=lambda tensors: {"encoder": _variant(tensors, "")},
    ),
)
