"""What the network of a run costs, measured as configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segscape.profiling import complexity, latency
from segscape.runs.device import choose_device, resolve_precision
from segscape.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    from segscape.data.module import SegmentationDataModule
    from segscape.models.segmenter import Segmenter

Config = Mapping[str, Any]

UNCOUNTED = "model/uncounted_ops"


def measured_once(
    config: Config, network: Segmenter, data: SegmentationDataModule, directory: RunDirectory
) -> dict[str, Any]:
    """The cost as keys of the record, measured before the training.

    Before, since the machine is then idle and every row of a running training shows the cost. A
    run that continues keeps what was measured when it began, so that its rows agree.
    """
    cost = directory.read_cost()
    if not cost:
        cost = measure(config, network, data)
        directory.write_cost(cost)
    return cost


def measure(config: Config, network: Segmenter, data: SegmentationDataModule) -> dict[str, Any]:
    """Parameters, MACs, FLOPs and latency of the inference graph, as configured by `profile`."""
    profile = config["profile"]
    if not profile.get("enabled", True):
        return {}
    given = profile.get("size")
    size = (int(given[0]), int(given[1])) if given else image_size(data, "val")
    counted = complexity.measure(network, size)
    keys = {**counted.as_keys(), UNCOUNTED: dict(counted.uncounted)}
    if not profile.get("latency", True):
        return keys
    limits = {k: profile[k] for k in ("min_seconds", "max_seconds") if profile.get(k) is not None}
    timed = latency.measure(
        network,
        size,
        device=choose_device(str(config["trainer"]["accelerator"])),
        precision=resolve_precision(config["trainer"]),
        **limits,
    )
    return keys | timed.as_keys()


def image_size(data: SegmentationDataModule, split: str) -> tuple[int, int]:
    """Height and width of the first image of a split."""
    height, width = data.dataset(split).read(0).label.shape
    return height, width
