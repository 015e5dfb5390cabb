"""The latency of every design of a sweep, one after another on a machine that runs nothing else.

While a sweep runs, jobs share machines, and each measures where it happens to run. Those figures
show how long a call took there, not which design is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segscape.config.identity import design
from segscape.errors import UserError
from segscape.sweep.memory.directory import SweepDirectory
from segscape.sweep.memory.status import LIVE, JobStatus, State

MEASURED = "latency/measured"
AFTERWARDS = "after the sweep, one design at a time"


def measure_designs(
    sweep: SweepDirectory, found: Sequence[JobStatus], say: Callable[[str], None] = print
) -> int:
    """Measure every design once here, and write its latency into the summary of all its runs.

    The rows of metrics.csv keep what was measured when each run began.

    Args:
        sweep: whose runs.
        found: status of its jobs.
        say: called with a line per design.

    Returns:
        The number of designs.

    Raises:
        UserError: jobs of the sweep are still queued or running, or none has finished.
    """
    live = [one for one in found if one.state in LIVE]
    if live:
        raise UserError(
            f"{len(live)} jobs of {sweep.name} are still on their way: they would disturb",
            "measure when the sweep has ended (segscape sweep status --watch)",
        )
    designs: dict[str, list[JobStatus]] = {}
    for one in found:
        if one.state is State.FINISHED:
            config = sweep.saved(one.job)["config"]
            designs.setdefault(design(config), []).append(one)
    if not designs:
        raise UserError(f"no job of {sweep.name} has finished")
    for runs in designs.values():
        keys = _latency(sweep, runs[0])
        for one in runs:
            run = sweep.run(one.job)
            run.write_summary({**run.read_summary(), **keys, MEASURED: AFTERWARDS})
        before = runs[0].summary.get("latency/p50_ms")
        was = f", was {before:.2f}" if isinstance(before, float) else ""
        name = _name(runs[0].job.varied) or runs[0].job.choices.get("model", "all")
        say(f"{name}  p50 {keys['latency/p50_ms']:.2f} ms{was}")
    return len(designs)


def _latency(sweep: SweepDirectory, one: JobStatus) -> dict[str, Any]:
    from segscape import build
    from segscape.api import load_model
    from segscape.profiling.latency import measure
    from segscape.profiling.run_cost import image_size
    from segscape.runs.device import choose_device

    config = sweep.saved(one.job)["config"]
    profile = config["profile"]
    limits = {k: profile[k] for k in ("min_seconds", "max_seconds") if profile.get(k) is not None}
    size = one.summary.get("latency/input_size") or one.summary.get("model/input_size")
    if size is None:  # the run was not profiled
        size = profile.get("size") or image_size(build.data(config, training=False), "val")
    return measure(
        load_model(sweep.place(one.job)),
        (int(size[0]), int(size[1])),
        device=choose_device(str(config["trainer"]["accelerator"])),
        precision=str(one.summary["precision"]),
        **limits,
    ).as_keys()


def _name(varied: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in varied.items() if key != "seed")
