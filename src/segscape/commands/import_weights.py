"""`segscape import-weights`: from an official checkpoint to a weights file of segscape."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.config import systems
from segscape.config.files import groups
from segscape.config.targets import PARTS
from segscape.errors import UserError, unknown
from segscape.profiling.si_units import format_count

if TYPE_CHECKING:
    from torch import Tensor

    from segscape.models.segmenter import Segmenter
    from segscape.models.weights.importer import ImportReport
    from segscape.models.weights.read import Contents
    from segscape.models.weights.sources import Source

SUFFIX = ".safetensors"
_DATA = {19: "data=cityscapes data.root=DIR", 11: "data=camvid data.root=DIR"}


def import_weights(rest: Sequence[str]) -> int:
    """`segscape import-weights FILE [--system NAME] [-o OUT.safetensors] [KEY=VALUE ...]`.

    Reads an official checkpoint (.pth, .pth.tar, .pt, .ckpt, .bin, .pdparams, .npz, .safetensors)
    without executing anything in it, finds its system by the names of its tensors, accounts
    for every tensor, and writes a file that create_model(..., weights=OUT) and evaluate accept.
    """
    given = _parser().parse_intermixed_args(rest)
    from segscape.models.weights.files import save
    from segscape.models.weights.importer import load_official
    from segscape.models.weights.read import read
    from segscape.models.weights.sources import recognise

    if not Path(given.source).is_file():
        raise UserError(f"{given.source}: there is no such file")
    if given.out is not None and not given.out.endswith(SUFFIX):
        raise UserError(f"-o {given.out}: the name must end with {SUFFIX}")
    contents = read(Path(given.source))
    if contents.own:
        raise UserError(
            f"{given.source} is a file of segscape already",
            f"use it as it is: {_use(given.source)}",
        )
    source, tensors = recognise(_chosen(contents, given.source, given.ema), given.system)
    variant, overrides, choices = _choices(source, tensors, given.system, given.overrides)
    network = _network(variant, overrides, choices)
    report = load_official(network, tensors, source.system)
    out = Path(given.out or _default_name(given.source, variant))
    metadata = {
        "system": variant,
        "source": source.name,
        "num_classes": choices["num_classes"],
        "choices": json.dumps(_parts(overrides)),
        "weights": "averaged" if given.ema else "raw",
        "file": Path(given.source).name,
        **{key: value for key, value in overrides.items() if key.startswith("model.")},
    }
    if not given.dry_run:
        save(out, network.state_dict(), metadata)
    _report(given, contents, report, tensors)
    _what_next(given, out, variant, overrides, int(choices["num_classes"]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("segscape import-weights", description=import_weights.__doc__)
    parser.add_argument("source", metavar="FILE", help="the official checkpoint")
    parser.add_argument("--system", help="whose names they are, where several fit")
    parser.add_argument("-o", "--out", help=f"file to write, {SUFFIX}; default FILE-MODEL{SUFFIX}")
    parser.add_argument("--ema", action="store_true", help="take the averaged weights (EMA)")
    parser.add_argument("--dry-run", action="store_true", help="account for the tensors, no file")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="parts that differ, e.g. fusion=add"
    )
    return parser


def _chosen(contents: Contents, file: str, averaged: bool) -> dict[str, Tensor]:
    if averaged and not contents.averaged:
        raise UserError(f"{file} has no averaged weights beside the others", "leave --ema out")
    return contents.averaged if averaged else contents.tensors


def _choices(
    source: Source, tensors: Mapping[str, Tensor], system: str | None, typed: Sequence[str]
) -> tuple[str, dict[str, str], dict[str, str]]:
    """What can be read off the tensors; what the user typed overrides it.

    Returns:
        The model's name, its overrides, and everything inferred, `num_classes` among it.
    """

    inferred = {key: str(value) for key, value in source.infer(tensors).items()}
    if "variant" not in inferred:
        encoder = inferred.get("encoder", "NAME")
        raise UserError(
            f"the file holds an encoder only ({source.name})",
            f"train with encoder={encoder} encoder.weights=FILE instead",
        )
    variant = inferred["variant"]
    if system is not None and system not in (source.system, variant):
        raise UserError(f"the file holds {variant}, not {system}", f"give --system {variant}")
    overrides = {k: v for k, v in inferred.items() if k in PARTS or "." in k}
    for text in typed:
        key, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"{text!r} is not key=value", "e.g. fusion=uafm_channel")
        overrides[key] = value
    return variant, _that_differ(variant, overrides), inferred


def _that_differ(variant: str, overrides: Mapping[str, str]) -> dict[str, str]:
    """Without the options that the model has anyway."""

    own = systems.read(variant).choices
    return {key: value for key, value in overrides.items() if own.get(key) != value}


def _parts(overrides: Mapping[str, str]) -> dict[str, str]:
    """Without the keys of `model`, which a segscape file holds itself."""
    return {key: value for key, value in overrides.items() if not key.startswith("model.")}


def _network(variant: str, overrides: Mapping[str, str], inferred: Mapping[str, str]) -> Segmenter:
    from segscape.api import create_model

    known = groups()["model"]
    if variant not in known:
        raise unknown(f"the file holds {variant}, which is no model here", variant, known, label="")
    # Keys of model may be left out of its yaml: ++ gives them all the same.
    given = [
        f"++{key}={value}" if key.startswith("model.") else f"{key}={value}"
        for key, value in overrides.items()
    ]
    return create_model(variant, int(inferred["num_classes"]), overrides=given)


def _default_name(source: str, variant: str) -> str:
    """In the working directory: the name of the file and that of the model."""
    name = Path(source).name
    for suffix in (".pth.tar", Path(source).suffix):
        name = name.removesuffix(suffix)
    return f"{name}-{variant}{SUFFIX}"


def _report(
    given: Any, contents: Contents, report: ImportReport, tensors: Mapping[str, Tensor]
) -> None:
    """The use of every tensor."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title, justify in (("tensors", "right"), ("", "left"), ("why", "left")):
        table.add_column(title, justify=justify, header_style="dim")  # type: ignore[arg-type]
    table.add_row(str(len(report.loaded)), "loaded", _values(report.loaded, tensors))
    for rule, count in Counter(report.ignored.values()).items():
        table.add_row(str(count), f"ignored: {rule}", report.reasons.get(rule, ""))
    if contents.outside:
        table.add_row(str(len(contents.outside)), "ignored: counter", "of the averaging")
    if contents.averaged:
        left = len(contents.tensors if given.ema else contents.averaged)
        table.add_row(str(left), "ignored: other set", "raw" if given.ema else "averaged: --ema")
    console = Console(highlight=False)
    console.print(f"{given.source}: {report.source}", style="bold", soft_wrap=True)
    console.print(table)
    if contents.averaged and not given.ema:
        print("The file has averaged weights (EMA) too; --ema takes them instead.")


def _values(names: Sequence[str], tensors: Mapping[str, Tensor]) -> str:

    return f"{format_count(sum(tensors[name].numel() for name in names))} values"


def _what_next(
    given: Any, out: Path, variant: str, overrides: Mapping[str, str], classes: int
) -> None:
    model = " ".join([f"model={variant}", *(f"{k}={v}" for k, v in _parts(overrides).items())])
    print(f"{model}, {classes} classes")
    if given.dry_run:
        print("nothing was written (--dry-run)")
        return
    print(f"wrote {out}\n\nnext: {_use(str(out), model, classes)}")


def _use(file: str, model: str = "model=NAME", classes: int = 0) -> str:
    data = _DATA.get(classes, "data=NAME")
    return f"segscape evaluate {model} weights={file} {data} split=val"
