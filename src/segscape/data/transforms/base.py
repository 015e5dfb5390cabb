"""The interface of transforms of training samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from segscape.data.base import LazySample, Sample

Others = Callable[[np.random.Generator], LazySample]
"""Draws another sample of the same split."""


class Transform(Protocol):
    """What a data module applies to a training sample."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) and label (H, W), both uint8, to the same at the crop's size."""
        ...


@runtime_checkable
class LazyTransform(Transform, Protocol):
    """A transform that reads only the pixels it needs, of its sample and of others."""

    def apply(
        self, lazy: LazySample, rng: np.random.Generator, others: Others | None = None
    ) -> Sample:
        """Transform a sample; everything random comes from `rng`.

        Args:
            lazy: the sample.
            rng: source of the choices.
            others: draws the samples that are mixed into this one; None: this sample itself.
        """
        ...


class Identity:
    """No augmentation: whole images, as they are."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the arguments unchanged."""
        return image, label


def for_classes(transform: Transform | None, classes: Sequence[str]) -> Transform | None:
    """The transform for a data set with these classes.

    A transform whose options name classes has a method `for_classes(classes)` that returns one
    with their ids; any other stays as it is.

    Raises:
        UserError: a class that the data set does not have.
    """
    named = getattr(transform, "for_classes", None)
    found: Transform | None = transform if named is None else named(classes)
    return found
