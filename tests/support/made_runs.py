"""Run directories and sweeps as a training writes them, written by hand: no torch."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segscape.runs.files import write_json
from segscape.runs.run_directory import RunDirectory
from segscape.sweep.memory.directory import Planned, SweepDirectory

DEVICE = "Intel(R) Xeon(R) Processor"
_ENCODER = {"stdc1": (0.0, 9.0, 120), "stdc2": (0.02, 14.0, 210)}
_FUSION = {"uafm_spatial": (0.03, 3.0, 50), "add": (0.0, 1.0, 10), "concat": (0.01, 2.0, 40)}


def config_of(
    encoder: str = "stdc1", fusion: str = "add", seed: int = 1, **more: Any
) -> dict[str, Any]:
    return {
        "seed": seed,
        "run_dir": None,
        "resume": "never",
        "init": None,
        "trainer": {"max_epochs": 3, "precision": "auto"},
        "data": {
            "_target_": "segscape.data.datasets.streets.module.Streets",
            "seed": seed,
            "cache": "none",
        },
        "encoder": {"_target_": "segscape.models.encoders.stdc.STDC", "variant": encoder},
        "fusion": {"_target_": f"segscape.models.fusions.{fusion}"},
        "optim": {"_target_": "segscape.optim.optimizers.adamw", "lr": 0.001},
        "metrics": {"void": "ignore"},
        "profile": {"size": None},
        "model": {"name": "ppliteseg"},
        **more,
    }


def choices_of(encoder: str = "stdc1", fusion: str = "add", **more: str) -> dict[str, str]:
    return {
        "data": "streets",
        "model": "ppliteseg",
        "encoder": encoder,
        "fusion": fusion,
        "logger": "wandb",
        "hydra/launcher": "local",
        **more,
    }


def summary_of(
    encoder: str = "stdc1", fusion: str = "add", seed: int = 1, **more: Any
) -> dict[str, Any]:
    miou = 0.60 + _ENCODER[encoder][0] + _FUSION[fusion][0] + 0.001 * (seed * 7 % 5)
    macs = (_ENCODER[encoder][2] + _FUSION[fusion][2]) * 1_000_000
    return {
        "epoch": 3,
        "step": 12,
        "val/miou": miou,
        "val/iou/road": miou + 0.2,
        "val/iou/pole": None,
        "model/params": macs // 20,
        "model/macs": macs,
        "model/input_size": [256, 512],
        "model/macs/encoder": _ENCODER[encoder][2] * 1_000_000,
        "latency/p50_ms": _ENCODER[encoder][1] + _FUSION[fusion][1],
        "latency/input_size": [256, 512],
        "latency/batch": 1,
        "latency/device": DEVICE,
        "latency/precision": "bf16-mixed",
        "latency/threads": 2,
        "model/uncounted_ops": {"relu": 40},
        "precision": "bf16-mixed",
        "void": "ignore",
        **more,
    }


def write_run(
    place: Path,
    encoder: str = "stdc1",
    fusion: str = "add",
    seed: int = 1,
    state: str = "finished",
    *,
    summary: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    choices: bool = True,
) -> Path:
    """One run directory; what is given is laid over what a training would write."""
    run = RunDirectory(place)
    run.write_config(config_of(encoder, fusion, seed) | dict(config or {}))
    run.write_overrides([f"encoder={encoder}", f"fusion={fusion}", f"seed={seed}"])
    if choices:
        write_json(place / "choices.json", choices_of(encoder, fusion))
    figures = summary_of(encoder, fusion, seed) | dict(summary or {})
    rows = [{**figures, "epoch": n, "step": 4 * n, "val/miou": figures["val/miou"] * s}
            for n, s in ((1, 0.5), (2, 1.0), (3, 0.9))]  # fmt: skip
    run.truncate_metrics(-1)
    for row in rows:
        run.append_metrics({k: v for k, v in row.items() if not isinstance(v, list | dict)})
    run.write_cost({k: v for k, v in figures.items() if k.startswith(("model/", "latency/"))})
    if state == "finished":
        run.write_summary(figures)
    machine = {
        "hostname": socket.gethostname(),
        "cpu": {"model": DEVICE},
        "torch": {"version": "2.15.0", "threads": 2},
        "git": {"commit": "0123456789abcdef", "dirty": False},
    }
    write_json(place / "environment.json", machine | dict(environment or {}))
    told = {
        "state": state,
        "started": f"2026-01-0{seed}T10:00:00+00:00",
        "updated": f"2026-01-0{seed}T10:00:00+00:00",
        "pid": os.getpid(),
        "host": socket.gethostname(),
    }
    write_json(place / "status.json", told | dict(status or {}))
    return place


def write_sweep(
    place: Path,
    encoders: tuple[str, ...] = ("stdc1", "stdc2"),
    fusions: tuple[str, ...] = ("uafm_spatial", "add", "concat"),
    seeds: tuple[int, ...] = (1, 2),
    left: int = 0,
) -> SweepDirectory:
    """A sweep whose jobs have finished, but for the last `left`, which wait."""
    sweep = SweepDirectory(place)
    sweep.write_description({"launcher": {"name": "local", "settings": {}}, "settings": {}})
    grid = [(e, f, s) for e in encoders for f in fusions for s in seeds]
    jobs = sweep.add(
        Planned(
            config_of(encoder, fusion, seed),
            (f"encoder={encoder}", f"fusion={fusion}", f"seed={seed}"),
            choices_of(encoder, fusion),
            {"encoder": encoder, "fusion": fusion, "seed": seed},
        )
        for encoder, fusion, seed in grid
    )
    for job, (encoder, fusion, seed) in list(zip(jobs, grid, strict=True))[: len(jobs) - left]:
        write_run(sweep.place(job), encoder, fusion, seed)
    return sweep


def write_theirs(path: Path, **figures: Any) -> Path:
    """A third-party summary."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures))
    return path
