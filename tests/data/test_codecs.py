"""Readers of images and labels: what they return, and how damaged files are named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from miniature import ids, picture, save
from PIL import Image

from segscape.data.base import ColourMap, LabelMap
from segscape.data.codecs import read_colours, read_image, read_label
from segscape.errors import UserError


def test_image_is_rgb(tmp_path: Path) -> None:
    image = picture(1)
    path = save(tmp_path / "straße mit blank.png", image)
    np.testing.assert_array_equal(read_image(path), image)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA"])
def test_any_image_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(picture(2)).convert(mode).save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    # Smooth enough that a cut JPEG still decodes to something in OpenCV.
    Image.fromarray(picture(3)).resize((300, 200)).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_truncated_image_is_named(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / "cut.img"
    data = encoded(kind)
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(UserError, match=r"cut\.img: .*(damaged|cut short|not an image)"):
        read_image(path)


def test_whole_jpeg_with_bytes_after_its_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trailer.jpg"
    path.write_bytes(encoded("JPEG") + b"\0" * 32)
    assert read_image(path).shape == (200, 300, 3)


@pytest.mark.parametrize("read", [read_image, read_label, read_colours])
def test_missing_empty_and_other_files_are_named(tmp_path: Path, read) -> None:
    with pytest.raises(UserError, match=r"gone\.png: the file does not exist"):
        read(tmp_path / "gone.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError, match=r"empty\.png: the file is empty"):
        read(tmp_path / "empty.png")
    (tmp_path / "text.png").write_text("no picture " * 10)
    with pytest.raises(UserError, match=r"text\.png: is not an image"):
        read(tmp_path / "text.png")
    with pytest.raises(UserError, match=r"cannot be read"):
        read(tmp_path)


def test_label_grey_and_palette_give_ids(tmp_path: Path) -> None:
    label = ids(4)
    np.testing.assert_array_equal(read_label(save(tmp_path / "grey.png", label)), label)
    indexed = Image.fromarray(label, mode="P")
    indexed.putpalette([255 - i for i in range(36)])
    indexed.save(tmp_path / "palette.png")
    assert Image.open(tmp_path / "palette.png").mode == "P"
    np.testing.assert_array_equal(read_label(tmp_path / "palette.png"), label)


def test_label_of_one_bit_is_not_stretched(tmp_path: Path) -> None:
    label = ids(5, count=2)
    Image.fromarray(label.astype(bool)).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_label(tmp_path / "bits.png"), label)


def test_truncated_label_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "label.png", ids(6))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UserError, match=r"label\.png: .*(damaged|cut short)"):
        read_label(path)


def test_unfit_labels_are_refused_with_the_reason(tmp_path: Path) -> None:
    save(tmp_path / "deep.png", ids(7).astype(np.uint16) * 256)
    with pytest.raises(UserError, match=r"deep\.png: the label has 16 bits"):
        read_label(tmp_path / "deep.png")
    save(tmp_path / "colour.png", picture(8))
    with pytest.raises(UserError, match=r"colour\.png: the label is a colour image"):
        read_label(tmp_path / "colour.png")
    save(tmp_path / "lossy.jpg", ids(9))
    with pytest.raises(UserError, match=r"lossy\.jpg: the label is a JPEG"):
        read_label(tmp_path / "lossy.jpg")
    save(tmp_path / "grey.png", ids(10))
    with pytest.raises(UserError, match=r"grey\.png: the label has one channel"):
        read_colours(tmp_path / "grey.png")


def test_label_map_translates_and_names_unknown_ids() -> None:
    translate = LabelMap({0: 255, 7: 0, 8: 1})
    label = np.array([[0, 7], [8, 255]], np.uint8)
    np.testing.assert_array_equal(translate(label, "f"), [[255, 0], [1, 255]])
    with pytest.raises(
        UserError,
        match=r"street\.png: label id 9, 200 is not known \(.* pixels\)\n.*0, 7\.\.8, 255",
    ):
        translate(np.array([[9, 200, 7]], np.uint8), "street.png")


def test_colour_map_decodes_exactly_and_names_unknown_colours() -> None:
    decode = ColourMap({(1, 2, 3): 4, (3, 2, 1): 5, (0, 0, 0): 255})
    colours = np.array([[[1, 2, 3], [3, 2, 1], [0, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(decode(colours, "f"), [[4, 5, 255]])
    colours[0, 0] = (1, 2, 4)
    with pytest.raises(UserError, match=r"l\.png: label colour \(1, 2, 4\) is not known"):
        decode(colours, "l.png")
