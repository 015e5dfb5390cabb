"""One training job: from a composed configuration to a finished run directory."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import lightning
from rich.console import Console

from segscape import build, preflight
from segscape.config import targets
from segscape.config.identity import changes
from segscape.config.moved import with_listed_metrics
from segscape.config.training import CallbackSettings, with_one_budget
from segscape.data.checks import quick_check
from segscape.data.module import SegmentationDataModule
from segscape.engine import from_config, resume
from segscape.engine.fit import FitResult, fit
from segscape.errors import UserError
from segscape.models.segmenter import Segmenter
from segscape.models.weights.files import load_into
from segscape.profiling.report import final_table
from segscape.profiling.run_cost import UNCOUNTED, image_size, measured_once
from segscape.runs.device import resolve_precision
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import Tracker

Config = dict[str, Any]


@dataclass(frozen=True)
class Request:
    """What is to be trained.

    Attributes:
        config: resolved, as plain data.
        overrides: as typed.
        choices: group -> option.
        group: name of the sweep, or None.
        title: readable name; by default the model and what differs from it.
    """

    config: Config
    overrides: Sequence[str]
    choices: Mapping[str, str]
    group: str | None = None
    title: str | None = None

    @property
    def name(self) -> str:
        """Readable name."""
        if self.title:
            return self.title
        model = self.config["model"]["name"]
        parts = [
            f"{key}={self.choices[key]}"
            for key in (*targets.PARTS, "loss")
            if any(text.startswith(f"{key}=") for text in self.overrides)
        ]
        return " ".join([str(model), *parts])


def default_run_dir(request: Request) -> Path:
    """`runs/<data>-<model>/<date>_<time>_<hash of overrides>`."""
    typed = [text for text in request.overrides if not text.startswith(("run_dir", "resume"))]
    digest = hashlib.sha256("\n".join(sorted(typed)).encode()).hexdigest()[:6]
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    data, model = request.choices.get("data", "data"), request.config["model"]["name"]
    return Path("runs") / f"{data}-{model}" / f"{stamp}_{digest}"


def run(request: Request) -> FitResult:
    """Check, build, train, measure and record.

    Raises:
        UserError: the request is wrong; nothing was trained.
    """
    config = with_listed_metrics(with_one_budget(request.config, request.overrides))
    preflight.check_config(config, request.overrides)
    data = build.data(config)
    network = prepare(config, data)
    place = Path(str(config["run_dir"] or default_run_dir(request))).absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"run_dir={place} cannot be made: {error.strerror}") from error
    directory = RunDirectory(place)
    with directory.lock():
        config = {**config, "run_dir": str(place)}
        open_records(directory, config, request)
        tracker = build.tracker(config)
        tags = [request.choices.get("data", ""), config["model"]["name"]]
        tracker.start(directory, config=config, name=request.name, group=request.group, tags=tags)
        try:
            result = train(config, network, data, directory, tracker)
        except BaseException as error:
            keep_error(directory, error)
            tracker.finish(exit_code=1)
            raise
        directory.write_status(result.state)
        tracker.finish()
    print_closing(directory, tracker, result.state)
    return result


def open_records(directory: RunDirectory, config: Config, request: Request) -> None:
    """Make the directory ready; of a run that continues, drop the rows it will write again."""
    if resume.prepare(directory, config["resume"]) is None:
        # Records of a start that never reached a checkpoint.
        for left in (directory.cost_path, directory.metrics_path, directory.summary_path):
            left.unlink(missing_ok=True)
    _check_same_run(directory, config)
    directory.write_config(config)
    directory.write_overrides(list(request.overrides))
    directory.write_choices(request.choices)
    directory.write_environment()
    directory.write_status("running")


def train(
    config: Config,
    network: Segmenter,
    data: SegmentationDataModule,
    directory: RunDirectory,
    tracker: Tracker,
) -> FitResult:
    """Measure the cost, train, and summarise a run that was not stopped."""
    cost = measured_once(config, network, data, directory)
    uncounted = {UNCOUNTED: cost.pop(UNCOUNTED, {})}
    node = config["callbacks"]
    result = fit(
        from_config.task(config, network, data),
        data,
        directory,
        tracker,
        trainer={**config["trainer"], "precision": resolve_precision(config["trainer"])},
        settings=CallbackSettings(**{k: v for k, v in node.items() if not isinstance(v, dict)}),
        callbacks=from_config.callbacks(node),
        resume=config["resume"],
        meta=checkpoint_meta(config, network),
        constants=cost,
    )
    if result.state == "finished":
        finish(config, data, directory, tracker, {**(result.best or {}), **uncounted})
    return result


def keep_error(directory: RunDirectory, error: BaseException) -> None:
    """Write the cause to status.json, and the traceback of a defect to traceback.txt."""
    directory.write_status("failed", error=f"{type(error).__name__}: {error}")
    if isinstance(error, Exception) and not isinstance(error, UserError):
        file = directory.path / "traceback.txt"
        file.write_text("".join(traceback.format_exception(error)))
        error.add_note(f"the traceback is in {file}")


def prepare(config: Config, data: SegmentationDataModule) -> Segmenter:
    """The seeded network, checked against data and batch before anything runs."""
    quick_check(data)
    lightning.seed_everything(int(config["seed"]), workers=True, verbose=False)
    network = build.model(
        config,
        num_classes=data.num_classes,
        classes=data.classes,
        palette=data.palette,
    )
    size = data.train_size_hw or image_size(data, "train")
    preflight.check_training_step(network, data.batch_size, size)
    if config.get("init"):
        load_into(network, config["init"])
    return network


def checkpoint_meta(config: Config, network: Segmenter) -> dict[str, Any]:
    """What makes a checkpoint self-contained, as plain data."""
    return {
        "config": config,
        "classes": list(network.classes),
        "palette": [list(colour) for colour in network.palette],
        "mean": list(network.mean),
        "std": list(network.std),
        "model": network.name,
    }


def _check_same_run(directory: RunDirectory, config: Config) -> None:
    """Compare with the recorded configuration: a continuation must be the same run.

    Raises:
        UserError: it is another run.
    """
    before = directory.read_config()
    if before is None or config["resume"] == "never":
        return
    different = [f"{key} was {old!r}, is {new!r}" for key, old, new in changes(before, config)]
    if different:
        raise UserError(
            f"{directory.path} holds a different run: {'; '.join(different[:4])}",
            "resume with the same overrides, or give another run_dir=",
        )


def finish(
    config: Config,
    data: SegmentationDataModule,
    directory: RunDirectory,
    tracker: Tracker,
    figures: dict[str, Any],
) -> None:
    """Write the summary everywhere and show it as a table.

    Args:
        config: of the run.
        data: names the classes.
        directory: gets summary.json.
        tracker: mirrors it.
        figures: the row of the best checkpoint, and what rows do not repeat.
    """
    summary = {
        **figures,
        "precision": resolve_precision(config["trainer"]),
        "checkpoint": "checkpoints/best.ckpt",
        "void": config["metrics"]["void"],
    }
    directory.write_summary(summary)
    tracker.summary(summary)
    Console().print(final_table(summary, data.classes))


def print_closing(directory: RunDirectory, tracker: Tracker, state: str) -> None:
    """Where the results are and how to view them."""
    try:
        shown = directory.path.relative_to(Path.cwd())
    except ValueError:
        shown = directory.path
    print(f"run directory: {shown}")
    if state == "stopped":
        print("stopped by a signal after saving; continue with the same command and")
        print(f"  run_dir={shown} resume=auto")
    if tracker.sync_hint:
        print(tracker.sync_hint)
    elif tracker.url:
        print(f"W&B: {tracker.url}")
