"""The encoder of BiSeNet: a spatial path beside the body of the context path.

Paper: Yu et al., BiSeNet: Bilateral Segmentation Network for Real-time Semantic Segmentation,
ECCV 2018, arXiv 1808.00897. Four convolutions go down to stride 8 with many channels, so that the
body can go down to stride 32 fast; what the body gives is an ordinary pyramid.

The paper's spatial path has three convolutions; here are four, as in the authors' code and
CoinCheung's: the last one is 1x1.

Size at 512x1024 (height x width): with ResNet-18 11 268 480 parameters, 21.760 GMACs; with
Xception-39 398 232 and 3.223.
"""

from __future__ import annotations

from torch import Tensor, nn

from segscape.errors import unknown
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.encoders.resnet import ResNet
from segscape.models.encoders.xception39 import Xception39
from segscape.models.layers import ConvBNAct


class BiSeNetEncoder(nn.Module):
    """The pyramid of the body, and the extra `detail` from the spatial path.

    Args:
        body: "resnet18" or "xception39".
        weights: a local file with the state dict of this encoder, or None.

    Raises:
        UserError: unknown body, or the weights do not fit.
    """

    def __init__(self, body: str = "resnet18", weights: str | None = None) -> None:
        super().__init__()
        self.spatial: nn.Module | None = nn.Sequential(
            ConvBNAct(3, 64, 7, 2),
            ConvBNAct(64, 64, 3, 2),
            ConvBNAct(64, 64, 3, 2),
            ConvBNAct(64, 128, 1),
        )
        self.body = _body(body)
        self.spec = FeatureSpec(self.body.spec.channels, {"detail": (8, 128)})
        # As published: any size, its convolutions pad by themselves.
        self.multiple = 1
        if weights is not None:
            load_local(self, weights, f"bisenet_{body}")

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {2: ..., 4: ..., ..., 32: ..., "detail": (B, 128, H/8, W/8)}."""
        features: Features = self.body(image)
        if self.spatial is not None:
            features["detail"] = self.spatial(image)
        return features

    def drop(self, name: str) -> None:
        """Take off the branch that gives `detail`."""
        assert name == "detail"
        self.spatial = None
        self.spec = FeatureSpec(self.spec.channels)


def _body(name: str) -> ResNet | Xception39:
    if name == "resnet18":
        return ResNet(18)
    if name == "xception39":
        return Xception39()
    raise unknown(f"unknown body {name!r} of BiSeNet", name, ("resnet18", "xception39"))
