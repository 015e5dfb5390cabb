"""Everything that can be checked before data is read or a step is trained."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape import build
from segscape.config import targets
from segscape.config.annotations import check_types, fits
from segscape.config.command_line import keys_of
from segscape.config.explaining import taken_out
from segscape.config.systems import using
from segscape.config.training import (
    PRECISIONS,
    RESERVED_TRAINER,
    SCORE,
    Budget,
    CallbackSettings,
    ProfileSettings,
    check_positive,
    with_one_budget,
)
from segscape.errors import UserError, choice, unknown

if TYPE_CHECKING:
    from torch import nn

    from segscape.models.segmenter import Segmenter

Config = Mapping[str, Any]

MODEL_KEYS = (
    "name",
    "auxiliary",
    "mean",
    "std",
    "channel_order",
    "align_corners",
    "extra_outputs",
)
_SHOWN = 8
TOP_LEVEL = ("seed", "run_dir", "resume", "init", "model", "trainer", "metrics", "callbacks")
VOID_MODES = ("ignore", "as_false_positive")


def check_config(config: Config, typed: Sequence[str] = ()) -> None:
    """Check keys, arguments and types of a whole configuration.

    Args:
        config: plain data, resolved.
        typed: the overrides as the user typed them: a choice that has no effect is an error.

    Raises:
        UserError: the first thing found, with the nearest valid one.
    """
    known = [*TOP_LEVEL, *targets.SUPPLIED, "profile"]
    for key in config:
        if key not in known:
            raise unknown(f"{key}: there is no such key", key, known, label="known")
    for key in known:
        if key not in config:
            raise taken_out(key)
    for key, supplied in targets.SUPPLIED.items():
        node = config.get(key)
        if isinstance(node, Mapping) and node.get("_target_"):
            target, given = targets.arguments(node, key, supplied)
            check_types(target, given, key)
    _check_keys(config["model"], "model", MODEL_KEYS)
    _check_model(config["model"])
    _check_metrics(config["metrics"], typed)
    _check_profile(config["profile"])
    _check_callbacks(config["callbacks"])
    check_files(config)
    _check_trainer(config["trainer"])
    with_one_budget(config, typed)
    check_parts(config, chosen=keys_of(typed))


def check_network(config: Config, typed: Sequence[str] = ()) -> None:
    """Check what concerns the network only: its parts and the keys of `model`.

    Raises:
        UserError: the first thing found.
    """
    for key in targets.PARTS:
        if not isinstance(config.get(key), Mapping):
            raise taken_out(key)
        target, given = targets.arguments(config[key], key, targets.SUPPLIED[key])
        check_types(target, given, key)
    _check_keys(config["model"], "model", MODEL_KEYS)
    _check_model(config["model"])
    check_parts(config, chosen=keys_of(typed))


def _check_model(node: Config) -> None:
    expected: dict[str, tuple[Any, str]] = {
        "mean": (tuple[float, float, float], "three numbers, RGB in 0..1"),
        "std": (tuple[float, float, float], "three numbers, RGB in 0..1"),
        "align_corners": (bool, "true or false"),
        "auxiliary": (dict[str, Any] | None, "null or {decoder_16: 1.0, ...}"),
    }
    for name, (hint, words) in expected.items():
        if not fits(node.get(name), hint):
            raise UserError(f"model.{name}={node.get(name)!r} cannot be used", f"expected {words}")
    extra = node.get("extra_outputs")
    if extra is not None and (not fits(extra, int) or extra < 0):
        raise UserError(
            f"model.extra_outputs={extra!r} cannot be used", "expected null or a number, 0 or above"
        )
    choice("model.channel_order", node.get("channel_order", "rgb"), ("rgb", "bgr"))
    for name, given in (node.get("auxiliary") or {}).items():
        weight = given.get("weight", 1.0) if isinstance(given, Mapping) else given
        if not fits(weight, float) or weight < 0:
            raise UserError(f"model.auxiliary.{name}={weight!r}", "expected a weight, 0 or above")


def check_files(config: Config) -> None:
    """The files that a training starts from must be there."""
    run_dir = config.get("run_dir")
    if run_dir is not None and Path(str(run_dir)).is_file():
        raise UserError(f"run_dir={run_dir} is a file", "give a directory, or leave it out")
    resume, init = str(config.get("resume")), config.get("init")
    if resume not in ("never", "auto") and not Path(resume).is_file():
        raise unknown(
            f"resume={resume}: there is no such file",
            resume,
            ("never", "auto"),
            typed="resume={}",
            label="it takes a checkpoint, or",
        )
    if init is not None and not Path(str(init)).is_file():
        raise UserError(f"init={init}: there is no such file", "it takes a weights file or null")


def check_parts(config: Config, chosen: Collection[str]) -> None:
    """Reject a context or fusion that the decoder cannot use: never ignore a choice.

    Args:
        config: with the group decoder.
        chosen: group names that the user chose.
    """
    target, _ = targets.arguments(config["decoder"], "decoder", targets.SUPPLIED["decoder"])
    uses: frozenset[str] = getattr(target, "uses", frozenset())
    for group in ("context", "fusion"):
        if group in chosen and group not in uses:
            name = config["model"]["name"]
            what = ", ".join(sorted(uses)) or "neither a context nor a fusion"
            decoders, systems = using(group)
            raise UserError(
                f"{group} has no effect: the decoder of model={name} ({target.__name__}) "
                f"uses {what}",
                f"leave {group}= out, or choose a decoder with a {group}: {', '.join(decoders)}; "
                f"systems with one: {', '.join(systems[:_SHOWN])}, ... (segscape list model)",
            )


def _check_keys(node: Config, name: str, known: Sequence[str]) -> None:
    for key in node:
        if key not in known:
            raise unknown(
                f"{name}.{key}: there is no such key",
                f"{name}.{key}",
                [f"{name}.{k}" for k in known],
                label="known",
            )


def _settings_of(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _check_metrics(node: Config, typed: Sequence[str]) -> None:
    if not isinstance(node.get("confusion"), Mapping):
        raise UserError(
            f"metrics has no confusion, which gives {SCORE}",
            "a yaml in conf/metrics begins with defaults: [default]",
        )
    if any(text.startswith("~metrics.confusion") for text in typed):
        raise UserError(f"metrics.confusion gives {SCORE} and cannot be left out")
    names = [key for key, given in node.items() if given is None or isinstance(given, Mapping)]
    _check_keys(node, "metrics", ["void", *names])
    choice("metrics.void", node.get("void"), VOID_MODES)
    for name, factory in build.metric_factories(node).items():
        check_types(factory.func, factory.keywords, f"metrics.{name}")


def _check_callbacks(node: Config) -> None:
    others = {key: given for key, given in node.items() if isinstance(given, Mapping)}
    settings = {key: given for key, given in node.items() if key not in others}
    _check_keys(settings, "callbacks", _settings_of(CallbackSettings))
    check_types(CallbackSettings, settings, "callbacks")
    for name, factory in build.callback_factories(others).items():
        check_types(factory.func, factory.keywords, f"callbacks.{name}")


def _check_profile(node: Config) -> None:
    _check_keys(node, "profile", _settings_of(ProfileSettings))
    size = node.get("size")
    if size is not None and not (fits(size, tuple[int, int]) and min(size) > 0):
        raise UserError(f"profile.size={size!r} cannot be used", "expected null or [height, width]")
    check_types(ProfileSettings, node, "profile")


def check_trainer_keys(node: Config) -> None:
    """Check that lightning.Trainer takes these arguments and that they are not segscape's to set.

    Raises:
        UserError: it does not, or they are.
    """
    from lightning import Trainer

    if taken := [key for key in node if key in RESERVED_TRAINER]:
        raise UserError(f"trainer.{taken[0]} cannot be set: segscape sets it")
    signature = inspect.signature(Trainer.__init__).parameters
    known = [name for name in signature if name not in ("self", *RESERVED_TRAINER)]
    _check_keys(node, "trainer", known)


def _check_trainer(node: Config) -> None:
    check_trainer_keys(node)
    Budget.of(node)
    for name in ("accumulate_grad_batches", "check_val_every_n_epoch"):
        check_positive(f"trainer.{name}", node.get(name))
    if node.get("limit_val_batches") == 0:
        raise UserError("trainer.limit_val_batches=0 leaves no score to keep", "give at least 1")
    devices = node.get("devices")
    if isinstance(devices, int) and devices > 1:
        raise UserError(
            f"trainer.devices={devices}: a run of several processes is not supported yet",
            "give trainer.devices=1, and trainer.accumulate_grad_batches for larger batches",
        )
    choice("trainer.precision", str(node.get("precision")), PRECISIONS)


def check_training_step(network: Segmenter, batch: int, size: tuple[int, int]) -> None:
    """Run one training step's forward on meta tensors: no data, no arithmetic, any size.

    Args:
        network: the model to be trained; it is not changed.
        batch: images per step and process.
        size: height and width of the training crops, in pixels.

    Raises:
        UserError: parts that do not fit, BatchNorm on 1x1 maps with a single image, or outputs
            that no label would train.
    """
    import torch

    if network.extra_outputs:
        raise UserError(
            f"model.extra_outputs={network.extra_outputs} is for scoring published weights: "
            "no label of the data would train them",
            "train with 0. To start from such weights take their encoder: segscape "
            "import-weights, then encoder.weights=FILE",
        )
    meta = copy.deepcopy(network).to("meta").train()
    running: list[str] = []
    handles = [
        module.register_forward_pre_hook(_remember(name, running))
        for name, module in meta.named_modules()
    ]
    try:
        meta(torch.empty((batch, 3, *size), device="meta"))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        where = running[-1] if running else "a BatchNorm"
        raise UserError(
            f"{where} is a BatchNorm on 1x1 maps: data.batch_size={batch} cannot train it",
            "give data.batch_size=2 or more (per process), or exchange that part",
        ) from error
    except RuntimeError as error:
        where = running[-1] if running else "the model"
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the parts do not fit together at {where}, images of {size[0]}x{size[1]}: {reason}",
            "segscape list encoder (context, decoder, fusion) shows the choices",
        ) from error
    finally:
        for handle in handles:
            handle.remove()


def _remember(name: str, running: list[str]) -> Any:
    def hook(module: nn.Module, inputs: Any) -> None:
        running.append(name)

    return hook
