"""Random numbers of a training step that depend on the step alone."""

from __future__ import annotations

import random

import numpy as np
import torch


def seed_step(seed: int, epoch: int, batch: int, rank: int, device: torch.device) -> None:
    """Seed every global generator for one batch (dropout, drop path, random layers).

    A generator that is carried from step to step also moves when a loader is opened, a validation
    runs or a picture is drawn; a run that continues from a checkpoint would have to repeat all of
    that. Seeded per step, the numbers are the same after a resume, so there is no generator state
    to save.

    Args:
        seed: of the run.
        epoch: counted from 0.
        batch: counted from 0 within the epoch.
        rank: of the process; ranks draw different numbers.
        device: that the step runs on.
    """
    words = np.random.SeedSequence((seed, epoch, batch, rank)).generate_state(4)
    value = int(words[0])
    # Not torch.manual_seed: for every kind of device that is not there it formats a stack trace.
    torch.default_generator.manual_seed(value)
    if device.type != "cpu":
        getattr(torch, device.type).manual_seed(value)
    random.seed(value)
    np.random.seed(words)
