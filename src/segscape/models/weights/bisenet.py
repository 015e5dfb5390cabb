"""CoinCheung's names of BiSeNet and BiSeNetV2.

BiSeNet: Yu et al., arXiv 1808.00897; BiSeNetV2: arXiv 2004.02147. The names are those of the
`.pth` files that CoinCheung/BiSeNet publishes. STDC-Seg uses the first one's names for the layers
that they share.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.sources import Source, Tensors

CONTEXT_PATH = (
    (r"cp\.arm16\.conv(?=\.)", "decoder.refine16.conv"),
    (r"cp\.arm16\.conv_atten", "decoder.refine16.attention.conv"),
    (r"cp\.arm16\.bn_atten", "decoder.refine16.attention.norm"),
    (r"cp\.arm32\.conv(?=\.)", "context.refine.conv"),
    (r"cp\.arm32\.conv_atten", "context.refine.attention.conv"),
    (r"cp\.arm32\.bn_atten", "context.refine.attention.norm"),
    (r"cp\.conv_avg", "context.average"),
    (r"cp\.conv_head32", "decoder.to16"),
    (r"cp\.conv_head16", "decoder.to8"),
    (r"ffm\.convblk", "decoder.fusions.0.project"),
    (r"conv_out\.conv_out", "head.classifier"),
    (r"conv_out\.conv(?=\.)", "head.conv"),
    (r"conv_out16\.conv_out", "auxiliary.decoder_context8.classifier"),
    (r"conv_out16\.conv(?=\.)", "auxiliary.decoder_context8.conv"),
    (r"conv_out32\.conv_out", "auxiliary.decoder_16.classifier"),
    (r"conv_out32\.conv(?=\.)", "auxiliary.decoder_16.conv"),
)
"""Context, decoder and heads of BiSeNet and of STDC-Seg."""

LEAVES = ((r"\.bn\.(\w+)", r".norm.\1"),)


def _resnet_layer(index: int) -> tuple[tuple[str, str], ...]:
    theirs, ours = rf"cp\.resnet\.layer{index + 1}\.(\d+)", rf"encoder.body.layers.{index}.\1"
    return (
        (rf"{theirs}\.conv(\d)", rf"{ours}.conv\2.conv"),
        (rf"{theirs}\.bn(\d)", rf"{ours}.conv\2.norm"),
        (rf"{theirs}\.downsample\.0", f"{ours}.shortcut.conv"),
        (rf"{theirs}\.downsample\.1", f"{ours}.shortcut.norm"),
    )


_BISENET = (
    (r"sp\.conv1", "encoder.spatial.0"),
    (r"sp\.conv2", "encoder.spatial.1"),
    (r"sp\.conv3", "encoder.spatial.2"),
    (r"sp\.conv_out", "encoder.spatial.3"),
    (r"cp\.resnet\.conv1", "encoder.body.stem.0.conv"),
    (r"cp\.resnet\.bn1", "encoder.body.stem.0.norm"),
    *(place for index in range(4) for place in _resnet_layer(index)),
    (r"ffm\.conv(?=\.)", "decoder.fusions.0.attention.conv"),
    (r"ffm\.bn(?=\.)", "decoder.fusions.0.attention.norm"),
    *CONTEXT_PATH,
)


def _infer_bisenet(tensors: Tensors) -> dict[str, Any]:
    return {
        "variant": "bisenet",
        "num_classes": tensors["conv_out.conv_out.weight"].shape[0],
        "encoder": "bisenet_resnet18",
        "fusion": "ffm",
    }


SOURCES = (
    Source(
        name="CoinCheung BiSeNet",
        system="bisenet",
        signature=(
            r"^cp\.resnet\.layer4\.1\.conv2\.weight$",
            r"^sp\.conv_out\.conv\.weight$",
            r"^ffm\.convblk\.",
            r"^conv_out\.conv_out\.weight$",
        ),
        places=_BISENET,
        leaves=LEAVES,
        ignored=(),
        infer=_infer_bisenet,
    ),
)
