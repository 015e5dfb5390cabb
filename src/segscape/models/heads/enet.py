"""ENet's last layer: a transposed convolution that is classifier and doubling in one.

Paper: Paszke et al., ENet, arXiv 1606.02147. 3x3 without bias as in davidtvs/PyTorch-ENet; the
authors' Lua code has 2x2 with bias.

Size from 16 channels to 19 classes: 2 736 parameters, 0.359 GMACs on a 256x512 map.
"""

from __future__ import annotations

from torch import Tensor, nn


class ENetHead(nn.Module):
    """Logits at twice the size of the feature.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.ConvTranspose2d(
            in_channels, num_classes, 3, 2, padding=1, output_padding=1, bias=False
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, 2 h, 2 w)."""
        return self.classifier(x)
