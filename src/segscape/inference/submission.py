"""Predictions of a split for the test server of a data set: PNG files with its label ids."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from segscape.data.base import FileDataset
from segscape.data.datasets.official_download import OfficialDataModule
from segscape.errors import UserError
from segscape.inference.predictor import Predictable, predict


def write_submission(
    model: Predictable, data: OfficialDataModule, split: str, out_dir: str | Path
) -> list[Path]:
    """Segment every image of a split and write the ids of the label files.

    Cityscapes: label ids, not training ids. ADE20K: 1..150. COCO-Stuff: as in its labels. The
    labels of the split are not read, and need not be public.

    Args:
        model: a `Segmenter` with the classes of the data set.
        data: the data set.
        split: train, val or test.
        out_dir: made when missing; files are named by the samples.

    Returns:
        The files written, grey PNG at the size of the images.

    Raises:
        UserError: the model has other classes, or an image cannot be read.
    """
    if tuple(model.classes) != data.classes:
        raise UserError(
            f"the model has {len(model.classes)} classes, which are not the "
            f"{data.num_classes} of data={data.name}",
            "choose the data set that the model was trained on",
        )
    target = Path(out_dir)
    if target.exists() and not target.is_dir():
        raise UserError(f"the output {target} is a file, not a directory")
    dataset = data.build_dataset(split)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for index in range(len(dataset)):
        if isinstance(dataset, FileDataset):  # the label is not read
            image = dataset.image(index)
        else:
            image = dataset.read(index).image
        path = target / f"{dataset.name(index)}.png"
        Image.fromarray(data.to_submission(predict(model, image).mask)).save(path)
        written.append(path)
    return written
