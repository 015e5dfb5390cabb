"""The image cascade of ICNet: the same image at three sizes, each as deep as it can afford.

Paper: Zhao et al., ICNet for Real-Time Semantic Segmentation on High-Resolution Images, ECCV 2018,
arXiv 1704.08545. Three light convolutions see the full image, half of a ResNet the image at half
its size, a whole dilated ResNet a quarter of it. To a decoder this is an ordinary pyramid.

The graph is that of the most used PyTorch version (liminn/ICNet-pytorch), which differs from the
official Caffe one: a ResNet of full width (there pruned to half, 6.7 M parameters in all), its
stride in the 3x3 convolutions, its first half run once for each of the two small images (there
shared: the half image's feature is shrunk and carried on). liminn also runs layers 3 and 4 on the
half image and throws the result away, which only spoils their BatchNorm's running statistics; here
they take only the quarter image.

Size: icnet_resnet50 23 660 576 parameters and 22.187 GMACs at 512x1024 (height x width),
icnet_resnet18 11 353 760 and 13.849.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.encoders.resnet import ResNet
from segscape.models.layers import ConvBNAct, resize, size_of


class ImageCascade(nn.Module):
    """Three convolutions at full size, a ResNet at a half (two layers) and a quarter (all four).

    Args:
        depth: of the ResNet, 18, 34, 50 or 101.
        stem: of the ResNet, "deep" or "plain".
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: unknown depth or stem, or the weights do not fit.
    """

    def __init__(self, depth: int = 50, stem: str = "deep", weights: str | None = None) -> None:
        super().__init__()
        self.full = nn.ModuleList(
            [ConvBNAct(3, 32, 3, 2), ConvBNAct(32, 32, 3, 2), ConvBNAct(32, 64, 3, 2)]
        )
        self.backbone = ResNet(depth, stem, strides=(1, 1), dilations=(2, 4), first_dilated=False)
        layer2 = self.backbone.spec.channels_of("layer2")
        layer4 = self.backbone.spec.channels_of(8)
        self.spec = FeatureSpec({2: 32, 4: 32, 8: 64, 16: layer2, 32: layer4})
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, f"icnet_resnet{depth}")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: (B, 32, H/2, W/2), 4: ..., 8: (B, 64, ...), 16: ..., 32: ...}."""
        features: Features = {}
        x = image
        for stride, conv in zip((2, 4, 8), self.full, strict=True):
            x = conv(x)
            features[stride] = x
        features[16] = self._deep(_shrink(image, 2), 2)
        features[32] = self._deep(_shrink(image, 4), 4)
        return features

    def _deep(self, image: Tensor, layers: int) -> Tensor:
        """The first layers of the ResNet: stride 8 of the image it is given."""
        x = self.backbone.pool(self.backbone.stem(image))
        for layer in list(self.backbone.layers)[:layers]:
            x = layer(x)
        return x


def _shrink(image: Tensor, factor: int) -> Tensor:
    """(B, 3, H, W) -> (B, 3, H/factor, W/factor), rounded up like every stride."""
    height, width = size_of(image)
    return resize(image, (-(-height // factor), -(-width // factor)), align_corners=True)
