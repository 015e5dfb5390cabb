"""What a data module applies to a training sample."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Transform(Protocol):
    """What a data module applies to a training sample."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Image (H, W, 3) and label (H, W), both uint8, to the same at the crop's size."""
        ...


class Identity:
    """No augmentation: whole images, as they are."""

    def __call__(
        self, image: np.ndarray, label: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return what came in."""
        return image, label
