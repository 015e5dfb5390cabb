"""The same few validation images after every validation: ground truth beside prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer
from PIL import Image

from segscape.data.overlay import gallery_panel
from segscape.runs.run_directory import RunDirectory
from segscape.tracking.trackers import GalleryItem, Tracker


class Gallery(Callback):
    """Keeps the predictions of chosen images while the validation makes them anyway.

    Panels are written to the run's `gallery/`, one file per image, replaced by each validation;
    the tracker keeps the history.

    Args:
        run: gets the panels.
        tracker: gets the class maps.
        images: how many, spread evenly over the split.
        every: draw after every so many validations, and after the last one.
    """

    def __init__(
        self, run: RunDirectory, tracker: Tracker, images: int = 8, every: int = 1
    ) -> None:
        self.run = run
        self.tracker = tracker
        self.images = images
        self.every = every
        self.validations = 0
        self._chosen: frozenset[int] = frozenset()
        self._items: dict[int, GalleryItem] = {}

    def state_dict(self) -> dict[str, Any]:
        """The number of validations, so that a resumed run keeps the rhythm."""
        return {"validations": self.validations}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the count."""
        self.validations = state_dict["validations"]

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Choose the images of this validation."""
        self._items = {}
        last = trainer.should_stop
        # Rank zero writes, so it draws from its own samples: every world-th sample.
        if self.images and trainer.is_global_zero and (last or self.validations % self.every == 0):
            world = trainer.world_size
            mine = -(-len(_dataset(trainer)) // world)
            self._chosen = frozenset(world * place for place in spread(mine, self.images))
        else:
            self._chosen = frozenset()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the chosen images of this batch."""
        if not self._chosen:
            return
        data = _dataset(trainer)
        for place, index in enumerate(batch["index"].tolist()):
            if index in self._chosen and index not in self._items:
                self._items[index] = GalleryItem(
                    name=data.name(index),
                    # Copies: a view would keep the whole batch in memory.
                    image=batch["image"][place].permute(1, 2, 0).cpu().numpy().copy(),
                    label=batch["label"][place].cpu().numpy().copy(),
                    prediction=outputs[place].byte().cpu().numpy(),
                    classes=data.classes,
                    palette=data.palette,
                )

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        self.validations += 1
        items = [self._items[index] for index in sorted(self._items)]
        self._items = {}
        if not items:
            return
        write_panels(self.run, items)
        self.tracker.images(items, trainer.global_step)


def spread(length: int, count: int) -> frozenset[int]:
    """Indices of `count` samples, evenly over a split of `length`."""
    return frozenset(np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist())


def write_panels(run: RunDirectory, items: Sequence[GalleryItem]) -> None:
    """Write one PNG per image."""
    run.gallery.mkdir(parents=True, exist_ok=True)
    for item in items:
        panel = gallery_panel(item.image, item.label, item.prediction, item.palette, item.classes)
        target = run.gallery / f"{item.name}.png"
        temporary = target.with_name(f".{target.name}.tmp")
        Image.fromarray(panel).save(temporary, format="PNG", compress_level=1)
        temporary.replace(target)


def _dataset(trainer: Trainer) -> Any:
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    return data.dataset("val")
