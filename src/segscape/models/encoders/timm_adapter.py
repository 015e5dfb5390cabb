"""Any convolutional or hierarchical model of timm as an encoder.

timm (Wightman, PyTorch Image Models) gives features at several strides with
`features_only=True`. Differences from the models as published: none in the layers; only the
classifier is cut off. Pretrained weights expect ImageNet's mean and std: set `model.mean` and
`model.std` to (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) with them.

Size of the default, mobilenetv3_small_100 (Howard et al., arXiv 1905.02244): 927 008 parameters,
0.569 GMACs at 512x1024 (height x width).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from segscape.errors import UserError, nearest
from segscape.models.contracts import Features, FeatureSpec
from segscape.models.encoders.local import check_fit
from segscape.models.encoders.pretrained import fail_fast_offline, fetch_hint, probe
from segscape.models.weights.read import read_tensors

# Transformers with a fixed image size have one of these switches to take any.
_ANY_SIZE: tuple[dict[str, Any], ...] = (
    {},
    {"strict_img_size": False},
    {"dynamic_img_size": True},
)
_PROBE = (160, 224)  # multiples of 32, neither square nor a usual training size


class TimmEncoder(nn.Module):
    """A timm model, its features by stride.

    Where several features share a stride, the last one is kept.

    Args:
        name: of the model in timm, e.g. "mobilenetv3_small_100", "resnet18.a1_in1k".
        weights: None for a random start, "imagenet" to download timm's pretrained weights, or a
            local file in timm's names.

    Raises:
        UserError: unknown name, a model without features or for one image size only, weights
            that do not fit or cannot be downloaded.
    """

    def __init__(self, name: str = "mobilenetv3_small_100", weights: str | None = None) -> None:
        super().__init__()
        import timm

        if not timm.is_model(name):
            close = nearest(name, timm.list_models())
            raise UserError(
                f"timm {timm.__version__} has no model {name!r}",
                f"{f'did you mean {close}? ' if close else ''}all names: timm.list_models()",
            )
        body, arguments, outputs = _any_size(name)
        if weights is not None:
            body = _pretrained(name, weights, arguments)
        self.body = body
        reductions, channels = body.feature_info.reduction(), body.feature_info.channels()
        # Later entries replace earlier ones of the same stride.
        self._index = {stride: index for index, stride in enumerate(reductions)}
        self.spec = FeatureSpec({stride: channels[i] for stride, i in self._index.items()})
        self.multiple = self.spec.deepest
        self._channels_last = outputs[-1].shape[1] != channels[-1]

    def forward(self, image: Tensor) -> Features:
        """(B, 3, H, W) -> {stride: (B, channels, H/stride, W/stride)}."""
        outputs = self.body(image)
        return {stride: self._nchw(outputs[self._index[stride]]) for stride in self.spec.channels}

    def _nchw(self, x: Tensor) -> Tensor:
        return x.permute(0, 3, 1, 2) if self._channels_last else x


def _any_size(name: str) -> tuple[Any, dict[str, Any], list[Tensor]]:
    """The model, with what makes it take any image size, and its features' shapes on `_PROBE`."""
    import timm

    reason: Exception | None = None
    for arguments in _ANY_SIZE:
        try:
            body: Any = timm.create_model(name, features_only=True, **arguments)
            outputs = probe(body, *_PROBE)
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as error:
            # timm has one way per family to say that it cannot; the first one is the reason.
            reason = reason or error
            continue
        if _are_maps(body.feature_info, outputs):
            return body, arguments, outputs
        reason = reason or ValueError("its features do not follow the size of the image")
    raise UserError(
        f"timm's {name} cannot serve as an encoder for images of any size: {reason}",
        "convolutional models and hierarchical transformers can: mobilenetv3_small_100, resnet18, "
        "convnext_atto, efficientvit_b0, swin_tiny_patch4_window7_224",
    ) from reason


def _are_maps(info: Any, outputs: list[Tensor]) -> bool:
    """Whether the features of `_PROBE` have the announced channels and strides.

    A few cells may lack at the border: Inception's convolutions have no padding.
    """
    for x, channels, stride in zip(outputs, info.channels(), info.reduction(), strict=True):
        if x.ndim != 4 or channels not in (x.shape[1], x.shape[3]):
            return False
        height, width = x.shape[2:] if x.shape[1] == channels else x.shape[1:3]
        if abs(height - _PROBE[0] / stride) > 4 or abs(width - _PROBE[1] / stride) > 4:
            return False
    return True


def _pretrained(name: str, weights: str, arguments: dict[str, Any]) -> nn.Module:
    import timm

    if weights == "imagenet":
        where = published(name)
        if where is None:
            raise UserError(
                f"timm {timm.__version__} has no pretrained weights for {name}",
                "those that have: timm.list_models(pretrained=True); encoder.weights=null starts "
                "from random ones",
            )
        try:
            with fail_fast_offline():
                return timm.create_model(name, features_only=True, pretrained=True, **arguments)
        except Exception as error:
            # Hub, network, cache and checksum errors share no class; all mean the same here.
            raise UserError(
                f"the weights of timm's {name} could not be fetched: {error}", fetch_hint(*where)
            ) from error
    tensors = read_tensors(weights)
    headless = timm.create_model(name, num_classes=0, **arguments)
    check_fit(headless.state_dict(), tensors, weights, name)
    return timm.create_model(
        name,
        features_only=True,
        pretrained=True,
        pretrained_cfg_overlay={"state_dict": tensors},
        **arguments,
    )


def published(name: str) -> tuple[str, str] | None:
    """The page and the file of timm's pretrained weights, or None where there are none.

    Args:
        name: of the model in timm, with or without the tag of its weights.
    """
    from timm.models import get_pretrained_cfg

    about = get_pretrained_cfg(name)
    if about is None or not about.has_weights:
        return None
    if about.hf_hub_id:
        repository = about.hf_hub_id.partition("@")[0]
        file = about.hf_hub_filename or "model.safetensors"
        return f"https://huggingface.co/{repository}", file
    folder, _, file = str(about.url or about.file).rpartition("/")
    return folder, file
