"""Where a crop is cut: anywhere, not where one class fills it, or around a rare class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from segscape.data.base import IGNORE_INDEX, LazySample
from segscape.data.transforms.checks import number, require, require_probability
from segscape.data.transforms.geometry import Axis, Resampling
from segscape.data.transforms.rotation import Rotation
from segscape.errors import unknown

# mmsegmentation's number of tries for a crop that no class fills.
_TRIES = 10
# The classes of a crop are counted on about so many of its pixels per axis.
_COUNTED = 256

View = Resampling | Rotation
"""A crop, and how it is resampled."""


class Placement:
    """Chooses the position of a crop; only the label is read, once, and only if needed.

    Args:
        max_class_share: a crop is drawn again, up to 10 times, while one class has this share of
            its labelled pixels or more (mmsegmentation's cat_max_ratio); 1.0 takes any.
        rare_probability: of a crop around a pixel of a rare class.
        rare_classes: "auto": a class drawn from those in the image, each as likely as the next
            however few pixels it has; or a list of names or ids, from which those that are in the
            image are drawn. An image without any gets a crop anywhere.

    Raises:
        UserError: an argument is out of range.
    """

    def __init__(
        self,
        max_class_share: float,
        rare_probability: float,
        rare_classes: str | Sequence[str | int],
    ) -> None:
        share = number("augment.max_class_share", max_class_share)
        require(0 < share <= 1, "augment.max_class_share", max_class_share, "above 0, up to 1")
        self.max_class_share = share
        self.rare_probability = require_probability("augment.rare_probability", rare_probability)
        self.rare_classes = check_classes("augment.rare_classes", rare_classes)

    def draw(
        self, lazy: LazySample, whole: View, crop: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Axis, Axis]:
        """Rows and columns of a crop.

        Args:
            lazy: the sample.
            whole: the view of the whole scaled (and turned) image.
            crop: height and width at most.
            rng: source of the choices.
        """
        if self.rare_probability and rng.random() < self.rare_probability:
            found = self.around_class(lazy, whole, crop, rng, self.rare_classes)
            if found is not None:
                return found
        rows, columns = whole.rows.placed(crop[0], rng), whole.columns.placed(crop[1], rng)
        if self.max_class_share < 1:
            label = lazy.label()
            for _ in range(_TRIES - 1):
                if self.is_mixed(label, rows, columns):
                    break
                rows, columns = whole.rows.placed(crop[0], rng), whole.columns.placed(crop[1], rng)
        return rows, columns

    def around_class(
        self,
        lazy: LazySample,
        whole: View,
        crop: tuple[int, int],
        rng: np.random.Generator,
        wanted: Sequence[str | int] | None,
    ) -> tuple[Axis, Axis] | None:
        """A crop around a pixel of one of these classes (None: of any); None without one."""
        label = lazy.label()
        present = present_classes(label)
        if wanted is not None:
            present = present[np.isin(present, ids_of(wanted))]
        if not len(present):
            return None
        pixels = np.flatnonzero(label == rng.choice(present))
        row, column = divmod(int(rng.choice(pixels)), label.shape[1])
        at = (row + 0.5) / whole.rows.step, (column + 0.5) / whole.columns.step
        if isinstance(whole, Rotation):
            at = whole.turned(*at)
        return whole.rows.around(at[0], crop[0]), whole.columns.around(at[1], crop[1])

    def is_mixed(self, label: np.ndarray, rows: Axis, columns: Axis) -> bool:
        """Whether no class fills this crop of a label (H, W) beyond `max_class_share`."""
        part = label[rows.source, columns.source]
        every = [max(1, length // _COUNTED) for length in part.shape]
        counts = class_counts(part[:: every[0], :: every[1]])
        return bool((counts > 0).sum() > 1 and counts.max() < self.max_class_share * counts.sum())


def class_counts(label: np.ndarray) -> np.ndarray:
    """Pixels of each id 0..254."""
    counts = cv2.calcHist([np.ascontiguousarray(label)], [0], None, [256], [0, 256])
    return counts.ravel()[:IGNORE_INDEX].astype(np.int64)


def present_classes(label: np.ndarray) -> np.ndarray:
    """Ids that occur in a label, without void, ascending."""
    return np.flatnonzero(class_counts(label))


def check_classes(name: str, value: Any) -> tuple[str | int, ...] | None:
    """Names or ids of classes; None for "auto". UserError naming the option otherwise."""
    wanted = "auto, or a list of class names or ids, for example [pole, sign]"
    if value == "auto":
        return None
    is_list = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    require(is_list, name, value, wanted)
    for item in value:
        is_id = isinstance(item, int) and not isinstance(item, bool) and 0 <= item < IGNORE_INDEX
        require(isinstance(item, str) or is_id, name, list(value), wanted)
    return tuple(value)


def resolved(
    name: str, wanted: Sequence[str | int] | None, classes: Sequence[str]
) -> tuple[int, ...] | None:
    """Ids of classes given by name or id.

    Raises:
        UserError: a class that the data set does not have.
    """
    if wanted is None:
        return None
    ids = []
    for item in wanted:
        if isinstance(item, str) and item in classes:
            ids.append(list(classes).index(item))
        elif isinstance(item, int) and item < len(classes):
            ids.append(item)
        else:
            what = f"{name}: the data has no class {item!r}"
            raise unknown(what, str(item), classes, label="classes")
    return tuple(ids)


def ids_of(wanted: Sequence[str | int]) -> list[int]:
    """The ids, which must have been resolved."""
    assert all(isinstance(item, int) for item in wanted), "call for_classes first"
    return [int(item) for item in wanted]
