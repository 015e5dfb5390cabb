"""What designs cost before anything is trained, and which cannot be built at all.

Everything is counted on meta tensors, at the size at which a run measures itself: `profile.size`,
or else that of the validation images.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from segscape import build, preflight
from segscape.config import targets
from segscape.data.module import SegmentationDataModule
from segscape.errors import UserError
from segscape.models.contracts import FeatureSpec
from segscape.models.segmenter import auxiliary_channels
from segscape.profiling.designs import DesignCost, DesignCosts
from segscape.profiling.meta import made_on_meta
from segscape.profiling.option_costs import SIZE

Config = Mapping[str, Any]
Size = tuple[int, int]
# Stride of the coarsest features: what it divides, every part takes.
_COARSEST = 32

_UNBUILDABLE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
)


@dataclass(frozen=True)
class _Target:
    """What a network is built for.

    Attributes:
        classes: of the data set.
        size: height and width of the images that it is measured on.
        note: a remark on the size for the user; empty when it is that of the run.
    """

    classes: int
    size: Size
    note: str = ""


class Costs:
    """Counts configurations; every data set and every part is cached."""

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        self._targets: dict[str, _Target | UserError] = {}
        self._counts: dict[tuple[Size, int], _Counts] = {}
        self._steps: dict[str, UserError | None] = {}

    def of(self, config: Config) -> DesignCost | None:
        """The cost of the network of a configuration; None if it cannot be counted on meta tensors.

        Args:
            config: whole, resolved, and found right by `preflight.check_config`.

        Raises:
            UserError: the data set cannot be described, or the parts do not fit together.
        """
        target = self._target(config)
        if target.note:
            self.notes.setdefault(target.note)
        key = (target.size, target.classes)
        if key not in self._counts:
            self._counts[key] = _Counts(target.size, target.classes)
        try:
            cost = self._counts[key].of(config)
            self._counts[key].require_auxiliary(config)
        except UserError:
            raise
        except NotImplementedError:  # an operator that has no meta version
            return None
        except _UNBUILDABLE as error:
            # A part that cannot be made with these numbers: the run would end with the same words.
            reason = (str(error).splitlines() or [""])[0]
            raise UserError(f"it cannot be built: {type(error).__name__}: {reason}") from error
        return cost

    def require_trainable(self, config: Config) -> None:
        """Find what only a training step shows: a batch of one image, a crop that no part expects.

        A step takes much longer than counting, so it is taken on meta tensors, once for a design,
        and only where it may fail.

        Args:
            config: whole, resolved, and found right by `preflight.check_config`.

        Raises:
            UserError: the parts cannot be trained with this batch and crop.
        """
        data = config["data"]
        crop, batch = data.get("crop"), data.get("batch_size")
        if not crop or (batch != 1 and not any(side % _COARSEST for side in crop)):
            return
        parts = [config.get(key) for key in (*targets.PARTS, "model")]
        key = json.dumps([parts, batch == 1, list(crop)], sort_keys=True, default=str)
        if key not in self._steps:
            self._steps[key] = _refusal_of_step(config, self._target(config).classes)
        if (error := self._steps[key]) is not None:
            raise error

    def _target(self, config: Config) -> _Target:
        seedless = {key: value for key, value in config["data"].items() if key != "seed"}
        about = (seedless, config.get("augment"), config["profile"].get("size"))
        key = json.dumps(about, sort_keys=True, default=str)
        if key not in self._targets:
            try:
                self._targets[key] = _described(config)
            except UserError as error:
                self._targets[key] = error
        found = self._targets[key]
        if isinstance(found, UserError):
            raise found
        return found


def _described(config: Config) -> _Target:
    classes = build.data(config).num_classes
    size = config["profile"].get("size")
    if size:
        return _Target(classes, (int(size[0]), int(size[1])))
    try:
        height, width = _first_label(build.data(config, training=False)).shape
    except (UserError, OSError):
        # Data may be where the jobs run and not here.
        return _Target(
            classes,
            SIZE,
            f"the images of {config['data']['_target_'].rsplit('.', 1)[-1]} cannot be read here: "
            f"MACs are for {SIZE[0]}x{SIZE[1]} (height x width); profile.size=[H,W] sets another",
        )
    return _Target(classes, (int(height), int(width)))


def _refusal_of_step(config: Config, classes: int) -> UserError | None:
    """Why the network of a configuration takes no training step; None when it does."""
    data = config["data"]
    size = (int(data["crop"][0]), int(data["crop"][1]))
    try:
        network: Any = made_on_meta(lambda: build.model(config, num_classes=classes))
        preflight.check_training_step(network, int(data["batch_size"]), size)
    except UserError as error:
        return error
    except (NotImplementedError, *_UNBUILDABLE):  # not known without memory: the job will show it
        return None
    return None


def _first_label(data: SegmentationDataModule) -> Any:
    return data.dataset("val").read(0).label


class _Counts(DesignCosts):
    """Also keeps the features of the decoder counted last, for the auxiliary heads."""

    def _decoder(self, *given: Any) -> Any:
        found = super()._decoder(*given)
        self._decoded: FeatureSpec = found.spec
        return found

    def require_auxiliary(self, config: Config) -> None:
        """The features that the training-only heads read must exist.

        Args:
            config: that was counted last.

        Raises:
            UserError: a head reads a feature that neither encoder nor decoder gives.
        """
        encoder: Any = SimpleNamespace(spec=self.encoder(config["encoder"]).spec)
        decoder: Any = SimpleNamespace(spec=self._decoded)
        for head in build.auxiliary(config).values():
            auxiliary_channels(head.reads, encoder, decoder)
