"""Print the results of runs as a Markdown table, for the README.

    python scripts/make_tables.py runs/streets-ppliteseg/*

Reads each run's summary.json and config.yaml, nothing else.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

PARTS = ("encoder", "context", "decoder", "fusion")


def row(run: Path) -> dict[str, str]:
    """The figures of a run, as they are shown."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    config: dict[str, Any] = yaml.safe_load((run / "config.yaml").read_text())
    height, width = summary["model/input_size"]
    parts = [str(config[part]["_target_"]).rsplit(".", 1)[-1] for part in PARTS]
    figures = {
        "model": config["model"]["name"],
        "parts": " + ".join(parts),
        "data": str(config["data"]["_target_"]).rsplit(".", 1)[-1],
        "val mIoU": f"{summary['val/miou']:.4f}",
        "boundary IoU": f"{summary['val/boundary_iou']:.4f}",
        "parameters": f"{summary['model/params'] / 1e6:.3f} M",
        f"MACs (FLOPs) at {height}x{width}": (
            f"{summary['model/macs'] / 1e9:.3f} G ({summary['model/flops'] / 1e9:.3f} G)"
        ),
    }
    if "latency/p50_ms" in summary:
        figures["latency p50 / p90 / p99"] = " / ".join(
            f"{summary[f'latency/{name}_ms']:.1f}" for name in ("p50", "p90", "p99")
        ) + (f" ms ({summary['latency/device']}, {summary['latency/precision']})")
    return figures


def table(rows: list[dict[str, str]]) -> str:
    """Rows as Markdown; a column for every key that occurs."""
    columns = list(dict.fromkeys(key for found in rows for key in found))
    lines = [columns, ["---"] * len(columns)]
    lines += [[found.get(column, "") for column in columns] for found in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Read the runs that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run directories")
    given = parser.parse_args()
    missing = [str(run) for run in given.runs if not (run / "summary.json").is_file()]
    if missing:
        parser.error(f"no summary.json in {', '.join(missing)}")
    print(table([row(run) for run in given.runs]))


if __name__ == "__main__":
    main()
