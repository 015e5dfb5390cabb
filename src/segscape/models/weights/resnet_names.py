"""What the ResNets of the torch world call their layers."""

from __future__ import annotations

Places = tuple[tuple[str, str], ...]


def resnet_places(prefix: str = "") -> Places:
    """Places of layers 1 to 4 as torchvision names them, for `Source.places`.

    Args:
        prefix: what stands before `layer1` in the file, as a pattern.
    """
    rows: list[tuple[str, str]] = []
    for index in range(4):
        block = rf"{prefix}layer{index + 1}\.(\d+)\."
        ours = rf"encoder.layers.{index}.\1."
        rows += [
            (rf"{block}conv(\d)(?=\.)", rf"{ours}conv\2.conv"),
            (rf"{block}bn(\d)(?=\.)", rf"{ours}conv\2.norm"),
            (rf"{block}downsample\.0(?=\.)", rf"{ours}shortcut.conv"),
            (rf"{block}downsample\.1(?=\.)", rf"{ours}shortcut.norm"),
        ]
    return tuple(rows)
