"""The commands beside training: evaluate, predict, import-weights, list."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.errors import UserError, nearest

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.models.segmenter import Segmenter

SPLITS = ("train", "val", "test")
# What may differ from the training when a run is scored.
SCORING_KEYS = ("data", "profile", "metrics.void", "trainer.accelerator", "trainer.precision")
SCORING_GROUPS = ("data.", "profile.")


def list_choices(rest: Sequence[str]) -> int:
    """`segscape list [GROUP] [--json]`: the groups, or the options of one."""
    from segscape import config

    parser = argparse.ArgumentParser("segscape list", description=list_choices.__doc__)
    parser.add_argument("group", nargs="?", help="e.g. fusion; without it, every group")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_args(rest)
    known = config.groups()
    if given.group is not None and given.group not in known:
        close = nearest(given.group, known)
        hint = f"did you mean {close}? " if close else ""
        raise UserError(f"there is no group {given.group!r}", f"{hint}groups: {', '.join(known)}")
    chosen = [given.group] if given.group else list(known)
    table = {g: {o: config.describe(g, o) for o in known[g]} for g in chosen}
    if given.json:
        print(json.dumps(table, indent=2))
        return 0
    for group, options in table.items():
        print(group)
        for option, text in options.items():
            print(f"  {option:<24}{text}".rstrip())
    return 0


def evaluate(rest: Sequence[str]) -> int:
    """`segscape evaluate (run=DIR | model=NAME weights=FILE) [split=val] [KEY=VALUE ...]`.

    Scores whole images at the size of their labels and writes summary.json. With run=, the run's
    own data set is used unless data= or data.KEY= say otherwise; checkpoint=best|last.
    """
    if not rest or rest[0] in ("-h", "--help"):
        print(evaluate.__doc__)
        return 0
    own, overrides = _split_keys(rest, ("run", "weights", "split", "run_dir", "checkpoint"))
    split = own.get("split", "val")
    if split not in SPLITS:
        raise UserError(f"split={split} is not a split", f"choices: {', '.join(SPLITS)}")
    if ("run" in own) == ("weights" in own):
        raise UserError(
            "evaluate needs either run=DIR or model=NAME weights=FILE",
            "e.g. segscape evaluate run=runs/streets-ppliteseg/2026-01-31_12-00-00_abc123",
        )
    if "weights" in own and "checkpoint" in own:
        raise UserError("checkpoint= belongs to run=", "weights= names the file itself")
    if "run" in own:
        settings, network, data = _from_run(own["run"], own.get("checkpoint", "best"), overrides)
        place = Path(own["run"])
        beside = place if place.is_dir() else place.parent
        out = Path(own.get("run_dir") or beside / f"evaluate-{split}")
    else:
        settings, network, data = _from_weights(own["weights"], overrides)
        stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        out = Path(own.get("run_dir") or f"runs/evaluate/{network.name}-{split}/{stamp}")
    _score(settings, network, data, split, out)
    return 0


def _score(
    settings: dict[str, Any],
    network: Segmenter,
    data: SegmentationDataModule,
    split: str,
    out: Path,
) -> None:
    from rich.console import Console

    from segscape.evaluation.evaluate import choose_device
    from segscape.evaluation.evaluate import evaluate as score
    from segscape.job import complexity, latency, resolve_precision
    from segscape.profiling.report import final_table
    from segscape.tracking.run_directory import RunDirectory

    if network.num_classes != data.num_classes:
        raise UserError(
            f"the model has {network.num_classes} classes, data={data.name} {data.num_classes}",
            "choose the data set that the model was trained on",
        )
    data.check((split,))
    precision = resolve_precision(settings)
    summary: dict[str, Any] = score(
        network,
        data,
        split,
        void=settings["metrics"]["void"],
        device=choose_device(str(settings["trainer"]["accelerator"])),
        precision=precision,
    )
    summary |= complexity(settings, network, data)
    summary |= latency(settings, network, data)
    summary |= {"precision": precision, "void": settings["metrics"]["void"], "split": split}
    directory = RunDirectory(out)
    directory.write_config(settings)
    directory.write_environment()
    directory.write_summary(summary)
    Console().print(final_table(summary, data.classes))
    print(f"summary: {out / 'summary.json'}")


def _split_keys(texts: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Separate a command's own key=value arguments from overrides of the configuration."""
    own, overrides = {}, []
    for text in texts:
        key, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"{text!r} is not key=value", f"own keys: {', '.join(names)}")
        if key in names:
            own[key] = value
        else:
            overrides.append(text)
    return own, overrides


def _from_run(
    run: str, checkpoint: str, overrides: Sequence[str]
) -> tuple[dict[str, Any], Segmenter, SegmentationDataModule]:
    from segscape import api, build
    from segscape.checkpoint import find, read

    place = Path(run)
    if not place.exists():
        raise UserError(f"run={run}: there is no such directory")
    if checkpoint not in ("best", "last"):
        raise UserError(f"checkpoint={checkpoint} is not a choice", "choices: best, last")
    path = find(place, f"{checkpoint}.ckpt")
    settings = _changed(read(path)["segscape"]["config"], overrides)
    return settings, api.load_model(path), build.data(settings, training=False)


def _changed(settings: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply overrides to the recorded configuration of a run."""
    from omegaconf import OmegaConf

    from segscape import config

    known = config.groups()
    for text in overrides:
        key = text.partition("=")[0]
        if key not in SCORING_KEYS and not key.startswith(SCORING_GROUPS):
            raise UserError(
                f"{text} has no effect on the score of a trained run",
                "what can be changed: data, data.KEY, metrics.void, profile.KEY, "
                "trainer.accelerator, trainer.precision",
            )
    chosen = [text for text in overrides if text.partition("=")[0] in known]
    if chosen:
        fresh: Any = OmegaConf.to_container(config.compose(overrides), resolve=True)
        for text in chosen:
            group = text.partition("=")[0]
            settings = {**settings, group: fresh[group]}
    result = OmegaConf.create(settings)
    for text in overrides:
        key, _, value = text.partition("=")
        if key in known:
            continue
        if OmegaConf.select(result, key, default=result) is result:
            keys = list(config.dotted(settings))
            close = nearest(key, keys)
            hint = f"did you mean {close}? " if close else ""
            raise UserError(f"{key}: the run has no such key", hint or None)
        OmegaConf.update(result, key, OmegaConf.from_dotlist([f"v={value}"])["v"])
    plain: Any = OmegaConf.to_container(result, resolve=True)
    return plain


def _from_weights(
    weights: str, overrides: Sequence[str]
) -> tuple[dict[str, Any], Segmenter, SegmentationDataModule]:
    from omegaconf import OmegaConf

    from segscape import build, config, preflight
    from segscape.models.weights.files import load_into

    if not Path(weights).is_file():
        raise UserError(f"weights={weights}: there is no such file")
    settings: Any = OmegaConf.to_container(config.compose(overrides), resolve=True)
    preflight.check_config(settings, overrides)
    data = build.data(settings)
    network = build.model(
        settings,
        num_classes=data.num_classes,
        classes=data.classes,
        palette=data.palette,
    )
    load_into(network, weights)
    return settings, network, data


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
