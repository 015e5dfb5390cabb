"""Everything that can be known to be wrong before data is touched or a step is trained."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segscape.config import targets
from segscape.config.explaining import taken_out
from segscape.config.systems import using
from segscape.errors import UserError, nearest

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
RESERVED_TRAINER = (
    "logger",
    "callbacks",
    "default_root_dir",
    "enable_checkpointing",
    "enable_progress_bar",
)


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
            _unknown(key, known)
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
    _check_keys(config["metrics"], "metrics", ("void",))
    _check_keys(config["profile"], "profile", _parameters_of_profile())
    _check_callbacks(config["callbacks"])
    _check_profile(config["profile"])
    check_files(config)
    _one_of("metrics.void", config["metrics"]["void"], ("ignore", "as_false_positive"))
    _check_trainer(config["trainer"], typed)
    check_parts(config, chosen=_keys(typed))


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
    check_parts(config, chosen=_keys(typed))


def _keys(typed: Sequence[str]) -> set[str]:
    return {text.split("=", 1)[0].lstrip("+~") for text in typed}


def _check_model(node: Config) -> None:
    expected: dict[str, tuple[Any, str]] = {
        "mean": (tuple[float, float, float], "three numbers, RGB in 0..1"),
        "std": (tuple[float, float, float], "three numbers, RGB in 0..1"),
        "align_corners": (bool, "true or false"),
        "auxiliary": (dict[str, Any] | None, "null or {decoder_16: 1.0, ...}"),
    }
    for name, (hint, words) in expected.items():
        if not _fits(node.get(name), hint):
            raise UserError(f"model.{name}={node.get(name)!r} cannot be used", f"expected {words}")
    extra = node.get("extra_outputs")
    if extra is not None and (not _fits(extra, int) or extra < 0):
        raise UserError(
            f"model.extra_outputs={extra!r} cannot be used", "expected null or a number, 0 or above"
        )
    _one_of("model.channel_order", node.get("channel_order", "rgb"), ("rgb", "bgr"))
    for name, given in (node.get("auxiliary") or {}).items():
        weight = given.get("weight", 1.0) if isinstance(given, Mapping) else given
        if not _fits(weight, float) or weight < 0:
            raise UserError(f"model.auxiliary.{name}={weight!r}", "expected a weight, 0 or above")


def check_files(config: Config) -> None:
    """The files that a training starts from must be there."""
    run_dir = config.get("run_dir")
    if run_dir is not None and Path(str(run_dir)).is_file():
        raise UserError(f"run_dir={run_dir} is a file", "give a directory, or leave it out")
    for key in ("resume", "init"):
        value = config.get(key)
        if value in (None, "never", "auto") or Path(str(value)).is_file():
            continue
        what = "never, auto or a checkpoint" if key == "resume" else "a weights file or null"
        close = nearest(str(value), ("never", "auto")) if key == "resume" else None
        meant = f"did you mean {key}={close}? " if close else ""
        raise UserError(f"{key}={value}: there is no such file", f"{meant}it takes {what}")


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


def check_types(target: Any, given: Mapping[str, Any], key: str) -> None:
    """Compare values with the annotations of the callable that will receive them.

    Raises:
        UserError: e.g. a word where a number belongs.
    """
    function = target.__init__ if inspect.isclass(target) else target
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # an annotation that is imported for type checkers only
        return
    for name, value in given.items():
        if name in hints and not _fits(value, hints[name]):
            raise UserError(
                f"{key}.{name}={value!r} has the wrong type",
                f"expected {_type_name(hints[name])}",
            )


def _fits(value: Any, hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if origin is typing.Literal:
        return value in typing.get_args(hint)
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint in (str, Path):
        return isinstance(value, str)
    kind = origin or hint
    if kind in (dict, Mapping) or (inspect.isclass(kind) and issubclass(kind, Mapping)):
        return isinstance(value, Mapping)
    if kind is tuple:
        return _fits_tuple(value, typing.get_args(hint))
    if inspect.isclass(kind) and issubclass(kind, Iterable) and kind is not str:
        return isinstance(value, list | tuple)
    # Objects (a transform, a path) are not written in yaml as they are: nothing to compare.
    return True


def _fits_tuple(value: Any, args: tuple[Any, ...]) -> bool:
    if not isinstance(value, list | tuple):
        return False
    if not args:
        return True
    if len(args) == 2 and args[1] is Ellipsis:
        return all(_fits(item, args[0]) for item in value)
    return len(value) == len(args) and all(_fits(v, a) for v, a in zip(value, args, strict=True))


def _type_name(hint: Any) -> str:
    return hint.__name__ if inspect.isclass(hint) else str(hint).replace("typing.", "")


def _unknown(key: str, known: Iterable[str]) -> typing.NoReturn:
    known = list(known)
    close = nearest(key, known)
    hint = f"did you mean {close}? " if close else ""
    raise UserError(f"{key}: there is no such key", f"{hint}known: {', '.join(known)}")


def _check_keys(node: Config, name: str, known: Sequence[str]) -> None:
    for key in node:
        if key not in known:
            _unknown(f"{name}.{key}", [f"{name}.{k}" for k in known])


def _one_of(key: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        close = nearest(str(value), choices)
        hint = f"did you mean {close}? " if close else ""
        raise UserError(f"{key}={value} is not a choice", f"{hint}choices: {', '.join(choices)}")


def _parameters_of_profile() -> tuple[str, ...]:
    return ("enabled", "size", "latency", "min_seconds", "max_seconds")


def _check_callbacks(node: Config) -> None:
    from segscape.engine.fit import fit

    # What the job supplies itself; the rest are choices.
    supplied = {"task", "datamodule", "run", "tracker", "trainer", "meta", "constants"}
    supplied |= {"resume", "seed"}
    known = sorted(set(inspect.signature(fit).parameters) - supplied)
    _check_keys(node, "callbacks", known)
    check_types(fit, node, "callbacks")


def _check_profile(node: Config) -> None:
    size = node.get("size")
    if size is not None and not (_fits(size, tuple[int, int]) and min(size) > 0):
        raise UserError(f"profile.size={size!r} cannot be used", "expected null or [height, width]")
    for name, hint in (("enabled", bool), ("latency", bool), ("min_seconds", float)):
        if name in node and not _fits(node[name], hint):
            raise UserError(f"profile.{name}={node[name]!r} has the wrong type")


def _check_trainer(node: Config, typed: Sequence[str]) -> None:
    from lightning import Trainer

    signature = inspect.signature(Trainer.__init__).parameters
    known = [name for name in signature if name not in ("self", *RESERVED_TRAINER)]
    _check_keys(node, "trainer", known)
    for name in ("max_epochs", "max_steps", "accumulate_grad_batches", "check_val_every_n_epoch"):
        value = node.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool):
            raise UserError(f"trainer.{name}={value!r} has the wrong type", "expected int")
        if value < 1:
            raise UserError(f"trainer.{name}={value} must be at least 1")
    if node.get("limit_val_batches") == 0:
        raise UserError("trainer.limit_val_batches=0 leaves no score to keep", "give at least 1")
    devices = node.get("devices")
    if isinstance(devices, int) and devices > 1:
        raise UserError(
            f"trainer.devices={devices}: a run of several processes is not supported yet",
            "give trainer.devices=1, and trainer.accumulate_grad_batches for larger batches",
        )
    keys = {text.split("=", 1)[0].lstrip("+") for text in typed}
    if {"trainer.max_epochs", "trainer.max_steps"} <= keys:
        raise UserError(
            "trainer.max_epochs and trainer.max_steps are two budgets", "give one of them"
        )
    if node.get("max_epochs") is None and node.get("max_steps") is None:
        raise UserError("the run has no budget", "give trainer.max_epochs= or trainer.max_steps=")
    precision = node.get("precision")
    _one_of(
        "trainer.precision",
        str(precision),
        ("auto", "32-true", "16-mixed", "bf16-mixed", "bf16-true", "16-true", "64-true", "32"),
    )


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
    import copy

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
