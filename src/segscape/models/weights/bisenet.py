"""CoinCheung's names of BiSeNet and BiSeNetV2.

BiSeNet: Yu et al., arXiv 1808.00897; BiSeNetV2: arXiv 2004.02147. The names are those of the
`.pth` files that CoinCheung/BiSeNet publishes. STDC-Seg uses the first one's names for the layers
that they share.
"""

from __future__ import annotations

from segscape.models.weights.rows import (
    Rows,
    layers,
    numbered,
    prefixed,
    resnet_layers,
)
from segscape.models.weights.sources import Source
from segscape.models.weights.variants import always

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


_BISENET = (
    (r"sp\.conv1", "encoder.spatial.0"),
    (r"sp\.conv2", "encoder.spatial.1"),
    (r"sp\.conv3", "encoder.spatial.2"),
    (r"sp\.conv_out", "encoder.spatial.3"),
    (r"cp\.resnet\.conv1", "encoder.body.stem.0.conv"),
    (r"cp\.resnet\.bn1", "encoder.body.stem.0.norm"),
    *resnet_layers(r"cp\.resnet\.", "encoder.body."),
    (r"ffm\.conv(?=\.)", "decoder.fusions.0.attention.conv"),
    (r"ffm\.bn(?=\.)", "decoder.fusions.0.attention.norm"),
    *CONTEXT_PATH,
)


def _gather_expand(theirs: str, ours: str) -> Rows:
    theirs, ours = rf"segment\.{theirs}\.(\d+)", rf"encoder.stages.{ours}.\1"
    return (
        (rf"{theirs}\.conv1", f"{ours}.gather"),
        *numbered(rf"{theirs}\.dwconv", *layers(f"{ours}.expand")),
        *numbered(rf"{theirs}\.dwconv1", *layers(f"{ours}.expand.0")),
        *numbered(rf"{theirs}\.dwconv2", *layers(f"{ours}.expand.1")),
        *numbered(rf"{theirs}\.conv2", *layers(f"{ours}.project")),
        *numbered(
            rf"{theirs}\.shortcut", *layers(f"{ours}.shortcut.0"), *layers(f"{ours}.shortcut.1")
        ),
    )


_AGGREGATION = (
    *numbered("left1", *layers("detail_keep.0"), "detail_keep.1"),
    *numbered("left2", *layers("detail_down")),
    *numbered("right1", *layers("semantic_up")),
    *numbered("right2", *layers("semantic_keep.0"), "semantic_keep.1"),
    *numbered("conv", *layers("out")),
)


def _booster(theirs: str, stride: int) -> Rows:
    ours = f"auxiliary.encoder_{stride}"
    return (
        (rf"{theirs}\.conv(?=\.)", f"{ours}.conv"),
        (rf"{theirs}\.conv_out\.0\.1", f"{ours}.widen"),
        (rf"{theirs}\.conv_out\.1", f"{ours}.classifier"),
    )


_BISENETV2 = (
    (r"detail\.S1\.(\d)", r"encoder.detail.0.\1"),
    (r"detail\.S2\.(\d)", r"encoder.detail.1.\1"),
    (r"detail\.S3\.(\d)", r"encoder.detail.2.\1"),
    (r"segment\.S1S2", "encoder.stem"),
    *_gather_expand("S3", "0"),
    *_gather_expand("S4", "1"),
    *_gather_expand("S5_4", "2"),
    (r"segment\.S5_5\.bn", "context.norm"),
    (r"segment\.S5_5\.conv_gap", "context.average"),
    (r"segment\.S5_5\.conv_last", "context.out"),
    *prefixed(_AGGREGATION, r"bga\.", "decoder.fusions.0."),
    (r"head\.conv(?=\.)", "head.conv"),
    (r"head\.conv_out\.1", "head.classifier"),
    *_booster("aux2", 4),
    *_booster("aux3", 8),
    *_booster("aux4", 16),
    *_booster("aux5_4", 32),
)


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
        infer=always(
            "bisenet", "conv_out.conv_out.weight", encoder="bisenet_resnet18", fusion="ffm"
        ),
    ),
    Source(
        name="CoinCheung BiSeNetV2",
        system="bisenetv2",
        signature=(
            r"^detail\.S1\.0\.conv\.weight$",
            r"^segment\.S1S2\.",
            r"^bga\.left1\.",
            r"^head\.conv_out\.1\.weight$",
        ),
        places=_BISENETV2,
        leaves=LEAVES,
        infer=always("bisenetv2", "head.conv_out.1.weight", encoder="bisenetv2", fusion="bga"),
    ),
)
