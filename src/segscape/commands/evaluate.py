"""`segscape evaluate`: the score of a run, or of imported weights, over a split."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.config.moved import with_listed_metrics
from segscape.errors import UserError, choice, unknown

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.models.segmenter import Segmenter

SPLITS = ("train", "val", "test")
# What may differ from the training when a run is scored.
SCORING_KEYS = ("data", "profile", "metrics", "trainer.accelerator", "trainer.precision")
SCORING_GROUPS = ("data.", "profile.", "metrics.")


USAGE = """
    segscape evaluate (run=DIR | model=NAME weights=FILE) [split=val] [KEY=VALUE ...]

    Scores whole images at the size of their labels and writes summary.json to run_dir=. With
    run=, the run's own data set is used unless data= or data.KEY= say otherwise, and
    checkpoint=best|last chooses. split is train, val or test. --config-dir DIR adds options.
"""


def evaluate(rest: Sequence[str]) -> int:
    """Score a run, or imported weights, over a split; see `USAGE`."""
    if not rest:
        raise UserError("evaluate needs to know what to score", inspect.cleandoc(USAGE))
    if rest[0] in ("-h", "--help"):
        print(f"usage: {inspect.cleandoc(USAGE)}")
        return 0
    own, overrides = split_keys(rest, ("run", "weights", "split", "run_dir", "checkpoint"))
    split = own.get("split", "val")
    choice("split", split, SPLITS)
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
        settings, network, data = from_weights(own["weights"], overrides)
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

    from segscape.data.checks import quick_check
    from segscape.inference.evaluate import evaluate as score
    from segscape.profiling import run_cost
    from segscape.profiling.report import final_table
    from segscape.runs.device import choose_device, resolve_precision
    from segscape.runs.run_directory import RunDirectory

    if network.num_classes != data.num_classes:
        raise UserError(
            f"the model has {network.num_classes} classes, data={data.name} {data.num_classes}",
            "choose the data set that the model was trained on",
        )
    quick_check(data, (split,))
    precision = resolve_precision(settings["trainer"])
    summary: dict[str, Any] = score(
        network,
        data,
        split,
        metrics=settings["metrics"],
        device=choose_device(str(settings["trainer"]["accelerator"])),
        precision=precision,
    )
    summary |= run_cost.measure(settings, network, data)
    summary |= {"precision": precision, "void": settings["metrics"]["void"], "split": split}
    directory = RunDirectory(out)
    directory.write_config(settings)
    directory.write_environment()
    directory.write_summary(summary)
    Console().print(final_table(summary, data.classes))
    print(f"summary: {out / 'summary.json'}")


def split_keys(texts: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
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
    from segscape.runs.checkpoint import find, read

    place = Path(run)
    if not place.exists():
        raise UserError(f"run={run}: there is no such directory")
    choice("checkpoint", checkpoint, ("best", "last"))
    path = find(place, f"{checkpoint}.ckpt")
    settings = _changed(with_listed_metrics(read(path)["segscape"]["config"]), overrides)
    return settings, api.load_model(path), build.data(settings, training=False)


def _changed(settings: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply overrides to the recorded configuration of a run."""
    from omegaconf import OmegaConf

    from segscape.config import composing, explaining, files

    known = files.groups()
    for text in overrides:
        key = text.partition("=")[0]
        if key not in SCORING_KEYS and not key.startswith(SCORING_GROUPS):
            raise UserError(
                f"{text} has no effect on the score of a trained run",
                "what can be changed: data, data.KEY, metrics, metrics.KEY, profile.KEY, "
                "trainer.accelerator, trainer.precision",
            )
    chosen = [text for text in overrides if text.partition("=")[0] in known]
    if chosen:
        fresh: Any = OmegaConf.to_container(composing.compose(overrides), resolve=True)
        for text in chosen:
            group = text.partition("=")[0]
            settings = {**settings, group: fresh[group]}
    result = OmegaConf.create(settings)
    for text in overrides:
        key, _, value = text.partition("=")
        if key in known:
            continue
        if OmegaConf.select(result, key, default=result) is result:
            keys = explaining.dotted(settings)
            raise unknown(f"{key}: the run has no such key", key, keys, label="")
        OmegaConf.update(result, key, OmegaConf.from_dotlist([f"v={value}"])["v"])
    plain: Any = OmegaConf.to_container(result, resolve=True)
    return plain


def from_weights(
    weights: str, overrides: Sequence[str]
) -> tuple[dict[str, Any], Segmenter, SegmentationDataModule]:
    """The network that overrides describe, with the weights of a file.

    Args:
        weights: of any known origin.
        overrides: as on the command line.

    Returns:
        The configuration, the network and the data set that names its classes.

    Raises:
        UserError: no such file, or it does not fit the network.
    """
    from omegaconf import OmegaConf

    from segscape import build, preflight
    from segscape.config import composing
    from segscape.models.weights.files import load_into
    from segscape.models.weights.outputs import with_extra_outputs

    if not Path(weights).is_file():
        raise UserError(f"weights={weights}: there is no such file")
    settings: Any = OmegaConf.to_container(composing.compose(overrides), resolve=True)
    preflight.check_config(settings, overrides)
    data = build.data(settings)
    settings = with_extra_outputs(settings, weights, data.num_classes)
    network = build.model(
        settings,
        num_classes=data.num_classes,
        classes=data.classes,
        palette=data.palette,
    )
    load_into(network, weights)
    return settings, network, data
