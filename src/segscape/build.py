"""From configuration to objects: the only place that resolves a `_target_`.

Channels never stand in yaml: the factories made here receive them from the parts that are built
before, so that any part can be exchanged on its own.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from segscape.config.targets import SUPPLIED, arguments
from segscape.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from segscape.data.module import SegmentationDataModule
    from segscape.engine.task import SegmentationTask
    from segscape.models.segmenter import Segmenter
    from segscape.tracking.trackers import Tracker

Config = Mapping[str, Any]


def factory(node: Config, key: str) -> partial[Any]:
    """A callable that still takes what SUPPLIED says for its group."""
    target, given = arguments(node, key, SUPPLIED[key])
    return partial(target, **given)


def part(config: Config, key: str) -> partial[nn.Module]:
    """The factory of a part; parts are torch modules, nothing else is ever called.

    A configuration may come out of somebody's checkpoint, so a `_target_` there must not be able
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
            if field not in ("weight", "feature", "head", "loss"):
                raise UserError(
                    f"{key}.{field}: there is no such key", "it takes: weight, feature, head, loss"
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
            is called: the configuration may come out of somebody's checkpoint.

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


def task(config: Config, network: Segmenter, data: SegmentationDataModule) -> SegmentationTask:
    """Network, losses, optimiser and schedule as one LightningModule."""
    from segscape.engine.task import SegmentationTask
    from segscape.losses.heads import HeadLosses

    heads = auxiliary(config)
    own = {
        name: criterion(head.loss, data, f"model.auxiliary.{name}.loss")
        for name, head in heads.items()
        if head.loss is not None
    }
    weights = {"main": 1.0, **{name: head.weight for name, head in heads.items()}}
    return SegmentationTask(
        network,
        HeadLosses(criterion(config["loss"], data), weights, own),
        factory(config["optim"], "optim"),
        factory(config["schedule"], "schedule"),
        metrics=dict(config["metrics"]),
    )


def tracker(config: Config) -> Tracker:
    """The experiment tracker that mirrors the run directory's records."""
    return factory(config["logger"], "logger")()
