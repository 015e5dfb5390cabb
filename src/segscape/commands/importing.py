"""`segscape import-weights`: from an official checkpoint to a file of ours."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError, nearest

if TYPE_CHECKING:
    from segscape.models.segmenter import Segmenter


def import_weights(rest: Sequence[str]) -> int:
    """`segscape import-weights SOURCE --system NAME -o OUT.safetensors`.

    Reads an official checkpoint (.pdparams, .npz, .pth) without executing anything in it, accounts
    for every tensor, and writes a file that create_model(..., weights=OUT) and evaluate accept.
    """
    parser = argparse.ArgumentParser("segscape import-weights", description=import_weights.__doc__)
    parser.add_argument("source", help="the official checkpoint")
    parser.add_argument("--system", required=True, help="model= name, e.g. ppliteseg")
    parser.add_argument("-o", "--out", required=True, help="file to write, .safetensors")
    parser.add_argument("overrides", nargs="*", help="parts that differ, e.g. fusion=uafm_channel")
    given = parser.parse_args(rest)
    from segscape.models.weights.files import save
    from segscape.models.weights.importer import infer_choices, load_official
    from segscape.models.weights.read import read_tensors

    if not given.out.endswith(".safetensors"):
        raise UserError(f"-o {given.out}: the name must end with .safetensors")
    if not Path(given.source).is_file():
        raise UserError(f"{given.source}: there is no such file")
    tensors = read_tensors(Path(given.source))
    choices, network = _model_for(
        given.system, given.overrides, infer_choices(tensors, given.system)
    )
    report = load_official(network, tensors, given.system)
    metadata = {
        "system": given.system,
        "source": report.source,
        "num_classes": str(network.num_classes),
        "choices": json.dumps(choices),
        "file": Path(given.source).name,
    }
    save(Path(given.out), network.state_dict(), metadata)
    print(f"{given.source}: {report.source}, {network.num_classes} classes, {choices}")
    print(f"  loaded  {len(report.loaded)} tensors")
    rules: dict[str, int] = {}
    for rule in report.ignored.values():
        rules[rule] = rules.get(rule, 0) + 1
    for rule, count in rules.items():
        print(f"  ignored {count} tensors: {rule}")
    print(f"wrote {given.out}")
    return 0


def _model_for(
    system: str, overrides: Sequence[str], inferred: Mapping[str, Any]
) -> tuple[dict[str, str], Segmenter]:
    """The network that a file's tensors describe; what the user typed has the last word."""
    from segscape.api import create_model
    from segscape.config import groups

    variant = inferred.get("variant")
    if variant and variant != system:
        known = groups()["model"]
        if system not in known:
            close = nearest(system, known)
            hint = f"did you mean {close}? " if close else ""
            raise UserError(f"--system {system}: there is no such model", hint)
        raise UserError(f"the file holds {variant}, not {system}", f"give --system {variant}")
    choices = {k: str(inferred[k]) for k in ("encoder", "fusion") if inferred.get(k)}
    typed = {text.partition("=")[0]: text.partition("=")[2] for text in overrides}
    parts = {k: typed.pop(k, v) for k, v in choices.items()}
    rest = [f"{key}={value}" for key, value in typed.items()]
    network = create_model(system, int(inferred["num_classes"]), overrides=rest, **parts)
    return {**parts, **typed}, network
