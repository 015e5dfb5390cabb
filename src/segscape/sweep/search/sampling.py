"""Optuna's samplers and pruners, as `sweep.sampler` and `sweep.pruner` name them."""

from __future__ import annotations

import hashlib

from optuna import pruners, samplers

#: Pruners that compare what runs had reached at certain steps, and keep that with each run.
BY_RUNGS = ("halving", "hyperband")


def make_sampler(name: str, seed: int, trials: int) -> samplers.BaseSampler:
    """The sampler that `sweep.sampler` names, fit for a search of so many trials."""
    # The first third explores, so that a short search does not depend on two or three results.
    start = max(4, min(10, trials // 3))
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "nsga2":
        return samplers.NSGAIISampler(seed=seed, population_size=max(4, min(50, start)))
    if name == "gp":
        return samplers.GPSampler(
            seed=seed, n_startup_trials=start, warn_independent_sampling=False
        )
    assert name == "tpe", name
    return samplers.TPESampler(seed=seed, n_startup_trials=start)


def make_pruner(name: str, length: int | None) -> pruners.BasePruner:
    """The pruner that `sweep.pruner` names.

    Args:
        name: of it.
        length: validations of a whole run; None while none has ended, then nothing is pruned.
    """
    if name == "none" or length is None:
        return pruners.NopPruner()
    # The first tenth of a run is not representative.
    least = max(1, length // 10)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=least)
    if name == "halving":
        return pruners.SuccessiveHalvingPruner(min_resource=least, reduction_factor=3)
    assert name == "hyperband", name
    return pruners.HyperbandPruner(
        min_resource=least, max_resource=max(length, least), reduction_factor=3
    )


def mixed(seed: int, drawn: int) -> int:
    """A seed that differs for every number of trials that are there already."""
    digest = hashlib.sha256(f"{seed} {drawn}".encode()).digest()
    return int.from_bytes(digest[:4], "big")
