"""How many designs per second can be counted: parameters and multiply-adds on meta tensors.

    python benchmarks/designs.py                    # random designs for 30 seconds
    python benchmarks/designs.py --limit 500
    python benchmarks/designs.py --order grid --seconds 600

The space is every encoder x decoder x context x fusion, plus every system. A design whose parts do
not fit is refused, which counts as an attempt and not as a design. Beside it, some of the same
designs are assembled and counted whole, and the figures compared. Rates are per second of CPU
time of one thread, so that other jobs on the machine do not matter.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from segscape import build
from segscape.config import systems
from segscape.errors import UserError
from segscape.profiling import complexity, space
from segscape.profiling.designs import DesignCost, DesignCosts

Named = tuple[str, Mapping[str, Any]]


def every_design(order: str, seed: int) -> Iterable[Named]:
    """Systems first, then the grid."""
    for name in systems.names():
        yield name, systems.read(name).settings
    grid = list(space.designs())
    print(f"{len(systems.names())} systems and {len(grid)} combinations of parts")
    if order == "random":
        random.Random(seed).shuffle(grid)
    for choices in grid:
        yield " ".join(choices.values()), space.settings(choices)


def count(
    designs: Iterable[Named], costs: DesignCosts, limit: int, seconds: float
) -> tuple[list[tuple[Named, DesignCost]], int, float]:
    """The designs that fit, how many were tried, and the CPU seconds."""
    counted: list[tuple[Named, DesignCost]] = []
    tried, spent = 0, 0.0
    for name, settings in designs:
        start = time.process_time()
        with suppress(UserError):  # does not fit
            counted.append(((name, settings), costs.of(settings)))
        spent += time.process_time() - start
        tried += 1
        if spent > seconds or len(counted) >= limit:
            break
    return counted, tried, spent


def compare(counted: list[tuple[Named, DesignCost]], size: tuple[int, int], sample: int) -> float:
    """Count some designs whole: CPU seconds of each; every figure must be the same."""
    spent = 0.0
    chosen = random.Random(0).sample(counted, min(sample, len(counted)))
    for (name, settings), cost in chosen:
        start = time.process_time()
        whole = complexity.measure(build.model(settings, num_classes=19), size)
        spent += time.process_time() - start
        assert (whole.params, whole.macs) == (cost.params, cost.macs), name
    return spent / len(chosen)


def main() -> None:
    """Count and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=10**9, help="stop after so many designs")
    parser.add_argument("--seconds", type=float, default=30.0, help="CPU seconds to count for")
    parser.add_argument("--order", choices=("random", "grid"), default="random")
    parser.add_argument("--seed", type=int, default=0, help="of the random order")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 1024), metavar=("H", "W"))
    parser.add_argument("--whole", type=int, default=8, help="designs to count whole as well")
    given = parser.parse_args()
    size = (given.size[0], given.size[1])
    costs = DesignCosts(size, 19)
    counted, tried, spent = count(
        every_design(given.order, given.seed), costs, given.limit, given.seconds
    )
    macs = sorted(cost.macs / 1e9 for _, cost in counted)
    params = sorted(cost.params / 1e6 for _, cost in counted)
    print(f"at {size[0]}x{size[1]} (height x width), {given.order} order:")
    print(f"  {len(counted)} designs in {spent:.1f} s of one core ({tried} tried)")
    print(f"  {len(counted) / spent:.1f} designs per second and core")
    print(
        f"  {params[0]:.3g} to {params[-1]:.4g} M parameters, median {params[len(params) // 2]:.3g}"
    )
    print(f"  {macs[0]:.3g} to {macs[-1]:.4g} GMACs, median {macs[len(macs) // 2]:.3g}")
    if given.whole:
        each = compare(counted, size, given.whole)
        print(f"  counted whole: {1 / each:.1f} designs per second and core, the same figures")


if __name__ == "__main__":
    main()
