"""The Lightning objects that a configuration describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning import Callback

from segscape import build
from segscape.data.module import SegmentationDataModule
from segscape.engine.task import SegmentationTask
from segscape.losses.heads import HeadLosses
from segscape.models.segmenter import Segmenter


def task(
    config: Mapping[str, Any], network: Segmenter, data: SegmentationDataModule
) -> SegmentationTask:
    """Network, losses, optimiser, schedule and metrics as one LightningModule."""
    heads = build.auxiliary(config)
    own = {
        name: build.criterion(head.loss, data, f"model.auxiliary.{name}.loss")
        for name, head in heads.items()
        if head.loss is not None
    }
    weights = {"main": 1.0, **{name: head.weight for name, head in heads.items()}}
    return SegmentationTask(
        network,
        HeadLosses(build.criterion(config["loss"], data), weights, own),
        build.factory(config["optim"], "optim"),
        build.factory(config["schedule"], "schedule"),
        build.metrics(config["metrics"], network),
    )


def callbacks(node: Mapping[str, Any]) -> list[Callback]:
    """The Lightning callbacks of the group `callbacks`, in the order of the yaml."""
    return [make() for make in build.callback_factories(node).values()]
