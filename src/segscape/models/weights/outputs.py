"""Published networks with more outputs than classes.

Some authors train with void as one more class, the last one, which their scores then leave out.
A network that mixes the scores of its classes (ESPNet, ESPNetV2) cannot lose that output without
changing the others, so it is built with it: `model.extra_outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segscape.errors import UserError
from segscape.models.weights.importer import infer_choices
from segscape.models.weights.read import read

KEY = "model.extra_outputs"
"""The key of `Source.infer`'s result that says how many, beside `num_classes` without them."""


def with_extra_outputs(
    settings: Mapping[str, Any], weights: str | Path, num_classes: int
) -> dict[str, Any]:
    """The configuration of a network, with the outputs that its weights have beyond the classes.

    Args:
        settings: with the group model; `extra_outputs` is kept where it is set there.
        weights: the file that will be loaded. One that cannot be read is reported then.
        num_classes: requested.
    """
    model = settings["model"]
    if model.get("extra_outputs") is None:
        model = {**model, "extra_outputs": extra_outputs(weights, num_classes)}
    return {**settings, "model": model}


def extra_outputs(weights: str | Path, num_classes: int) -> int:
    """Outputs of the file's network for pixels of none of `num_classes` classes; usually 0."""
    try:
        contents = read(weights)
        recorded = contents.metadata if contents.own else infer_choices(contents.tensors)
    except UserError:
        return 0
    if str(recorded.get("num_classes")) != str(num_classes):
        return 0
    return int(recorded.get(KEY, 0))
