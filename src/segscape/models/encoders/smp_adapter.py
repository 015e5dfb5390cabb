"""Any encoder of segmentation-models-pytorch.

segmentation-models-pytorch (Iakubovskii) gives features at strides 1, 2, 4, ...; the first is
the image itself and is dropped. Differences from the models as published: none in the layers.
Pretrained weights expect ImageNet's mean and std, as with timm.

Size of the default, resnet18 (He et al., arXiv 1512.03385): 11 176 512 parameters, 18.950 GMACs
at 512x1024 (height x width).
"""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor, nn

from segscape.errors import UserError, nearest
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import load_local
from segscape.models.encoders.pretrained import fail_fast_offline, fetch_hint, probe
from segscape.models.encoders.timm_adapter import published

_PROBE = 128


class SmpEncoder(nn.Module):
    """An encoder of segmentation-models-pytorch, its features by stride.

    Args:
        name: of the encoder there, e.g. "resnet18", "mit_b0", "tu-<name in timm>".
        weights: None for a random start, the name of a pretrained set to download ("imagenet"),
            or a local file in the encoder's names.
        depth: number of halvings; 5 ends at stride 32.
        output_stride: 16 or 8 keeps the deepest layers there, dilated instead of strided.

    Raises:
        UserError: unknown name, a depth the encoder does not have, weights that do not fit or
            cannot be downloaded.
    """

    def __init__(
        self,
        name: str = "resnet18",
        weights: str | None = None,
        depth: int = 5,
        output_stride: int = 32,
    ) -> None:
        super().__init__()
        _check_name(name)
        file = weights if weights is not None and Path(weights).suffix else None
        self.body = _build(name, depth, output_stride, weights if file is None else None)
        if file is not None:
            load_local(self.body, file, name)
        shapes = [tuple(x.shape) for x in probe(self.body, _PROBE, _PROBE)]
        # Some give the image itself, or an empty map at stride 2 (mit_*): neither is a feature.
        self._index = {
            2 ** round(math.log2(_PROBE / height)): index
            for index, (_, channels, height, _) in enumerate(shapes)
            if channels > 0 and height < _PROBE
        }
        self.spec = FeatureSpec({stride: shapes[i][1] for stride, i in self._index.items()})
        self.multiple = self.spec.deepest

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {stride: (B, channels, H/stride, W/stride)}."""
        outputs = self.body(image)
        return {stride: outputs[self._index[stride]] for stride in self.spec.channels}


def _check_name(name: str) -> None:
    import timm
    from segmentation_models_pytorch.encoders import get_encoder_names

    names = get_encoder_names()
    if name in names or (name.startswith("tu-") and timm.is_model(name[3:])):
        return
    close = nearest(name, [*names, *(f"tu-{model}" for model in timm.list_models())])
    raise UserError(
        f"segmentation-models-pytorch has no encoder {name!r}",
        f"{f'did you mean {close}? ' if close else ''}"
        f"choices: {', '.join(names[:4])}, ..., and tu-<name> for the models of timm",
    )


def _build(name: str, depth: int, output_stride: int, weights: str | None) -> nn.Module:
    from segmentation_models_pytorch.encoders import get_encoder

    # Of timm's models there is one set for each name.
    chosen: str | bool | None = True if weights and name.startswith("tu-") else weights
    try:
        with fail_fast_offline():
            return get_encoder(
                name, in_channels=3, depth=depth, weights=chosen, output_stride=output_stride
            )
    except Exception as error:
        # Wrong depth, unknown set of weights, no network: each encoder raises its own class.
        hint = "depths are 3 to 5; encoder.weights=null starts from random weights"
        raise UserError(
            f"encoder {name} of smp could not be built: {error}",
            hint if weights is None else _where(name, weights),
        ) from error


def _where(name: str, weights: str) -> str:
    """Where a set of pretrained weights can be fetched, or which sets there are."""
    from segmentation_models_pytorch.encoders import encoders

    if name.startswith("tu-"):
        model = name[3:]
        where = published(model)
        if where is None:
            return f"timm has no pretrained weights for {model}; encoder.weights=null uses none"
        return fetch_hint(*where, encoder=f"encoder=timm encoder.name={model}")
    sets = encoders[name].get("pretrained_settings") or {}
    if weights not in sets:
        known = ", ".join(sets) or "none"
        return f"sets of pretrained weights for {name}: {known}; encoder.weights=FILE takes a file"
    return fetch_hint(f"https://huggingface.co/{sets[weights]['repo_id']}", "model.safetensors")
