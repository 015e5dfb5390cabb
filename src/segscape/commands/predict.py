"""`segscape predict`: class maps and overlays of images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from segscape.commands.evaluate import from_weights, split_keys
from segscape.errors import UserError

if TYPE_CHECKING:
    from segscape.models.segmenter import Segmenter


def predict(rest: Sequence[str]) -> int:
    """`segscape predict (run=DIR | model=NAME weights=FILE data=NAME) IMAGE... -o DIR`.

    Writes class maps (palette PNG) and overlays. With weights=, an official checkpoint or an
    imported one, data= gives its classes; the data itself is not needed.
    """
    parser = argparse.ArgumentParser("segscape predict", description=predict.__doc__)
    parser.add_argument("given", nargs="+", metavar="run=DIR IMAGE", help="image files or folders")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="where to write")
    given = parser.parse_args(rest)
    from segscape.inference.predictor import predict_files
    from segscape.runs.device import choose_device

    settings = [text for text in given.given if "=" in text and not Path(text).exists()]
    paths = [text for text in given.given if text not in settings]
    if not settings and paths:  # a run directory may be given without its key
        settings, paths = [f"run={paths[0]}"], paths[1:]
    if not paths:
        raise UserError("predict needs images", "give files or folders after the model")
    network = _network(settings)
    written = predict_files(network.to(choose_device()), paths, given.out)
    print(f"wrote {len(written)} files to {given.out}")
    return 0


def _network(settings: Sequence[str]) -> Segmenter:
    """The network of a run, or of a weights file."""
    from segscape import api

    own, overrides = split_keys(settings, ("run", "weights"))
    if ("run" in own) == ("weights" in own):
        raise UserError(
            "predict needs either run=DIR or model=NAME weights=FILE data=NAME",
            "e.g. segscape predict run=runs/streets-ppliteseg/2026-01-31_12-00-00_abc123",
        )
    if "run" not in own:
        return from_weights(own["weights"], overrides)[1].eval()
    if overrides:
        raise UserError(f"{overrides[0]} has no effect on a trained run", "leave it out")
    return api.load_model(own["run"])
