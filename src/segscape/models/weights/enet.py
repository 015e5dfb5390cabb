"""Names of davidtvs/PyTorch-ENet. ENet: Paszke et al., arXiv 1606.02147.

Its checkpoints hold the state dict under `state_dict`.
"""

from __future__ import annotations

from segscape.models.weights.rows import layers, numbered_leaves
from segscape.models.weights.sources import Source
from segscape.models.weights.variants import always

_ENCODER = (
    (r"initial_block\.main_branch(?=\.)", "encoder.initial.conv"),
    (r"initial_block\.batch_norm(?=\.)", "encoder.initial.norm"),
    (r"initial_block\.out_activation(?=\.)", "encoder.initial.act"),
    (r"downsample1_0(?=\.)", "encoder.down1"),
    (r"downsample2_0(?=\.)", "encoder.down2"),
    *((rf"regular1_{index}(?=\.)", f"encoder.stage1.{index - 1}") for index in range(1, 5)),
    # Stage 2 counts from the block that halves the size, stage 3 has none.
    *(
        (rf"(?:regular|dilated|asymmetric)2_{index + 1}(?=\.)", f"encoder.stage2.{index}")
        for index in range(8)
    ),
    (r"(?:regular|dilated|asymmetric)3_(\d)(?=\.)", r"encoder.stage3.\1"),
)

_DECODER = (
    (r"upsample4_0(?=\.)", "decoder.up4"),
    (r"regular4_1(?=\.)", "decoder.stage4.0"),
    (r"regular4_2(?=\.)", "decoder.stage4.1"),
    (r"upsample5_0(?=\.)", "decoder.up5"),
    (r"regular5_1(?=\.)", "decoder.stage5.0"),
    (r"transposed_conv(?=\.)", "head.classifier"),
)

_LAYERS = ("conv", "norm", "act")

_LEAVES = (
    *numbered_leaves("main_conv1", *layers("main", *_LAYERS)),
    (r"\.ext_tconv1\.(\w+)", r".up.\1"),
    (r"\.ext_tconv1_bnorm\.(\w+)", r".norm.\1"),
    # In the block that doubles the size ext_conv2 is the last 1x1.
    *numbered_leaves(r"(up[45])\.ext_conv2", *layers(r"\1.expand", *_LAYERS)),
    *numbered_leaves("ext_conv1", *layers("reduce", *_LAYERS)),
    *numbered_leaves("ext_conv2", *layers("convs.0", *_LAYERS), *layers("convs.1", *_LAYERS)),
    *numbered_leaves("ext_conv3", *layers("expand", *_LAYERS)),
    (r"\.out_activation\.(\w+)", r".act.\1"),
)

SOURCES = (
    Source(
        name="davidtvs PyTorch-ENet",
        system="enet",
        signature=(
            r"^initial_block\.main_branch\.weight$",
            r"^asymmetric3_6\.ext_conv2\.3\.weight$",
            r"^transposed_conv\.weight$",
        ),
        places=(*_ENCODER, *_DECODER),
        leaves=_LEAVES,
        infer=always("enet", classes_of="transposed_conv.weight", axis=1),
    ),
)
