"""From an image to its class map."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from segscape.data.overlay import colorize, distinct_colours, overlay
from segscape.errors import UserError
from segscape.inference import images
from segscape.models.segmenter import Segmenter

NO_CLASS = 255


class Predictable(Protocol):
    """What the predictor needs of a model: see `segscape.models.segmenter.Segmenter`."""

    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]

    def normalize(self, images: Tensor) -> Tensor:
        """Turn uint8 (B, 3, H, W) into the network's input."""

    def __call__(self, image: Tensor) -> Tensor:
        """Logits (B, classes, H, W)."""


class Model(Segmenter):
    """A network that segments images of any size and file format; otherwise a `Segmenter`."""

    def predict(self, image: str | Path | np.ndarray | Image.Image) -> Prediction:
        """The classes of one image, see `predict` of this module."""
        return predict(self, image)


@dataclass(frozen=True)
class Prediction:
    """The class map of one image.

    Attributes:
        mask: (H, W) uint8 class ids, at the size of the image; 255 where the network predicts that
            it is none of its classes (see `extra_outputs` of `Segmenter`).
        classes: names of the ids; may be empty.
        palette: RGB colours of the ids; generated where the model has none.
        image: (H, W, 3) uint8, RGB: the input.
    """

    mask: np.ndarray
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    image: np.ndarray = field(repr=False)

    def colors(self) -> np.ndarray:
        """The class map in its colours, (H, W, 3) uint8 RGB."""
        return colorize(self.mask, self.palette)

    def overlay(self, alpha: float = 0.5, contour: bool = True) -> np.ndarray:
        """The colours over the image, (H, W, 3) uint8 RGB; see `overlay.overlay`."""
        return overlay(self.image, self.mask, self.palette, alpha, contour)

    def fractions(self) -> dict[str, float]:
        """Share of the pixels by class name, 0..1, in the order of the ids."""
        counts = np.bincount(self.mask[self.mask != NO_CLASS], minlength=len(self.classes))
        names = list(self.classes) + [f"class {i}" for i in range(len(self.classes), len(counts))]
        return {name: float(n) / self.mask.size for name, n in zip(names, counts, strict=True)}

    def save(self, directory: str | Path, stem: str) -> tuple[Path, Path]:
        """Write `STEM_mask.png` and `STEM_overlay.png`.

        The mask is a palette image: its values are the class ids, and viewers show the colours.

        Args:
            directory: made when missing.
            stem: how the files' names begin.

        Returns:
            The two files.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        mask = directory / f"{stem}_mask.png"
        shown = directory / f"{stem}_overlay.png"
        picture = Image.fromarray(self.mask)
        colours = np.zeros((256 if self.mask.max() == NO_CLASS else len(self.palette), 3), np.uint8)
        colours[: len(self.palette)] = self.palette
        picture.putpalette(colours.tobytes())
        picture.save(mask)
        # Level 1: an overlay does not compress well anyway, and level 6 takes four times as long.
        Image.fromarray(self.overlay()).save(shown, compress_level=1)
        return mask, shown


def predict(model: Predictable, image: str | Path | np.ndarray | Image.Image) -> Prediction:
    """Segment one whole image on the device of the model.

    Args:
        model: a `Segmenter`; its training mode is restored afterwards.
        image: a file, a PIL image, or an array (H, W, 3) uint8 RGB.

    Returns:
        The class map at the image's size.

    Raises:
        UserError: the image cannot be read or is not what the model takes.
    """
    assert isinstance(model, nn.Module)
    picture = _as_array(image)
    first = next(model.parameters(), torch.zeros(()))
    batch = torch.from_numpy(picture).permute(2, 0, 1)[None]  # channels last in memory already
    with _evaluating(model), torch.inference_mode():
        x = model.normalize(batch.to(first.device))
        logits = model(x.to(first.dtype) if first.is_floating_point() else x)
        if logits.shape[-2:] != picture.shape[:2]:
            logits = functional.interpolate(
                logits, picture.shape[:2], mode="bilinear", align_corners=False
            )
        assert logits.shape[1] <= 255, "class ids must fit into 8 bits beside 255, the ignored one"
        count = logits.shape[1] - int(getattr(model, "extra_outputs", 0))
        mask = logits[0].argmax(0).to(torch.uint8).cpu().numpy()
        mask[mask >= count] = NO_CLASS
    palette = [*model.palette, *distinct_colours(count)[len(model.palette) :]]
    return Prediction(mask, tuple(model.classes), tuple(palette), picture)


def predict_files(
    model: Predictable, paths: Sequence[str | Path], out_dir: str | Path
) -> list[Path]:
    """Segment image files and write their class maps and overlays.

    All inputs are checked before the first image is segmented.

    Args:
        model: a `Segmenter`.
        paths: image files, and directories of images.
        out_dir: made when missing. Files are named by the images' stems; where two images share
            one, by as much of their directories as makes them unique.

    Returns:
        The files written, two for each image.

    Raises:
        UserError: an input is missing or no image, or `out_dir` is one of the input directories.
    """
    target = Path(out_dir)
    _check_target(target, paths)
    files = images.expand(paths)
    for path in files:
        images.check_image(path)
    written: list[Path] = []
    for path, stem in zip(files, output_stems(files), strict=True):
        written.extend(predict(model, path).save(target, stem))
    return written


def output_stems(files: Sequence[Path]) -> list[str]:
    """Distinct names for the outputs of files, as short as they can be.

    Names that differ only in case count as the same: some file systems hold them for one.
    """
    full = [path.absolute() for path in files]
    names = [path.stem for path in files]
    for level in range(1, 2 * max((len(path.parts) for path in full), default=0)):
        taken = Counter(name.casefold() for name in names)
        for i, path in enumerate(full):
            if taken[names[i].casefold()] > 1:
                names[i] = _longer_name(path, level)
    used: set[str] = set()
    for i, name in enumerate(names):
        number = 1
        while names[i].casefold() in used:
            number += 1
            names[i] = f"{name}_{number}"
        used.add(names[i].casefold())
    return names


def _longer_name(path: Path, level: int) -> str:
    """Level 1: stem and suffix; 2: a directory and the stem; 3: a directory, stem, suffix; ..."""
    depth = level // 2
    directories = path.parts[1:-1][-depth:] if depth else ()
    last = path.name.replace(".", "_") if level % 2 else path.stem
    return "_".join([*directories, last])


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the context; every module then gets back its own mode.

    `model.train()` would also put frozen batch norms into training mode.
    """
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _as_array(image: str | Path | np.ndarray | Image.Image) -> np.ndarray:
    if isinstance(image, (str, Path)):
        return images.read_image(image)
    if isinstance(image, Image.Image):
        return images.to_rgb(image)
    if not isinstance(image, np.ndarray):
        raise UserError(
            f"an image is a file, a PIL image or a numpy array, not {type(image).__name__}"
        )
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise UserError(
            f"an image array is (H, W, 3) uint8 RGB, this one is {image.shape} {image.dtype}",
            "for a float image in 0..1: (image * 255).round().astype(numpy.uint8)",
        )
    return np.ascontiguousarray(image)


def _check_target(target: Path, paths: Sequence[str | Path]) -> None:
    if target.exists() and not target.is_dir():
        raise UserError(f"the output {target} is a file, not a directory")
    if any(Path(path).is_dir() and Path(path).resolve() == target.resolve() for path in paths):
        raise UserError(
            f"the output directory {target} is also an input",
            "the next run would segment its own results: choose another one",
        )
