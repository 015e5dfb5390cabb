"""huaifeng1993's names of DFANet.

DFANet: Li et al., arXiv 1904.02216. The names are those of huaifeng1993/DFANet since March 2020;
its first sub-network is the encoder here, the attention of that one the context.
"""

from __future__ import annotations

from typing import Any

from segscape.models.weights.rows import layers, numbered, numbered_leaves
from segscape.models.weights.sources import Ignore, Source, Tensors
from segscape.models.weights.variants import one_of, shape

_STAGES = tuple(
    (
        rf"encoder\.branch{branch}\.enc{stage + 2}\.build\.(\d+)\.{part}(?=\.)",
        rf"{network}.stages.{stage}.\1.{ours}",
    )
    for branch, network in enumerate(("encoder", "decoder.networks.0", "decoder.networks.1"))
    for stage in range(3)
    for part, ours in ((r"conv(\d)", r"convs.\2"), ("projection", "shortcut"))
)

_PLACES = (
    *numbered(r"encoder\.conv1", *layers("encoder.stem")),
    *_STAGES,
    (r"encoder\.branch0\.atten\.fc(?=\.)", "context.weights"),
    (r"encoder\.branch1\.atten\.fc(?=\.)", "decoder.networks.0.attention.weights"),
    (r"encoder\.branch2\.atten\.fc(?=\.)", "decoder.networks.1.attention.weights"),
    (r"decoder\.conv([012])(?=\.)", r"decoder.shallow.\1"),
    (r"decoder\.conv3(?=\.)", "decoder.deep.0"),
    (r"decoder\.conv5(?=\.)", "decoder.deep.1"),
    (r"decoder\.conv_add1(?=\.)", "decoder.merge"),
    (r"decoder\.conv_cls(?=\.)", "head.classifier"),
)

# The official blocks count their convolutions from 1.
_LEAVES = (
    *(
        leaf
        for index in (1, 2, 3)
        for leaf in (
            (rf"\.convs\.{index}\.0\.conv1\.(\w+)", rf".convs.{index - 1}.depthwise.\1"),
            (rf"\.convs\.{index}\.0\.pointwise\.(\w+)", rf".convs.{index - 1}.pointwise.\1"),
            (rf"\.convs\.{index}\.1\.(\w+)", rf".convs.{index - 1}.norm.\1"),
        )
    ),
    *numbered_leaves(r"(shallow\.\d|deep\.\d|merge)", *layers(r"\1")),
)

_VARIANTS = {48: "dfanet", 32: "dfanet_b"}
"""Our model by the channels of the first stage."""


def _infer(tensors: Tensors) -> dict[str, Any]:
    width = shape(tensors, "encoder.branch0.enc2.build.0.projection.weight")[0]
    return {
        "variant": one_of(_VARIANTS, width, f"a DFANet with {width} channels in its first stage"),
        "num_classes": shape(tensors, "decoder.conv_cls.weight")[0],
    }


SOURCES = (
    Source(
        name="huaifeng1993 DFANet",
        system="dfanet",
        signature=(
            r"^encoder\.branch0\.enc2\.build\.",
            r"^encoder\.branch2\.",
            r"^decoder\.conv5\.",
        ),
        places=_PLACES,
        leaves=_LEAVES,
        ignored=(
            Ignore(
                "projection that is never called",
                r"decoder\.conv4\..+",
                "the official decoder uses conv5 in the place of conv4",
            ),
        ),
        infer=_infer,
        variants=tuple(_VARIANTS.values()),
    ),
)
