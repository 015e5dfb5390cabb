"""Sums of what every step yields, kept on the device so that no step waits for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class RunningMeans:
    """Means of named scalars since the last `clear`.

    Adding launches three small operations and never synchronises with the device; reading does.
    The sums are double, so their state survives a checkpoint bit for bit.
    """

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.count = 0
        self._sums: Tensor | None = None

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add one step's scalars; every step must bring the same names."""
        step = torch.stack([value.detach().float() for value in values.values()]).double()
        if self._sums is None:
            self.names, self._sums = tuple(values), step
        else:
            assert self.names == tuple(values), (self.names, tuple(values))
            # A restored state is on the CPU until the first step shows where the others are.
            self._sums = self._sums.to(step.device).add_(step)
        self.count += 1

    def total(self, device: torch.device) -> Tensor:
        """The sums and, last, the count: a vector that ranks can add up."""
        sums = torch.zeros(0, dtype=torch.float64) if self._sums is None else self._sums
        count = torch.tensor([self.count], dtype=torch.float64, device=device)
        return torch.cat([sums.to(device), count])

    def read(self, total: Tensor | None = None) -> dict[str, float]:
        """Means by name; empty before the first step.

        Args:
            total: what `total` returned, added up over the ranks; by default this process's own.
        """
        if total is None:
            total = self.total(torch.device("cpu"))
        *sums, count = total.tolist()
        return {name: value / count for name, value in zip(self.names, sums, strict=True)}

    def broken(self) -> list[str]:
        """Names that were not finite in some step: a sum that once was nan or inf stays so."""
        if self._sums is None:
            return []
        values = self._sums.tolist()
        return [n for n, v in zip(self.names, values, strict=True) if not math.isfinite(v)]

    def clear(self) -> None:
        """Start over."""
        self.names, self.count, self._sums = (), 0, None

    def state(self, total: Tensor) -> dict[str, Any]:
        """Plain data for a checkpoint, from `total` added up over the ranks."""
        return {"names": list(self.names), "total": total.cpu()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Continue from `state`."""
        self.clear()
        self.names = tuple(state["names"])
        self.count = int(state["total"][-1])
        if self.names:
            self._sums = state["total"][:-1].clone()
