"""The Python interface: plain torch modules by name, from a configuration or a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from segscape import build
from segscape.config import composing, targets
from segscape.errors import UserError, unknown
from segscape.inference.predictor import Model
from segscape.models.weights.files import load_into
from segscape.models.weights.outputs import with_extra_outputs
from segscape.preflight import check_parts
from segscape.runs.checkpoint import find, read


def create_model(
    name: str,
    num_classes: int,
    weights: str | Path | None = None,
    overrides: Sequence[str] = (),
    **choices: str,
) -> Model:
    """Build a system of the literature, with any of its parts exchanged.

    Args:
        name: an option of the group model, e.g. "ppliteseg".
        num_classes: channels of the logits.
        weights: a file to load strictly: segscape's own (.safetensors, .ckpt) or an official
            checkpoint of the system (.pdparams, .npz, .pth).
        overrides: Hydra overrides, e.g. ["decoder.widths=[64,96,128]"].
        **choices: options of the groups encoder, context, decoder, fusion and head.

    Returns:
        A `torch.nn.Module` in evaluation mode. `model(x)` takes normalised images (B, 3, H, W) of
        any size and returns logits (B, num_classes, H, W); `model.normalize` makes the former from
        uint8, `model.predict(path)` does everything. Published weights that were trained with void
        as one more class add a logit for it, the last one (`model.extra_outputs` is their number).

    Raises:
        UserError: an unknown name or option, parts that do not fit, or a weights file that does
            not account for every tensor.
    """
    for group in choices:
        if group not in targets.PARTS:
            raise unknown(f"create_model has no argument {group!r}", group, targets.PARTS)
    if num_classes < 1:
        raise UserError(f"num_classes={num_classes} must be at least 1")
    chosen = [f"model={name}", *(f"{group}={option}" for group, option in choices.items())]
    composed = composing.compose([*chosen, *overrides])
    settings: Any = OmegaConf.to_container(
        OmegaConf.masked_copy(composed, ["model", *targets.PARTS]), resolve=True
    )
    check_parts(settings, chosen=set(choices))
    if weights is None:
        return _built(settings, num_classes=num_classes).eval()
    settings = with_extra_outputs(settings, weights, num_classes)
    network = _built(settings, num_classes=num_classes)
    load_into(network, weights)
    return network.eval()


def load_model(checkpoint: str | Path, *, keep_auxiliary: bool = False) -> Model:
    """Load the network of a training run; needs no Lightning and runs no code of the file.

    Args:
        checkpoint: a `.ckpt` of a run, or the run's directory (its best checkpoint is taken).
        keep_auxiliary: keep the heads that exist for training only.

    Returns:
        The network in evaluation mode with its class names, palette and normalisation.

    Raises:
        UserError: no such file, or not a checkpoint of segscape.
    """
    content = read(find(checkpoint))
    meta = content["segscape"]
    network = _built(
        without_pretraining(meta["config"]),
        num_classes=len(meta["classes"]),
        classes=tuple(meta["classes"]),
        palette=tuple(tuple(colour) for colour in meta["palette"]),
    )
    state = {
        key.removeprefix("model."): value
        for key, value in content["state_dict"].items()
        if key.startswith("model.")
    }
    if not keep_auxiliary:
        network.strip_auxiliary()
        state = {key: value for key, value in state.items() if not key.startswith("auxiliary.")}
    network.load_state_dict(state)
    return network.eval()


def without_pretraining(settings: dict[str, Any]) -> dict[str, Any]:
    """The configuration with the encoder's weights unset: a checkpoint brings its own."""
    encoder = settings["encoder"]
    if "weights" in encoder:
        encoder = {**encoder, "weights": None}
    return {**settings, "encoder": encoder}


def _built(settings: dict[str, Any], **about: Any) -> Model:
    network = build.model(settings, network_class=Model, **about)
    assert isinstance(network, Model)
    return network
