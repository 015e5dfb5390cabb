"""One training job: from a composed configuration to a finished run directory."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape import build, preflight
from segscape.errors import UserError

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.engine.fit import FitResult
    from segscape.models.segmenter import Segmenter
    from segscape.tracking.run_directory import RunDirectory

Config = dict[str, Any]

# What may differ between a run and its continuation without changing the result.
FREE_ON_RESUME = ("run_dir", "resume", "logger", "callbacks", "profile", "init")
FREE_DATA = ("root", "num_workers")


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        config: resolved, as plain data.
        overrides: as typed.
        choices: group -> option.
        group: name shared by the jobs of one multirun, or None.
    """

    config: Config
    overrides: Sequence[str]
    choices: Mapping[str, str]
    group: str | None = None

    @property
    def name(self) -> str:
        """Readable name: the model and what differs from it."""
        model = self.config["model"]["name"]
        parts = [
            f"{key}={self.choices[key]}"
            for key in (*build.PARTS, "loss")
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
    from segscape.engine.fit import fit
    from segscape.engine.resume import prepare as prepare_records
    from segscape.tracking.run_directory import RunDirectory

    quieten()
    config = request.config
    preflight.check_config(config, request.overrides)
    data = build.data(config)
    network = prepare(config, data)
    place = Path(config["run_dir"] or default_run_dir(request)).absolute()
    directory = RunDirectory(place)
    with directory.lock():
        _same_as_before(directory, config)
        config = {**config, "run_dir": str(place)}
        directory.write_config(config)
        directory.write_overrides(list(request.overrides))
        directory.write_environment()
        # Before the tracker starts: it continues from the rows that are kept.
        prepare_records(directory, config["resume"])
        tracker = build.tracker(config)
        tracker.start(
            directory,
            config=config,
            name=request.name,
            group=request.group,
            tags=[request.choices.get("data", ""), config["model"]["name"]],
        )
        state = "failed"
        try:
            directory.write_status("running")
            cost = complexity(config, network, data)
            result = fit(
                build.task(config, network, data),
                data,
                directory,
                tracker,
                trainer=trainer_arguments(config),
                resume=config["resume"],
                meta=checkpoint_meta(config, network),
                **config["callbacks"],
            )
            state = result.state
            if state == "finished":
                finish(config, network, data, directory, tracker, result, cost)
        except BaseException as error:
            directory.write_status("failed", error=f"{type(error).__name__}: {error}")
            raise
        else:
            directory.write_status(state)
        finally:
            tracker.finish(exit_code=int(state == "failed"))
    closing_words(directory, tracker, state)
    return result


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
    from segscape.evaluation.evaluate import choose_device
    from segscape.profiling.environment import best_precision

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
        for key, old, new in _differences(before, config)
        if key.split(".")[0] not in FREE_ON_RESUME
        and not (key.startswith("data.") and key.split(".")[1] in FREE_DATA)
    ]
    if different:
        raise UserError(
            f"{directory.path} holds a different run: {'; '.join(different[:4])}",
            "resume with the same overrides, or give another run_dir=",
        )


def _differences(old: Any, new: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        found = []
        for key in sorted({*old, *new}, key=str):
            found += _differences(old.get(key), new.get(key), f"{prefix}{key}.")
        return found
    return [] if old == new else [(prefix[:-1], old, new)]


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
    return {**found.as_keys(), "model/uncounted_ops": dict(found.uncounted)}


def latency(config: Config, network: Segmenter, data: SegmentationDataModule) -> dict[str, Any]:
    """Latency of the network on the device that trained it, as keys of the record."""
    from segscape.evaluation.evaluate import choose_device
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


def finish(
    config: Config,
    network: Segmenter,
    data: SegmentationDataModule,
    directory: RunDirectory,
    tracker: Any,
    result: FitResult,
    cost: dict[str, Any],
) -> None:
    """Measure latency, write the summary (of the best checkpoint) everywhere, show the table."""
    from rich.console import Console

    from segscape.profiling.report import final_table

    summary = {
        **(result.best or {}),
        **cost,
        **latency(config, network, data),
        "precision": resolve_precision(config),
        "checkpoint": "checkpoints/best.ckpt",
        "void": config["metrics"]["void"],
    }
    directory.write_summary(summary)
    tracker.summary(summary)
    Console().print(final_table(summary, data.classes))


def closing_words(directory: RunDirectory, tracker: Any, state: str) -> None:
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
