import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from segscape.errors import UserError
from segscape.inference.predictor import output_stems, predict, predict_files

COLOURS = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)


class Reddest(nn.Module):
    """Class = the strongest of red, green, blue, by a batch norm with known statistics."""

    classes = ("red", "green", "blue")
    palette = ((128, 0, 0), (0, 128, 0), (0, 0, 128))

    def __init__(self, stride=1):
        super().__init__()
        self.norm = nn.BatchNorm2d(3, eps=0)
        self.frozen = nn.BatchNorm2d(3).eval()
        self.stride = stride
        self.seen = []

    def normalize(self, images):
        assert images.dtype == torch.uint8
        return images.float() / 255

    def forward(self, x):
        assert not torch.is_grad_enabled()
        self.seen.append(x)
        return self.norm(x)[..., :: self.stride, :: self.stride]


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return COLOURS[rng.integers(0, 3, (5, 8))]


@pytest.fixture
def model():
    return Reddest()


def test_the_class_map_of_an_array_a_file_and_a_pil_image(model, image, tmp_path):
    path = tmp_path / "street.png"
    Image.fromarray(image).save(path)
    for given in (image, path, str(path), Image.fromarray(image), image[::-1][::-1]):
        found = predict(model, given)
        assert found.mask.dtype == np.uint8
        np.testing.assert_array_equal(found.mask, image.argmax(2))
        np.testing.assert_array_equal(found.image, image)
    assert found.classes == model.classes
    assert model.seen[0].shape == (1, 3, 5, 8)


def test_evaluates_and_gives_back_every_mode(model, image):
    model.train()
    model.frozen.eval()
    predict(model, image)
    assert model.norm.num_batches_tracked == 0
    assert (model.training, model.norm.training, model.frozen.training) == (True, True, False)


def test_modes_come_back_after_an_error(model, image):
    model.train()
    model.normalize = None
    with pytest.raises(TypeError):
        predict(model, image)
    assert model.norm.training


def test_smaller_logits_are_resized_to_the_image():
    image = np.repeat(np.repeat(COLOURS[[[0, 1], [2, 0]]], 8, 0), 8, 1)
    mask = predict(Reddest(stride=4), image).mask
    assert mask.shape == (16, 16)
    assert (mask[:4, :4] == 0).all()
    assert (mask[:4, 12:] == 1).all()


def test_runs_in_the_precision_of_the_model(model, image):
    found = predict(model.to(torch.bfloat16), image)
    np.testing.assert_array_equal(found.mask, image.argmax(2))


def test_fractions_and_pictures(model, image):
    found = predict(model, image)
    counts = [(found.mask == i).mean() for i in range(3)]
    assert found.fractions() == dict(zip(model.classes, counts, strict=True))
    np.testing.assert_array_equal(found.colors(), np.array(model.palette)[found.mask])
    assert found.overlay().shape == image.shape


def test_a_model_without_names_and_colours_still_shows_something(model, image, tmp_path):
    model.classes = model.palette = ()
    found = predict(model, image)
    assert len(set(found.palette)) == 3
    assert list(found.fractions()) == [f"class {i}" for i in range(1 + found.mask.max())]
    assert (found.overlay(contour=False) != image).any(axis=2).all()
    with Image.open(found.save(tmp_path, "x")[0]) as picture:
        np.testing.assert_array_equal(np.array(picture.convert("RGB")), found.colors())


def test_saved_masks_hold_ids_and_show_colours(model, image, tmp_path):
    found = predict(model, image)
    mask, shown = found.save(tmp_path / "new" / "out", "street")
    assert (mask.name, shown.name) == ("street_mask.png", "street_overlay.png")
    with Image.open(mask) as picture:
        assert picture.mode == "P"
        np.testing.assert_array_equal(np.array(picture), found.mask)
        np.testing.assert_array_equal(np.array(picture.convert("RGB")), found.colors())
    np.testing.assert_array_equal(np.array(Image.open(shown)), found.overlay())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((4, 4), np.uint8), r"\(4, 4\) uint8"),
        (np.zeros((3, 4, 4), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (torch.zeros(3, 4, 4), "not Tensor"),
    ],
)
def test_other_inputs_are_refused(model, wrong, message):
    with pytest.raises(UserError, match=message):
        predict(model, wrong)


def test_files_of_one_name_get_outputs_of_their_own(model, image, tmp_path):
    paths = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "y.png"]
    for shift, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(np.roll(image, shift, 1)).save(path)
    out = tmp_path / "out"
    written = predict_files(model, [tmp_path / "a", paths[1], paths[2], paths[2]], out)
    assert [path.name for path in written[::2]] == ["a_x_mask.png", "b_x_mask.png", "y_mask.png"]
    assert sorted(out.iterdir()) == sorted(written)
    for shift, path in enumerate(written[::2]):
        wanted = np.roll(image, shift, 1).argmax(2)
        np.testing.assert_array_equal(np.array(Image.open(path)), wanted)


def test_names_are_as_short_as_they_can_be(tmp_path):
    def stems(*names):
        return output_stems([tmp_path / name for name in names])

    assert stems("a/x.jpg", "a/x.png") == ["x_jpg", "x_png"]
    assert stems("a/x.jpg", "a/y.jpg") == ["x", "y"]
    assert stems("p/a/x.jpg", "q/a/x.jpg", "a/x.png") == ["p_a_x", "q_a_x", "x_png"]
    assert stems("a/X.jpg", "b/x.jpg") == ["a_X", "b_x"]
    for names in (["a_b/c.jpg", "a/b_c.jpg"], ["a/b_c.jpg", "a_b/c.jpg", "d/c.jpg", "e/b_c.jpg"]):
        assert len(set(stems(*names))) == len(names)


def test_nothing_is_written_when_an_input_is_wrong(model, image, tmp_path):
    good = tmp_path / "x.png"
    Image.fromarray(image).save(good)
    with pytest.raises(UserError, match="did you mean"):
        predict_files(model, [good, tmp_path / "xx.png"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match="also an input"):
        predict_files(model, [tmp_path], tmp_path)
    with pytest.raises(UserError, match="is a file"):
        predict_files(model, [good], good)
    assert list(tmp_path.iterdir()) == [good]
