"""How long it takes to check a grid against a budget: every design composed, checked and costed.

    python benchmarks/sweep_check.py
    python benchmarks/sweep_check.py --designs 500 --limit 30 --compare 10

Encoders, fusions and contexts of PP-LiteSeg and losses in one grid, cut to the number of designs.
The time is wall time with the start of Python and the import of torch, in a process of its own.
Some designs are composed by Hydra as well, and must be the same.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from typing import Any

AXES = {
    "encoder": "stdc1,stdc2,resnet18,resnet34,resnet50,xception39,afformer_tiny,bisenetv2",
    "fusion": "add,concat,uafm_spatial,uafm_channel,ffm,flow_align,gated,efficient_pointwise",
    "context": "sppm,ppm_sum,aspp,identity",
    "loss": "ohem,cross_entropy,weighted_cross_entropy",
}
WHERE = "macs < 15e9 and params < 10e6"


def check(designs: int) -> dict[str, Any]:
    """Plan the grid in this process: how many designs fit, exceed the budget, cannot work."""
    from segscape.sweep.plan.check import plan
    from segscape.sweep.plan.grid import axes_of, expand
    from segscape.sweep.settings import read_settings

    settings = read_settings({"where": WHERE})
    axes, common = axes_of([f"{key}={values}" for key, values in AXES.items()])
    points = expand(axes, settings, common)
    assert len(points) >= designs, f"the grid has {len(points)} designs only"
    found = plan(points[:designs], common, settings)
    return {
        "planned": len(found.planned),
        "unfit": len(found.unfit),
        "rejected": len(found.rejected),
        "configs": [[list(one.overrides), dict(one.config)] for one in found.planned],
    }


def compare(configs: list[Any], count: int) -> float:
    """Compose some by Hydra: seconds of each; every one must be the same."""
    from omegaconf import OmegaConf

    from segscape.config import composing

    chosen = random.Random(0).sample(configs, min(count, len(configs)))
    start = time.process_time()
    for overrides, expected in chosen:
        whole = OmegaConf.to_container(composing.compose(overrides), resolve=True)
        assert json.loads(json.dumps(whole)) == expected, overrides
    return (time.process_time() - start) / max(1, len(chosen))


def main() -> int:
    """Measure; exit code 1 if it takes longer than the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--designs", type=int, default=500)
    parser.add_argument("--limit", type=float, default=30.0, help="seconds that it may take")
    parser.add_argument("--compare", type=int, default=10, help="designs to compose by Hydra too")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inner:
        print(json.dumps(check(given.designs)))
        return 0
    command = [sys.executable, __file__, "--inner", "--designs", str(given.designs)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    found = json.loads(done.stdout)
    print(
        f"{given.designs} designs in {seconds:.1f} s of wall time: {found['planned']} within "
        f"{WHERE!r}, {found['unfit']} outside, {found['rejected']} cannot work"
    )
    if given.compare and found["configs"]:
        each = compare(found["configs"], given.compare)
        print(f"Hydra alone: {each * 1000:.0f} ms of CPU to compose one, the same configurations")
    return int(seconds > given.limit)


if __name__ == "__main__":
    sys.exit(main())
