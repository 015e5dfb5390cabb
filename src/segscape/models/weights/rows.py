"""Rows of names that the tables of several sources share.

A row is (pattern, replacement), see `Source.places` and `Source.leaves`.
"""

from __future__ import annotations

Rows = tuple[tuple[str, str], ...]


def numbered(theirs: str, *ours: str | None, first: int = 0) -> Rows:
    """Places of the layers of a Sequential, which official names number.

    Args:
        theirs: pattern of the Sequential's name.
        ours: name of each layer, in order; None for one without tensors.
        first: number of the first layer.
    """
    return tuple(
        (rf"{theirs}\.{number}(?=\.)", name) for number, name in enumerate(ours, first) if name
    )


def numbered_leaves(theirs: str, *ours: str | None, first: int = 0) -> Rows:
    """The same as leaves, for every Sequential of the name."""
    return tuple(
        (rf"\.{theirs}\.{number}\.(?P<leaf>\w+)", rf".{name}.\g<leaf>")
        for number, name in enumerate(ours, first)
        if name
    )


def prefixed(rows: Rows, theirs: str, ours: str) -> Rows:
    """Places of a network inside another one."""
    return tuple((f"{theirs}{pattern}", f"{ours}{place}") for pattern, place in rows)


def layers(ours: str, *names: str) -> tuple[str, ...]:
    """Our names of a `ConvBNAct`'s layers; by default those that have tensors."""
    return tuple(f"{ours}.{name}" for name in names or ("conv", "norm"))


def deep_stem(ours: str) -> tuple[str | None, ...]:
    """Our names of a stem of three convolutions, as official Sequentials number their layers."""
    return (*layers(f"{ours}.0"), None, *layers(f"{ours}.1"), None, *layers(f"{ours}.2"))


def head(theirs: str, ours: str, classifier: int) -> Rows:
    """Places of a head: a convolution, its BatchNorm, and the classifier under its number."""
    between = [None] * (classifier - 2)
    return numbered(theirs, *layers(f"{ours}.conv"), *between, f"{ours}.classifier")


def resnet_stem(theirs: str = "", ours: str = "") -> Rows:
    """Places of torchvision's conv1 and bn1, and of conv2 to bn3 of a deep stem."""
    return tuple(
        (rf"{theirs}{kind}{index + 1}(?=\.)", f"{ours}stem.{index}.{name}")
        for index in range(3)
        for kind, name in (("conv", "conv"), ("bn", "norm"))
    )


def resnet_layers(theirs: str = "", ours: str = "") -> Rows:
    """Places of the four layers of a ResNet, as torchvision names them.

    Args:
        theirs: pattern of what comes before `layer1`.
        ours: prefix of our encoder.
    """
    rows: list[tuple[str, str]] = []
    for index in range(4):
        block, place = rf"{theirs}layer{index + 1}\.(\d+)\.", rf"{ours}layers.{index}.\1."
        rows += [
            (rf"{block}conv(\d)(?=\.)", rf"{place}conv\2.conv"),
            (rf"{block}bn(\d)(?=\.)", rf"{place}conv\2.norm"),
            *numbered(rf"{block}downsample", *layers(f"{place}shortcut")),
        ]
    return tuple(rows)


STDC = (
    (r"features\.(\d+)\.conv_list\.(\d+)", r"layers.\1.convs.\2"),
    # The depthwise convolution of the blocks with stride 2 is a Sequential of two.
    *numbered(r"features\.(\d+)\.avd_layer", *layers(r"layers.\1.down")),
    (r"features\.(\d+)", r"layers.\1"),
)
"""Places of an STDC, named alike by its authors, SFSegNets and PaddleSeg."""

PADDLE_LEAVES = (
    (r"\._conv\.(weight|bias)", r".conv.\1"),
    (r"\.(?:bn|_batch_norm)\.(weight|bias)", r".norm.\1"),
    (r"\.(?:bn|_batch_norm)\._mean", ".norm.running_mean"),
    (r"\.(?:bn|_batch_norm)\._variance", ".norm.running_var"),
    (r"\._mean", ".running_mean"),
    (r"\._variance", ".running_var"),
)
"""Leaves of PaddleSeg's layers."""
