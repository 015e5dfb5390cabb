"""The plainest head: one convolution, after an optional dropout.

It ends most networks whose decoder already gives well mixed features: SFNet (1x1), PSPNet (1x1
after dropout), SegNet (3x3), and without bias ICNet (1x1, as in liminn/ICNet-pytorch; the Caffe
version has one) and DFANet (3x3, as in huaifeng1993/DFANet).

Size from 128 channels to 19 classes, 1x1 with bias: 2 451 parameters, 0.080 GMACs on a 128x256 map.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.layers import init_conv


class Classifier(nn.Module):
    """Dropout of whole channels, then one convolution.

    Args:
        in_channels: channels of the feature.
        num_classes: number of classes.
        kernel: side of the kernel, odd.
        dropout: probability that a channel is dropped in training.
        bias: whether each class has one.
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        kernel: int = 1,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.classifier = nn.Conv2d(
            in_channels, num_classes, kernel, padding=kernel // 2, bias=bias
        )
        init_conv(self.classifier)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, h, w) -> logits (B, num_classes, h, w)."""
        return self.classifier(self.dropout(x))
