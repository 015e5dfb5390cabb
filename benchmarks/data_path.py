"""Training samples per second and worker: ours against the usual ways of doing the same recipe.

    python benchmarks/data_path.py
    python benchmarks/data_path.py --images 32 --seconds 8 --rounds 5

Street scenes are written as PNG of 2048x1024 with label ids, in the layout of Cityscapes, with a
camera's noise so that they compress like photographs. The recipe is that of PP-LiteSeg: scale 0.125
to 1.5 in steps of 0.125, crop 1024x512, horizontal flip, brightness, contrast, saturation and hue
with probability 0.5 each; normalisation belongs to the device in ours and is done on the CPU by the
peers, as they do. One worker process serves batches of 4 through torch's DataLoader.

Decoders are timed separately, in one process: image and label, nothing else. `ours / fastest
decoder` above 1 means that a sample costs less than decoding its files, since rows below the crop
are not decoded. All take turns, so that a machine that slows down meets all; figures are medians of
the rounds. Files are in the page cache: this is about the processor, not about the disk.

The peers: `resize, then crop` is what mmsegmentation and PaddleSeg do with OpenCV; torchvision's
transforms v2 and albumentations (skipped where it is not installed) do it with their own operators.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from segscape.data.datasets.cityscapes import LABELS, Cityscapes
from segscape.data.datasets.streets.render import render
from segscape.data.loader import prepare_worker
from segscape.data.transforms import TrainTransform

CROP = (512, 1024)
SCALES = np.arange(1, 13) * 0.125
BATCH = 4
COPIES = 8
# streets' classes (those of CamVid) as label ids of Cityscapes; void is id 0
IDS = np.zeros(256, np.uint8)
IDS[:11] = [23, 11, 17, 7, 8, 21, 20, 13, 26, 24, 33]
TRAIN_IDS = np.full(256, 255, np.uint8)
TRAIN_IDS[[label for _, label, _ in LABELS]] = range(len(LABELS))
MEAN = STD = np.full(3, 127.5, np.float32)


def write_scenes(root: Path, count: int) -> list[tuple[Path, Path]]:
    """Scenes as PNG files in the layout of Cityscapes, train and val the same."""
    pairs = []
    for index in range(count):
        sample = render(7, index, (1024, 2048))
        noise = np.random.default_rng(index).normal(0, 2.5, sample.image.shape)
        image = np.clip(sample.image + noise, 0, 255).astype(np.uint8)
        stem = f"town_{index:06}_000019"
        paths = (
            root / "leftImg8bit" / "train" / "town" / f"{stem}_leftImg8bit.png",
            root / "gtFine" / "train" / "town" / f"{stem}_gtFine_labelIds.png",
        )
        for path, pixels in zip(
            paths, (cv2.cvtColor(image, cv2.COLOR_RGB2BGR), IDS[sample.label]), strict=True
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), pixels)
        pairs.append(paths)
        # More names for the same files: an epoch long enough that its ends do not count.
        for again in range(1, COPIES):
            for path in paths:
                name = path.name.replace("town_", f"town{again}_")
                path.with_name(name).hardlink_to(path)
    return pairs


def decoders() -> dict[str, Callable[[bytes], Any]]:
    """Ways of decoding a PNG file, by name."""
    found: dict[str, Callable[[bytes], Any]] = {
        "OpenCV": lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED),
        "Pillow": lambda data: np.asarray(Image.open(_stream(data))),
    }
    try:
        import imagecodecs
    except ImportError:
        return found
    return found | {
        "imagecodecs (libpng)": imagecodecs.png_decode,
        "imagecodecs (libspng)": imagecodecs.spng_decode,
    }


def _stream(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


class Peer(Dataset):
    """One way of making training samples out of a pair of files."""

    def __init__(self, pairs: list[tuple[Path, Path]], make: Callable[..., Any]) -> None:
        self.pairs = pairs
        self.make = make

    def __getitem__(self, key: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng(key)
        image_path, label_path = self.pairs[key % len(self.pairs)]
        return self.make(image_path, label_path, rng)

    def __len__(self) -> int:
        return 1 << 20


def resize_then_crop(image_path: Path, label_path: Path, rng: np.random.Generator) -> Any:
    """The whole image resized, padded, cropped, flipped, jittered, normalised."""
    image = cv2.cvtColor(cv2.imread(str(image_path)), cv2.COLOR_BGR2RGB)
    label = TRAIN_IDS[cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)]
    scale = float(rng.choice(SCALES))
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    down, right = (max(c - s, 0) for c, s in zip(CROP, label.shape, strict=True))
    if down or right:
        border = (0, down, 0, right, cv2.BORDER_CONSTANT)
        image = cv2.copyMakeBorder(image, *border, value=(127.5,) * 3)
        label = cv2.copyMakeBorder(label, *border, value=(255,))
    top, left = (int(rng.integers(s - c + 1)) for s, c in zip(label.shape, CROP, strict=True))
    image = image[top : top + CROP[0], left : left + CROP[1]]
    label = label[top : top + CROP[0], left : left + CROP[1]]
    if rng.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    image = _jitter_in_float(np.ascontiguousarray(image), rng)
    image = (image.astype(np.float32) - MEAN) / STD
    return torch.from_numpy(image.transpose(2, 0, 1).copy()), torch.from_numpy(label.astype("i8"))


def _jitter_in_float(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation blended in float, hue in HSV."""
    for operation in rng.permutation(4):
        if rng.random() < 0.5:
            continue
        factor = float(rng.uniform(0.5, 1.5))
        if operation == 3:
            hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
            shift = int(rng.integers(-18, 19))
            hsv[..., 0] = (hsv[..., 0].astype(np.int16) + shift) % 180
            image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
            continue
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        other: Any = (0.0, float(grey.mean()), grey[..., None])[operation]
        blended = image.astype(np.float32) * factor + (1 - factor) * other
        image = np.clip(blended, 0, 255).astype(np.uint8)
    return image


class TorchvisionV2:
    """The recipe in torchvision's transforms v2, on tensors."""

    def __init__(self) -> None:
        from torchvision.transforms import v2

        self.v2 = v2
        jitter = {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5, "hue": 0.07}
        self.after = v2.Compose(
            [
                v2.RandomCrop(CROP, pad_if_needed=True, fill={"image": 127, "mask": 255}),
                v2.RandomHorizontalFlip(),
                *(v2.RandomApply([v2.ColorJitter(**{k: v})]) for k, v in jitter.items()),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.5] * 3, [0.5] * 3),
            ]
        )

    def __call__(self, image_path: Path, label_path: Path, rng: np.random.Generator) -> Any:
        """One training sample."""
        from torchvision import tv_tensors
        from torchvision.io import ImageReadMode, read_file
        from torchvision.io import decode_png as decode

        torch.manual_seed(int(rng.integers(1 << 31)))
        image = decode(read_file(str(image_path)), ImageReadMode.RGB)
        label = torch.from_numpy(TRAIN_IDS)[decode(read_file(str(label_path))).long()]
        scale = float(rng.choice(SCALES))
        size = [round(image.shape[1] * scale), round(image.shape[2] * scale)]
        functional = self.v2.functional
        image = functional.resize(image, size, antialias=False)
        label = functional.resize(label, size, interpolation=self.v2.InterpolationMode.NEAREST)
        # Crops of images and masks are drawn together by the types of their tensors.
        image, label = self._cropped(tv_tensors.Image(image), tv_tensors.Mask(label))
        return image, label[0].long()

    def _cropped(self, image: Any, label: Any) -> Any:
        from torchvision import tv_tensors

        down, right = (max(c - s, 0) for c, s in zip(CROP, image.shape[1:], strict=True))
        if down or right:
            pad = self.v2.functional.pad
            image = tv_tensors.Image(pad(image, [0, 0, right, down], fill=127))
            label = tv_tensors.Mask(pad(label, [0, 0, right, down], fill=255))
        self.after.transforms[0] = self.v2.RandomCrop(CROP)
        return self.after(image, label)


def albumentations_recipe() -> Callable[..., Any] | None:
    """The recipe in albumentations, None when it is not installed."""
    try:
        import albumentations
    except ImportError:
        return None
    a = albumentations
    transform = a.Compose(
        [
            a.PadIfNeeded(*CROP, position="top_left", border_mode=0, fill=127, fill_mask=255),
            a.RandomCrop(*CROP),
            a.HorizontalFlip(p=0.5),
            a.ColorJitter((0.5, 1.5), (0.5, 1.5), (0.5, 1.5), (-0.07, 0.07), p=0.94),
            a.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )

    def make(image_path: Path, label_path: Path, rng: np.random.Generator) -> Any:
        transform.set_random_seed(int(rng.integers(1 << 31)))
        image = cv2.cvtColor(cv2.imread(str(image_path)), cv2.COLOR_BGR2RGB)
        label = TRAIN_IDS[cv2.imread(str(label_path), cv2.IMREAD_UNCHANGED)]
        scale = float(rng.choice(SCALES))
        size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
        done = transform(
            image=cv2.resize(image, size, interpolation=cv2.INTER_LINEAR),
            mask=cv2.resize(label, size, interpolation=cv2.INTER_NEAREST),
        )
        image = done["image"].transpose(2, 0, 1).copy()
        return torch.from_numpy(image), torch.from_numpy(done["mask"].astype("i8"))

    return make


def ours(root: Path, cache: str, cache_dir: Path) -> Iterator[Any]:
    """Endless batches of the framework's own loader."""
    augment = TrainTransform(CROP, scale=(0.125, 1.5), scale_step=0.125, hue=25.3)
    module = Cityscapes(
        str(root),
        batch_size=BATCH,
        num_workers=1,
        augment=augment,
        cache=cache,
        cache_dir=str(cache_dir),
    )
    loader = module.train_dataloader()
    while True:
        yield from loader


def peer(dataset: Dataset) -> Iterator[Any]:
    """Endless batches of a peer."""
    return iter(
        DataLoader(
            dataset,
            batch_size=BATCH,
            num_workers=1,
            prefetch_factor=4,
            worker_init_fn=prepare_worker,
        )
    )


def rate_of(batches: Iterator[Any], seconds: float) -> float:
    """Samples per second; what was prepared before the clock started does not count."""
    for _ in range(5):
        next(batches)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        next(batches)
        count += BATCH
    return count / (time.perf_counter() - start)


def rate_of_decoder(
    decode: Callable[[bytes], Any], files: list[tuple[bytes, bytes]], seconds: float
) -> float:
    """Pairs of image and label per second in this process."""
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for data in files[count % len(files)]:
            decode(data)
        count += 1
    return count / (time.perf_counter() - start)


def measure(folder: Path, images: int, seconds: float, rounds: int) -> dict[str, list[float]]:
    """Samples per second of every way, one figure a round."""
    pairs = write_scenes(folder, images)
    files = [(image.read_bytes(), label.read_bytes()) for image, label in pairs]
    ways: dict[str, Callable[[], Iterator[Any]]] = {
        f"segscape, cache={cache}": lambda cache=cache: ours(folder, cache, folder / "cache")
        for cache in ("none", "memory", "disk")
    }
    peers: dict[str, Any] = {
        "resize, then crop (OpenCV)": resize_then_crop,
        "torchvision v2": TorchvisionV2(),
        "albumentations": albumentations_recipe(),
    }
    for name, make in peers.items():
        if make is not None:
            ways[name] = lambda make=make: peer(Peer(pairs, make))
    found: dict[str, list[float]] = {}
    for turn in range(rounds):
        for name, decode in decoders().items():
            found.setdefault(name, []).append(rate_of_decoder(decode, files, seconds / 2))
        for name, start in ways.items():
            batches = start()
            # The first pass fills a cache; the one in memory ends with its loader.
            if "cache=memory" in name or (turn == 0 and "cache=disk" in name):
                for _ in range(images * COPIES // BATCH + 1):
                    next(batches)
            found.setdefault(name, []).append(rate_of(batches, seconds))
            del batches
    return found


def main() -> None:
    """Print the rates and the two ratios that matter."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=16, help="scenes to write (default 16)")
    parser.add_argument("--seconds", type=float, default=6.0, help="per way and round (default 6)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every way (default 3)")
    parser.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_args()
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.images, given.seconds, given.rounds)
    middle = {name: statistics.median(rates) for name, rates in found.items()}
    fastest = max(middle[name] for name in decoders())
    rivals = [name for name in middle if not name.startswith("segscape") and name not in decoders()]
    best = max(middle[name] for name in rivals)
    if given.json:
        print(json.dumps({"samples_per_second": found}, indent=2))
        return
    table = Table("way", "samples/s", "range", "to fastest decoder", "to best peer")
    for name, rate in middle.items():
        spread = f"{min(found[name]):.1f} to {max(found[name]):.1f}"
        relative = f"{rate / fastest:.2f}", f"{rate / best:.2f}"
        table.add_row(name, f"{rate:.1f}", spread, *relative)
    Console().print(table)


if __name__ == "__main__":
    main()
