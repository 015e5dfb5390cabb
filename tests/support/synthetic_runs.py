"""Collections of made-up runs whose figures behave as real ones do, with galleries."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from segscape.data.overlay import gallery_panel
from segscape.report import comparability
from segscape.report.effects import effects
from segscape.report.records import Collection, Run, front_of

CLASSES = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car")
CLASSES += ("pedestrian", "bicyclist")
PALETTE = [(128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (0, 0, 192)]
PALETTE += [(128, 128, 0), (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)]
ENCODERS = {
    "stdc1": (0.00, 4.2, 7.4e6, 9.1e9),
    "stdc2": (0.018, 6.1, 11.2e6, 14.6e9),
    "mobilenet_v3": (-0.02, 3.3, 3.0e6, 3.9e9),
    "efficientnet_lite0": (0.008, 5.0, 4.1e6, 6.2e9),
    "resnet18": (0.012, 5.4, 11.3e6, 18.3e9),
}
FUSIONS = {
    "add": (0.0, 0.3, 0.2e6, 0.8e9),
    "concat": (0.006, 0.6, 0.5e6, 1.9e9),
    "uafm_spatial": (0.014, 0.9, 0.25e6, 1.2e9),
    "bisenet_ffm": (0.01, 1.0, 0.9e6, 2.3e9),
}
CONTEXTS = {"none": (0.0, 0.0, 0.0, 0.0), "sppm": (0.012, 0.5, 0.4e6, 0.3e9)}
_HARD = (0.04, 0.02, -0.22, 0.06, 0.0, 0.03, -0.16, -0.14, 0.04, -0.12, -0.17)


def collection(
    count: int, pictures: Path | None = None, epochs: int = 40, failed: bool = True
) -> Collection:
    """A grid of parts and seeds, the first `count` of them.

    Args:
        count: number of runs.
        pictures: where gallery files are written; None: no galleries.
        epochs: points of each learning curve.
        failed: let some runs fail and some still run.
    """
    grid = list(itertools.product(ENCODERS, FUSIONS, CONTEXTS, range(1, 6)))
    chance = random.Random(7)
    if count < len(grid):
        grid = [grid[round(i * (len(grid) - 1) / max(1, count - 1))] for i in range(count)]
    galleries = _galleries(pictures) if pictures else []
    runs = [
        _run(index, *point, epochs=epochs, chance=chance, gallery=galleries)
        for index, point in enumerate(grid)
    ]
    if failed and count > 20:
        runs[7] = _without(runs[7], "failed", "CUDA out of memory: tried to allocate 2.1 GiB")
        runs[19] = _without(runs[19], "waiting", None)
        runs[11] = replace(runs[11], state="running")
        for index in range(30, min(36, count)):
            told = {**runs[index].environment, "device": "NVIDIA A100-SXM4-80GB"}
            runs[index] = replace(runs[index], environment=told)
    objectives = Collection("", ()).objectives
    made = Collection(f"{count} synthetic runs", runs, objectives, created="2026-11-22T03:04:05Z")
    done = [run for run in runs if run.done]
    found, notes = effects(runs, made.varied(), ["val/miou", "latency/p50_ms", "model/macs"])
    left = len(runs) - len(done)
    return replace(
        made,
        front=front_of(runs, objectives),
        effects=found,
        warnings=[*comparability.warnings(done), *notes],
        missing=[f"{left} of {count} runs are not finished."] if left else [],
    )


def _without(run: Run, state: str, error: str | None) -> Run:
    return replace(run, state=state, error=error, figures={}, curves={}, gallery=())


def _run(
    index: int,
    encoder: str,
    fusion: str,
    context: str,
    seed: int,
    epochs: int,
    chance: random.Random,
    gallery: Sequence[Sequence[str]],
) -> Run:
    parts = {"encoder": ENCODERS[encoder], "fusion": FUSIONS[fusion], "context": CONTEXTS[context]}
    parts["head"] = (0.0, 0.4, 0.08e6, 0.5e9)
    miou = 0.715 + sum(part[0] for part in parts.values()) + chance.gauss(0, 0.004)
    figures = _figures(parts, miou, chance)
    return Run(
        id=f"{index:010x}",
        name=f"{encoder} {fusion} {context} seed={seed}",
        path=f"runs/sweeps/synthetic/jobs/{index:03d}",
        state="finished",
        design=f"{encoder}-{fusion}-{context}",
        seed=seed,
        choices={"model": "ppliteseg", "encoder": encoder, "fusion": fusion, "context": context},
        figures=figures,
        texts={"latency/device": "NVIDIA H100 80GB HBM3"},
        curves=_curves(figures, epochs, chance),
        gallery=gallery[index % len(gallery)] if gallery else (),
        environment={
            "device": "NVIDIA H100 80GB HBM3",
            "threads": "8",
            "backend": "eager",
            "latency batch": "1",
            "latency precision": "bf16",
            "latency size": "1024x2048",
            "input size": "1024x2048",
            "precision": "bf16-mixed",
            "void": "ignore",
            "data": "cityscapes",
            "split": "val",
            "commit": "f0feefa123",
        },
    )


def _figures(
    parts: dict[str, tuple[float, float, float, float]], miou: float, chance: random.Random
) -> dict[str, float]:
    latency = sum(part[1] for part in parts.values()) * chance.uniform(0.97, 1.06)
    figures = {"epoch": 40.0, "step": 14880.0, "val/miou": miou}
    for name, hard in zip(CLASSES, _HARD, strict=True):
        figures[f"val/iou/{name}"] = min(0.99, max(0.0, miou + hard + chance.gauss(0, 0.015)))
    figures |= {"val/boundary_iou": miou - 0.19, "val/pixel_accuracy": 0.2 + miou}
    figures |= {"val/loss": 1.1 - miou, "train/images_per_second": 190 / latency}
    for unit, place in (("params", 2), ("macs", 3)):
        counts = {name: float(round(part[place])) for name, part in parts.items()}
        figures[f"model/{unit}"] = sum(counts.values())
        figures |= {f"model/{unit}/{name}": value for name, value in counts.items()}
    figures |= {"latency/p50_ms": latency, "latency/p90_ms": 1.08 * latency}
    return figures | {"latency/fps": 1000 / latency}


def _curves(
    figures: dict[str, float], epochs: int, chance: random.Random
) -> dict[str, list[float | None]]:
    def rise(end: float, start: float) -> list[float | None]:
        speed = chance.uniform(4, 7)
        points = [end + (start - end) * np.exp(-speed * (e + 1) / epochs) for e in range(epochs)]
        return [float(p + chance.gauss(0, 0.004)) for p in points[:-1]] + [end]

    return {
        "epoch": [float(e + 1) for e in range(epochs)],
        "step": [float(372 * (e + 1)) for e in range(epochs)],
        "val/miou": rise(figures["val/miou"], 0.2),
        "val/boundary_iou": rise(figures["val/boundary_iou"], 0.1),
        "val/loss": rise(figures["val/loss"], 2.2),
        "train/loss": rise(0.9, 5.0),
        **{f"val/iou/{name}": rise(figures[f"val/iou/{name}"], 0.1) for name in CLASSES},
    }


def _galleries(directory: Path, variants: int = 12, samples: int = 3) -> list[list[str]]:
    """Files of some different galleries: the same scenes, predicted better or worse."""
    found = []
    for variant in range(variants):
        files = []
        for sample in range(samples):
            folder = directory / f"gallery{variant}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"val_{sample:05d}.png"
            image, label = _scene(sample)
            Image.fromarray(
                gallery_panel(image, label, _predicted(label, variant), PALETTE, CLASSES)
            ).save(path, compress_level=1)
            files.append(str(path))
        found.append(files)
    return found


def _scene(number: int, height: int = 128, width: int = 256) -> tuple[np.ndarray, np.ndarray]:
    noise = np.random.default_rng(number)
    label = np.full((height, width), 5, np.uint8)
    label[: 45 + 5 * number] = 0
    label[40:80, : 50 + 20 * number] = 1
    label[80:] = 4
    rows, columns = np.mgrid[:height, :width]
    label[(rows > 75) & (abs(columns - 128) < 20 + 1.6 * (rows - 75))] = 3
    label[70:95, 60 + 30 * number : 105 + 30 * number] = 8
    label[62:92, 190 + 10 * number : 200 + 10 * number] = 9
    label[20:85, 230:233] = 2
    image = np.array(PALETTE, np.uint8)[label] // 2 + 60
    return (image + noise.integers(0, 30, image.shape)).astype(np.uint8), label


def _predicted(label: np.ndarray, variant: int) -> np.ndarray:
    """The label, shifted and with blobs of other classes."""
    noise = np.random.default_rng(variant)
    found = np.roll(label, variant // 3, axis=1).copy()
    for _ in range(2 + 2 * variant):
        y, x = noise.integers(0, label.shape[0] - 12), noise.integers(0, label.shape[1] - 16)
        found[y : y + noise.integers(3, 12), x : x + noise.integers(3, 16)] = noise.integers(0, 11)
    return found
