import numpy as np
import pytest
from PIL import Image

from segscape.errors import UserError
from segscape.inference.images import expand, read_image


@pytest.fixture
def street(tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)).save(path)
    return path


def test_reads_rgb(street):
    np.testing.assert_array_equal(read_image(street), np.arange(24).reshape(2, 4, 3))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_other_modes_become_rgb(street, tmp_path, mode):
    path = tmp_path / "other.tif" if mode == "CMYK" else tmp_path / "other.png"
    Image.open(street).convert(mode).save(path)
    image = read_image(path)
    assert image.shape == (2, 4, 3)
    assert image.dtype == np.uint8


def test_16_bits_are_scaled_not_cut_off(tmp_path):
    path = tmp_path / "deep.png"
    Image.fromarray(np.array([[0, 256 * 100, 65535]], np.uint16)).save(path)
    np.testing.assert_array_equal(read_image(path)[0, :, 0], [0, 100, 255])


def test_exif_orientation_is_applied(street, tmp_path):
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.open(street).save(path, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(read_image(street), -1))


def test_a_missing_file_names_the_nearest(street):
    with pytest.raises(UserError, match=r"stret\.png[\s\S]*did you mean .*street\.png"):
        read_image(street.with_name("stret.png"))
    with pytest.raises(UserError, match="does not exist either"):
        read_image(street.parent / "nowhere" / "street.png")


def test_what_is_no_image_is_named(street, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    with pytest.raises(UserError, match=r"notes\.txt is not an image"):
        read_image(text)
    with pytest.raises(UserError, match="is a directory"):
        read_image(tmp_path)
    half = tmp_path / "half.png"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(half)
    half.write_bytes(half.read_bytes()[:4000])
    with pytest.raises(UserError, match=r"cannot read the image .*half\.png"):
        read_image(half)


def test_directories_expand_to_their_images_each_once(street, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    second = tmp_path / "a.JPG"
    Image.open(street).save(second, "jpeg")
    assert expand([street, tmp_path]) == [street, second]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="no image in the directory"):
        expand([empty])
    with pytest.raises(UserError, match="no image was given"):
        expand([])
