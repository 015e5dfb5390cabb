"""huaifeng1993's names of DFANet.

DFANet: Li et al., arXiv 1904.02216. The names are those of huaifeng1993/DFANet since March 2020;
its first sub-network is the encoder here, the attention of that one the context.
"""

from __future__ import annotations

from typing import Any

from segscape.errors import UserError
from segscape.models.weights.sources import Ignore, Source, Tensors

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
    (r"encoder\.conv1\.0(?=\.)", "encoder.stem.conv"),
    (r"encoder\.conv1\.1(?=\.)", "encoder.stem.norm"),
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
    (r"\.(shallow\.\d|deep\.\d|merge)\.0\.(\w+)", r".\1.conv.\2"),
    (r"\.(shallow\.\d|deep\.\d|merge)\.1\.(\w+)", r".\1.norm.\2"),
)

_VARIANTS = {48: "dfanet", 32: "dfanet_b"}
"""Our model by the channels of the first stage."""


def _shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise UserError(
            f"The file lacks the tensor '{name}' of huaifeng1993's DFANet.", "It may be truncated."
        )
    return tuple(tensors[name].shape)


def _infer(tensors: Tensors) -> dict[str, Any]:
    width = _shape(tensors, "encoder.branch0.enc2.build.0.projection.weight")[0]
    if width not in _VARIANTS:
        raise UserError(
            f"The first stage of the file's DFANet has {width} channels.",
            "Known are 48 of DFANet-A and 32 of DFANet-B.",
        )
    return {
        "variant": _VARIANTS[width],
        "num_classes": _shape(tensors, "decoder.conv_cls.weight")[0],
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
