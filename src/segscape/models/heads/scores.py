"""The head of decoders that end in class scores themselves: nothing is left to compute."""

from __future__ import annotations

from torch import Tensor, nn

from segscape.errors import UserError


class Scores(nn.Module):
    """Pass the class scores of a decoder through.

    Some networks (ESPNet, ESPNetV2, ENet, the FCNs) mix the scores of the classes inside their
    decoder, which is therefore built for the number of classes; there is no classifier behind it.

    Args:
        in_channels: Channels of the feature that carries the scores: one for each class.
        num_classes: Classes to score.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if in_channels != num_classes:
            raise UserError(
                f"head=scores has no parameters: it takes a feature of one channel for each of "
                f"the {num_classes} classes, and this feature has {in_channels} channels",
                "choose a head with a classifier, for example head=seg, or a decoder that gives "
                "class scores itself, for example decoder=espnet",
            )

    def forward(self, feature: Tensor) -> Tensor:
        """Map scores `(B, num_classes, h, w)` to themselves."""
        return feature
