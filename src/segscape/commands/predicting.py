"""`segscape predict`: class maps and overlays of images."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def predict(rest: Sequence[str]) -> int:
    """`segscape predict run=DIR IMAGE... -o DIR`: class maps (palette PNG) and overlays."""
    parser = argparse.ArgumentParser("segscape predict", description=predict.__doc__)
    parser.add_argument("model", metavar="run=DIR", help="a run directory or a checkpoint")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image files or folders")
    parser.add_argument("-o", "--out", required=True, metavar="DIR", help="where to write")
    given = parser.parse_args(rest)
    from segscape import api
    from segscape.evaluation.evaluate import choose_device
    from segscape.inference.predictor import predict_files

    network = api.load_model(given.model.removeprefix("run="))
    written = predict_files(network.to(choose_device()), given.images, given.out)
    print(f"wrote {len(written)} files to {given.out}")
    return 0
