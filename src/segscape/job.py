"""One training job: from a composed configuration to a finished run directory."""

from __future__ import annotations

import hashlib
import logging
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape import build, preflight
from segscape.config import targets
from segscape.config.identity import FREE_DATA, FREE_ON_RESUME, differences
from segscape.config.moved import with_first_targets
from segscape.errors import UserError

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.engine.fit import FitResult
    from segscape.models.segmenter import Segmenter
    from segscape.runs.run_directory import RunDirectory
    from segscape.tracking.trackers import Tracker

Config = dict[str, Any]

UNCOUNTED = "model/uncounted_ops"


@dataclass(frozen=True)
class Request:
    """What was asked for.

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
    from segscape.runs.run_directory import RunDirectory

    quieten()
    preflight.check_config(request.config, request.overrides)
    config = with_one_budget(request.config, request.overrides)
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
    closing_words(directory, tracker, result.state)
    return result


def with_one_budget(config: Config, overrides: Sequence[str]) -> Config:
    """Let a budget in epochs that was typed replace one in steps that an experiment chose."""
    keys = {text.split("=", 1)[0].lstrip("+") for text in overrides}
    if "trainer.max_epochs" in keys and "trainer.max_steps" not in keys:
        return {**config, "trainer": {**config["trainer"], "max_steps": None}}
    return config


def open_records(directory: RunDirectory, config: Config, request: Request) -> None:
    """Make the directory ready; of a run that continues, drop the rows it will write again."""
    from segscape.engine.resume import prepare as prepare_records

    if prepare_records(directory, config["resume"]) is None:
        # What a start that never reached a checkpoint left is not this run's.
        for left in (directory.cost_path, directory.metrics_path, directory.summary_path):
            left.unlink(missing_ok=True)
    _same_as_before(directory, config)
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
    from segscape.engine.fit import fit

    cost = measured_cost(config, network, data, directory)
    uncounted = {UNCOUNTED: cost.pop(UNCOUNTED, {})}
    result = fit(
        build.task(config, network, data),
        data,
        directory,
        tracker,
        trainer=trainer_arguments(config),
        resume=config["resume"],
        meta=checkpoint_meta(config, network),
        constants=cost,
        **config["callbacks"],
    )
    if result.state == "finished":
        finish(config, data, directory, tracker, {**(result.best or {}), **uncounted})
    return result


def keep_error(directory: RunDirectory, error: BaseException) -> None:
    """Leave the cause in status.json, and the traceback of a defect in traceback.txt."""
    directory.write_status("failed", error=f"{type(error).__name__}: {error}")
    if isinstance(error, Exception) and not isinstance(error, UserError):
        file = directory.path / "traceback.txt"
        file.write_text("".join(traceback.format_exception(error)))
        # The command line says where it is.
        error.add_note(f"the traceback is in {file}")


def quieten() -> None:
    """Silence what libraries say about themselves; what concerns the user is said by us."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric", "torch.distributed"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*isinstance\\(treespec, LeafSpec\\).*")


def prepare(config: Config, data: SegmentationDataModule) -> Segmenter:
    """The seeded network, checked against data and batch before anything runs."""
    import lightning

    data.check()
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
        from segscape.models.weights.files import load_into

        load_into(network, config["init"])
    return network


def trainer_arguments(config: Config) -> dict[str, Any]:
    """Arguments of lightning.Trainer: one budget, and a precision that the device has."""
    given = dict(config["trainer"])
    if given.get("max_steps") is not None:
        given["max_epochs"] = -1
    else:
        given["max_steps"] = -1
    given["precision"] = resolve_precision(config)
    return given


def resolve_precision(config: Config) -> str:
    """The precision in force; `auto` asks the device."""
    from segscape.inference.evaluate import choose_device
    from segscape.runs.environment import best_precision

    wanted = str(config["trainer"]["precision"])
    if wanted != "auto":
        return wanted
    return best_precision(choose_device(str(config["trainer"]["accelerator"])).type)


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


def _same_as_before(directory: RunDirectory, config: Config) -> None:
    """A continuation must be the same run: compare with the recorded configuration."""
    before = directory.read_config()
    if before is None or config["resume"] == "never":
        return
    different = [
        f"{key} was {old!r}, is {new!r}"
        for key, old, new in differences(with_first_targets(before), with_first_targets(config))
        if key.split(".")[0] not in FREE_ON_RESUME
        and not (key.startswith("data.") and key.split(".")[1] in FREE_DATA)
    ]
    if different:
        raise UserError(
            f"{directory.path} holds a different run: {'; '.join(different[:4])}",
            "resume with the same overrides, or give another run_dir=",
        )


def profile_size(config: Config, data: SegmentationDataModule) -> tuple[int, int]:
    """Height and width at which cost is measured: profile.size, else that of the images."""
    size = config["profile"].get("size")
    return (int(size[0]), int(size[1])) if size else image_size(data, "val")


def image_size(data: SegmentationDataModule, split: str) -> tuple[int, int]:
    """Height and width of the first image of a split."""
    height, width = data.dataset(split).read(0).label.shape
    return height, width


def complexity(config: Config, network: Segmenter, data: SegmentationDataModule) -> dict[str, Any]:
    """Parameters, MACs and FLOPs of the inference graph."""
    from segscape.profiling.complexity import measure

    if not config["profile"].get("enabled", True):
        return {}
    found = measure(network, profile_size(config, data))
    return {**found.as_keys(), UNCOUNTED: dict(found.uncounted)}


def latency(config: Config, network: Segmenter, data: SegmentationDataModule) -> dict[str, Any]:
    """Latency of the network on the device that trained it, as keys of the record."""
    from segscape.inference.evaluate import choose_device
    from segscape.profiling.latency import measure

    profile = config["profile"]
    if not (profile.get("enabled", True) and profile.get("latency", True)):
        return {}
    limits = {k: profile[k] for k in ("min_seconds", "max_seconds") if profile.get(k) is not None}
    return measure(
        network,
        profile_size(config, data),
        device=choose_device(str(config["trainer"]["accelerator"])),
        precision=resolve_precision(config),
        **limits,
    ).as_keys()


def measured_cost(
    config: Config, network: Segmenter, data: SegmentationDataModule, directory: RunDirectory
) -> dict[str, Any]:
    """Complexity and latency as keys of the record, measured before the training.

    Before, since the machine is then idle and a look at a running training shows the cost too. A
    run that continues keeps what was measured when it began, so that its rows agree.
    """
    cost = directory.read_cost()
    if not cost:
        cost = complexity(config, network, data) | latency(config, network, data)
        directory.write_cost(cost)
    return cost


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
        figures: the row of the best checkpoint, and what is only said once.
    """
    from rich.console import Console

    from segscape.profiling.report import final_table

    summary = {
        **figures,
        "precision": resolve_precision(config),
        "checkpoint": "checkpoints/best.ckpt",
        "void": config["metrics"]["void"],
    }
    directory.write_summary(summary)
    tracker.summary(summary)
    Console().print(final_table(summary, data.classes))


def closing_words(directory: RunDirectory, tracker: Tracker, state: str) -> None:
    """Where the results are and how to look at them."""
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
