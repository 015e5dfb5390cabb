"""From configuration to objects: the only place that resolves a `_target_`.

Channels are never set in yaml: the factories made here receive them from the parts that are built
before, so that any part can be exchanged on its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from segscape.config.targets import SUPPLIED, arguments
from segscape.errors import UserError, unknown

if TYPE_CHECKING:
    from lightning import Callback
    from torch import nn
    from torchmetrics import Metric

    from segscape.data.module import SegmentationDataModule
    from segscape.metrics.metric_set import MetricSet
    from segscape.models.segmenter import Segmenter
    from segscape.tracking.trackers import Tracker

Config = Mapping[str, Any]


def factory(node: Config, key: str) -> partial[Any]:
    """A callable that still takes the arguments that SUPPLIED lists for its group."""
    target, given = arguments(node, key, SUPPLIED[key])
    return partial(target, **given)


def part(config: Config, key: str) -> partial[nn.Module]:
    """The factory of a part; parts are torch modules, nothing else is ever called.

    A configuration may come from a third-party checkpoint, so a `_target_` there must not be able
    to run just any function.
    """
    return _module_factory(config[key], key, SUPPLIED[key])


def _module_factory(node: Config, key: str, supplied: tuple[str, ...]) -> partial[nn.Module]:
    from torch import nn

    target, given = arguments(node, key, supplied)
    if not (inspect.isclass(target) and issubclass(target, nn.Module)):
        raise UserError(f"{key}._target_={node['_target_']} is not a torch.nn.Module class")
    return partial(target, **given)


def model(
    config: Config,
    *,
    num_classes: int,
    classes: tuple[str, ...] = (),
    palette: tuple[tuple[int, int, int], ...] = (),
    network_class: type[Segmenter] | None = None,
) -> Segmenter:
    """Assemble the network that a configuration describes.

    Args:
        config: with the groups encoder, context, decoder, fusion, head and the key model.
        num_classes: channels of the logits.
        classes: names of the classes, if known.
        palette: their colours, RGB 0..255.
        network_class: the class of the network, derived from `Segmenter`; None for that itself.

    Raises:
        UserError: parts that do not fit together, or wrong arguments.
    """
    from segscape.models.contracts import MissingFeatures
    from segscape.models.segmenter import Segmenter, assemble

    settings = config["model"]
    decoder = part(config, "decoder")
    uses: frozenset[str] = getattr(decoder.func, "uses", frozenset())
    encoder: Any = part(config, "encoder")()
    heads = auxiliary(config)
    try:
        return assemble(
            encoder,
            part(config, "context") if "context" in uses else None,
            decoder,
            part(config, "fusion") if "fusion" in uses else None,
            part(config, "head"),
            num_classes=num_classes,
            auxiliary={name: head.make for name, head in heads.items()},
            reads={name: head.reads for name, head in heads.items()},
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
            channel_order=str(settings.get("channel_order", "rgb")),
            extra_outputs=int(settings.get("extra_outputs") or 0),
            align_corners=bool(settings["align_corners"]),
            classes=classes,
            palette=palette,
            network_class=network_class or Segmenter,
            name=str(settings["name"]),
        )
    except MissingFeatures as error:
        raise MissingFeatures(
            error.needed_by, error.missing, error.available, encoders_giving(error.missing)
        ) from error


def encoders_giving(features: Iterable[int | str]) -> list[str]:
    """The options of the group encoder that give all these strides and extras."""
    import torch

    from segscape.config import files

    wanted, found = set(features), []
    for option in files.groups()["encoder"]:
        try:
            with torch.device("meta"):
                encoder: Any = part({"encoder": files.option("encoder", option)}, "encoder")()
                spec = encoder.spec
        except UserError:  # needs a package that is not installed
            continue
        if wanted <= {*spec.strides, *spec.extras}:
            found.append(option)
    return found


AUXILIARY_KEYS = ("weight", "feature", "head", "loss")


@dataclass(frozen=True)
class Auxiliary:
    """A head that exists in training only.

    Attributes:
        weight: of its loss.
        reads: the feature that it reads, `encoder_<key>` or `decoder_<key>`.
        make: makes the head from (channels, classes); None for the same as the main head.
        loss: configuration of its own loss; None for the same as the main head.
    """

    weight: float
    reads: str
    make: partial[nn.Module] | None = None
    loss: Config | None = None


def auxiliary(config: Config) -> dict[str, Auxiliary]:
    """The training-only heads by name; a weight of 0 switches a head off.

    In yaml a head is a weight, or a mapping with `weight`, `feature` (default: the name of the
    head), `head` (with `_target_`, or further choices for the main head's class) and `loss`.

    Raises:
        UserError: an unknown key, or a head that cannot be made.
    """
    found = {}
    for name, given in (config["model"].get("auxiliary") or {}).items():
        node = given if isinstance(given, Mapping) else {"weight": given}
        key = f"model.auxiliary.{name}"
        for field in node:
            if field not in AUXILIARY_KEYS:
                raise unknown(
                    f"{key}.{field}: there is no such key", field, AUXILIARY_KEYS, label="it takes"
                )
        weight = float(node.get("weight", 1.0))
        if not weight:
            continue
        make = None
        if node.get("head") is not None:
            own = {**node["head"]}
            own.setdefault("_target_", config["head"]["_target_"])
            make = _module_factory(own, f"{key}.head", SUPPLIED["head"])
        found[name] = Auxiliary(weight, str(node.get("feature", name)), make, node.get("loss"))
    return found


def data(config: Config, *, training: bool = True) -> SegmentationDataModule:
    """The data module.

    Args:
        config: with the group data, and augment for training.
        training: with the augmentation. Scoring needs none, and then nothing but the data module
            is called: the configuration may come from a third-party checkpoint.

    Raises:
        UserError: `data._target_` is not a data module.
    """
    from segscape.data.module import SegmentationDataModule

    target, given = arguments(config["data"], "data", SUPPLIED["data"])
    if not (inspect.isclass(target) and issubclass(target, SegmentationDataModule)):
        raise UserError(f"data._target_={config['data']['_target_']} is not a data module")
    if not training:
        # One pass reads every sample once: a cache would only be in the way.
        quiet = {"cache": "none"} if "cache" in given else {}
        return target(**{**given, "crop": None, **quiet})
    augment = config.get("augment")
    transform = factory(augment, "augment")() if augment and augment.get("_target_") else None
    return target(augment=transform, **given)


def criterion(node: Config, data: SegmentationDataModule, key: str = "loss") -> nn.Module:
    """The loss of a head; class weights given by a rule's name are worked out from the data."""
    target, given = arguments(node, key)
    made = partial(target, **given)
    rule = made.keywords.get("class_weights")
    if isinstance(rule, str):
        from segscape.data.checks.shares import class_shares
        from segscape.losses.class_weights import class_weights

        made = partial(made, class_weights=class_weights(rule, class_shares(data.dataset("train"))))
    module: nn.Module = made()
    return module


# What a metric is given if its constructor takes it and the configuration does not set it.
METRIC_SUPPLIED = ("num_classes", "ignore_index", "extra_outputs", "void")
# Arguments of torchmetrics.Metric (its **kwargs) that yaml can hold.
METRIC_KEYWORDS = (
    *("compute_on_cpu", "dist_sync_on_step", "sync_on_compute", "compute_with_cache"),
)


def metric_factories(node: Config) -> dict[str, partial[Metric]]:
    """The metrics of the group `metrics` by name; they still take the arguments of METRIC_SUPPLIED.

    Raises:
        UserError: a wrong argument, or a `_target_` that is no metric.
    """
    from torchmetrics import Metric

    found = {}
    for name, given in node.items():
        if not isinstance(given, Mapping):
            continue
        key = f"metrics.{name}"
        free = tuple(argument for argument in METRIC_SUPPLIED if argument not in given)
        target, kept = arguments(_with_target(given, key), key, free, METRIC_KEYWORDS)
        if not (inspect.isclass(target) and issubclass(target, Metric)):
            raise UserError(f"{key}._target_={given['_target_']} is no torchmetrics.Metric")
        found[name] = partial(target, **kept)
    return found


def metrics(node: Config, network: Segmenter, classes: Sequence[str] = ()) -> MetricSet:
    """The metrics of a network.

    Args:
        node: the group `metrics`.
        network: gives the number of classes.
        classes: their names, by default those of the network.

    Raises:
        UserError: a metric that cannot be made, or that cannot score the network.
    """
    from segscape.metrics.metric_set import IGNORE_INDEX, MetricSet

    count = network.num_classes
    supplied = {
        "num_classes": count,
        "ignore_index": IGNORE_INDEX,
        "extra_outputs": network.extra_outputs,
        "void": node["void"],
    }
    made = {}
    for name, factory in metric_factories(node).items():
        takes = inspect.signature(factory.func).parameters
        if network.extra_outputs and "extra_outputs" not in takes:
            raise UserError(
                f"metrics.{name} cannot score a network with outputs that are no class",
                f"leave it out: metrics.{name}=null",
            )
        more = {k: v for k, v in supplied.items() if k in takes and k not in factory.keywords}
        try:
            made[name] = factory(**more)
        except (TypeError, ValueError) as error:
            raise UserError(f"metrics.{name}: {error}") from error
    return MetricSet(made, classes or network.classes or [str(i) for i in range(count)])


REFUSED_CALLBACKS = {
    "Checkpoint": "segscape writes best.ckpt and last.ckpt; callbacks.save_every_steps and "
    "callbacks.save_every_minutes say how often",
    "ProgressBar": "segscape shows the progress; callbacks.progress=false turns that off",
    "GradientAccumulationScheduler": "use trainer.accumulate_grad_batches",
    "BatchSizeFinder": "it trains before the training: set data.batch_size",
    "LearningRateFinder": "it trains before the training: set optim.lr",
    "StochasticWeightAveraging": "it replaces the schedule: see the group schedule",
}


def callback_factories(node: Config) -> dict[str, partial[Callback]]:
    """Lightning callbacks of the group `callbacks` by name, in the order in which they run.

    Raises:
        UserError: a wrong argument, a `_target_` that is no callback, or one that would do what
            segscape's own do.
    """
    from lightning.pytorch import callbacks as lightning_callbacks

    found = {}
    for name, given in node.items():
        if not isinstance(given, Mapping):
            continue
        key = f"callbacks.{name}"
        target, kept = arguments(_with_target(given, key), key)
        if not (inspect.isclass(target) and issubclass(target, lightning_callbacks.Callback)):
            raise UserError(f"{key}._target_={given['_target_']} is no lightning.Callback")
        for kind, reason in REFUSED_CALLBACKS.items():
            if issubclass(target, getattr(lightning_callbacks, kind)):
                raise UserError(f"{key}._target_={given['_target_']} cannot be used", reason)
        if issubclass(target, lightning_callbacks.EarlyStopping):
            # At the end of an epoch the checkpoint of its validation is written already.
            kept.setdefault("check_on_train_epoch_end", False)
        found[name] = partial(target, **kept)
    return found


def _with_target(node: Config, key: str) -> Config:
    if not node.get("_target_"):
        raise UserError(f"{key} names no class", f"give it: {key}._target_=module.Class")
    return node


def tracker(config: Config) -> Tracker:
    """The experiment tracker that mirrors the run directory's records."""
    return factory(config["logger"], "logger")()
