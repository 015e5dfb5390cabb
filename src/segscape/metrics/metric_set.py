"""The metrics of a split: fed with class maps, read as keys of the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from segscape.errors import UserError

IGNORE_INDEX = 255  # label of void pixels
_LOSS = "loss"  # the key <split>/loss is written by the validation itself


class MetricSet(nn.Module):
    """Metrics by name, over one split at a time.

    A metric is a `torchmetrics.Metric` with `update(prediction, label)` over class ids (B, H, W),
    int64; void pixels have the label 255. What `compute` gives becomes keys of the record: a number
    `<split>/<name>`; a vector with one value per class `<split>/<name>/<class>`; a mapping
    `<split>/<name>/<key>`; an object with `as_keys(split, classes)` names its keys itself.

    Args:
        metrics: by name; tried on a small class map before anything is trained.
        classes: names of the classes.

    Raises:
        UserError: a metric that fails on class maps, or gives no such value or a key of another.
    """

    def __init__(self, metrics: Mapping[str, Metric], classes: Sequence[str]) -> None:
        super().__init__()
        self.classes = tuple(classes)
        self.by_name = nn.ModuleDict(metrics)
        self._check()

    def reset(self) -> None:
        """Reset after the last split, also one that was broken off."""
        for metric in self._metrics().values():
            metric.reset()

    def add(self, prediction: Tensor, label: Tensor, valid: Tensor) -> None:
        """Count a batch.

        Args:
            prediction: class ids (B, H, W), int64.
            label: ground truth (B, H, W), int64, same device.
            valid: which images are scored (B,), bool: not one that only fills up the last batch of
                a process.
        """
        if not bool(valid.all()):
            prediction, label = prediction[valid], label[valid]
        if len(label):
            for metric in self._metrics().values():
                metric.update(prediction, label)

    def scores(self, split: str) -> dict[str, float]:
        """Scores of everything counted since `reset`, over all processes, by key of the record."""
        found: dict[str, float] = {}
        for name, metric in self._metrics().items():
            for key, value in self._keys(name, metric.compute(), split).items():
                if key in found or key == f"{split}/{_LOSS}":
                    raise UserError(
                        f"metrics.{name} gives {key}, which is the key of another score",
                        "give it another name",
                    )
                found[key] = value
        return found

    def _metrics(self) -> dict[str, Metric]:
        found: Any = dict(self.by_name.items())
        return found

    def _keys(self, name: str, value: Any, split: str) -> dict[str, float]:
        if hasattr(value, "as_keys"):
            keys: dict[str, float] = value.as_keys(split, self.classes)
            return keys
        if isinstance(value, Mapping):
            return {f"{split}/{name}/{key}": float(each) for key, each in value.items()}
        values = torch.as_tensor(value, dtype=torch.float64)
        if values.numel() == 1:
            return {f"{split}/{name}": float(values)}
        if values.shape != (len(self.classes),):
            raise UserError(
                f"metrics.{name} gives an array of shape {tuple(values.shape)}",
                "expected a number, one number per class, or a mapping of numbers",
            )
        pairs = zip(self.classes, values.tolist(), strict=True)
        return {f"{split}/{name}/{each}": number for each, number in pairs}

    def _check(self) -> None:
        """Score a class map with every class and void, before the first training step."""
        label = torch.tensor([*range(len(self.classes)), IGNORE_INDEX]).expand(1, 8, -1)
        prediction = torch.where(label == IGNORE_INDEX, 0, label)
        for name, metric in self._metrics().items():
            try:
                metric.update(prediction, label)
            except (RuntimeError, ValueError, TypeError, IndexError) as error:
                raise UserError(
                    f"metrics.{name} cannot score class maps: {error}",
                    "it is given update(prediction, label), class ids (B, H, W), void pixels 255",
                ) from error
        self.scores("val")
        self.reset()
