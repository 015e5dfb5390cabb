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


def _chain(theirs: str, *ours: str) -> tuple[tuple[str, str], ...]:
    """The places of a Sequential's layers, numbered in theirs."""
    return tuple((rf"{theirs}\.{index}(?=\.)", place) for index, place in enumerate(ours))


def _gather_expand(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    theirs, ours = rf"segment\.{theirs}\.(\d+)", rf"encoder.stages.{ours}.\1"
    return (
        (rf"{theirs}\.conv1", f"{ours}.gather"),
        *_chain(rf"{theirs}\.dwconv", f"{ours}.expand.conv", f"{ours}.expand.norm"),
        *_chain(rf"{theirs}\.dwconv1", f"{ours}.expand.0.conv", f"{ours}.expand.0.norm"),
        *_chain(rf"{theirs}\.dwconv2", f"{ours}.expand.1.conv", f"{ours}.expand.1.norm"),
        *_chain(rf"{theirs}\.conv2", f"{ours}.project.conv", f"{ours}.project.norm"),
        *_chain(
            rf"{theirs}\.shortcut",
            *(f"{ours}.shortcut.{i}.{layer}" for i in (0, 1) for layer in ("conv", "norm")),
        ),
    )


def _separable(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    ours = f"decoder.fusions.0.{ours}"
    return _chain(rf"bga\.{theirs}", f"{ours}.0.conv", f"{ours}.0.norm", f"{ours}.1")


def _conv(theirs: str, ours: str) -> tuple[tuple[str, str], ...]:
    ours = f"decoder.fusions.0.{ours}"
    return _chain(rf"bga\.{theirs}", f"{ours}.conv", f"{ours}.norm")


def _booster(theirs: str, stride: int) -> tuple[tuple[str, str], ...]:
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
    *_separable("left1", "detail_keep"),
    *_conv("left2", "detail_down"),
    *_conv("right1", "semantic_up"),
    *_separable("right2", "semantic_keep"),
    *_conv("conv", "out"),
    (r"head\.conv(?=\.)", "head.conv"),
    (r"head\.conv_out\.1", "head.classifier"),
    *_booster("aux2", 4),
    *_booster("aux3", 8),
    *_booster("aux4", 16),
    *_booster("aux5_4", 32),
)


def _infer_bisenetv2(tensors: Tensors) -> dict[str, Any]:
    return {
        "variant": "bisenetv2",
        "num_classes": tensors["head.conv_out.1.weight"].shape[0],
        "encoder": "bisenetv2",
        "fusion": "bga",
    }


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
        ignored=(),
        infer=_infer_bisenetv2,
    ),
)
