"""A classifier without bias and with nothing before it: the last layer of ICNet and of DFANet.

Both as published in PyTorch (liminn/ICNet-pytorch, 1x1; huaifeng1993/DFANet, 3x3); the Caffe
version of ICNet has a bias.

Size from 128 channels to 19 classes, 1x1: 2 432 parameters, 0.080 GMACs on a 128x256 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import init_conv


class UnbiasedClassifier(nn.Module):
    """One convolution without bias.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        kernel: side of the kernel, odd.
    """

    def __init__(self, in_channels: int, num_classes: int, kernel: int = 1) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(
            in_channels, num_classes, kernel, padding=kernel // 2, bias=False
        )
        init_conv(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(x)
