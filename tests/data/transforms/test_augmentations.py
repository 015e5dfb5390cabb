"""Every option of the augmentation against its description."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from omegaconf import OmegaConf

from segscape import build
from segscape.config import composing, files
from segscape.data.base import Sample, WholeSample
from segscape.data.transforms import (
    Scaling,
    TrainTransform,
    for_classes,
)
from segscape.data.transforms.geometry import Axis
from segscape.errors import UserError

GEOMETRY: dict[str, dict[str, Any]] = {
    "plain": {},
    "grid": {"scale": (0.25, 1.5), "scale_step": 0.125},
    "log_uniform": {"scale": (0.3, 1.5), "scale_draw": "log_uniform"},
    "short_side": {"short_side": 80, "long_side": 100},
    "enlarge": {"scale": (0.2, 0.9), "small": "enlarge"},
    "rotation": {"rotation": 10.0, "rotation_probability": 1.0},
    "antialias": {"scale": (0.2, 1.0), "antialias": True},
    "turned_antialias": {"scale": (0.2, 1.0), "antialias": True, "rotation": 45.0},
    "category": {"max_class_share": 0.4},
    "rare": {"rare_probability": 1.0},
    "rare_turned": {"rare_probability": 1.0, "rare_classes": [1, 2], "rotation": 20.0},
    "cutmix": {"mix": "cutmix", "mix_probability": 1.0},
    "classmix": {"mix": "classmix", "mix_probability": 1.0},
    "copy_paste": {"mix": "copy_paste", "mix_probability": 1.0},
    "mosaic": {"mix": "mosaic", "mix_probability": 1.0, "rotation": 10.0},
}
COLOUR: dict[str, dict[str, Any]] = {
    "paddleseg": {"colour": "paddleseg"},
    "stdc": {"colour": "stdc"},
    "mmseg": {"colour": "mmseg"},
    "blur": {"colour": "none", "blur": 1.0, "blur_kernel": 11, "blur_sigma": (0.15, 1.3)},
}
EACH = {**GEOMETRY, **COLOUR}


def patches(seed: int = 0, height: int = 144, width: int = 192) -> tuple[np.ndarray, np.ndarray]:
    """A label of patches, and the picture of it: 30 grey levels per class."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 8, (height // 16 + 1, width // 16 + 1))
    label = np.kron(small, np.ones((16, 16)))[:height, :width].astype(np.uint8)
    return np.repeat((label * 30)[..., None], 3, axis=2), label


@pytest.mark.parametrize("name", EACH)
def test_results_are_arrays_of_the_crop_and_depend_on_the_generator_only(name: str) -> None:
    image, label = patches()
    image += np.random.default_rng(1).integers(0, 9, image.shape, dtype=np.uint8)
    label[:8] = 255
    before = image.copy(), label.copy()
    for arrays in ((image, label), (image[:40, :50], label[:40, :50])):
        transform = TrainTransform((64, 72), **EACH[name])
        results = [transform(*arrays, np.random.default_rng(seed)) for seed in (3, 3, 4)]
        for got, ids in results:
            assert got.shape == (64, 72, 3) and got.dtype == np.uint8 and got.flags.c_contiguous
            assert ids.shape == (64, 72) and ids.dtype == np.uint8 and ids.flags.c_contiguous
            assert set(np.unique(ids)) <= {*np.unique(arrays[1]), 255}
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])
        assert (results[0][0] != results[2][0]).any()
        # what is done with the result must not reach the source
        results[0][0][:], results[0][1][:] = 0, 0
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


@pytest.mark.parametrize("name", EACH)
def test_apply_equals_a_call(name: str) -> None:
    image, label = patches(2)
    transform = TrainTransform((48, 64), **EACH[name])
    for seed in range(4):
        got, ids = transform(image, label, np.random.default_rng(seed))
        windows = Windows(image, label)
        done = transform.apply(windows, np.random.default_rng(seed))
        np.testing.assert_array_equal(done.image, got)
        np.testing.assert_array_equal(done.label, ids)


class Windows(WholeSample):
    """A sample that gives copies, so that nothing outside of a window can be seen."""

    def __init__(self, image: np.ndarray, label: np.ndarray) -> None:
        super().__init__(Sample(image, label))

    def window(self, rows: slice, columns: slice) -> Sample:
        height, width = self.size
        assert 0 <= rows.start < rows.stop <= height and 0 <= columns.start < columns.stop <= width
        part = super().window(rows, columns)
        return Sample(part.image.copy(), part.label.copy())


@pytest.mark.parametrize("name", GEOMETRY)
def test_image_and_label_stay_together(name: str) -> None:
    """A picture of its own label: each pixel inside of a patch must still match it."""
    image, label = patches(3)
    options = {"colour": "none", **GEOMETRY[name]}
    if "mix" in options:
        # unscaled: what is pasted may hide one side of a border that interpolation has blended
        options |= {"scale": (1.0, 1.0), "rotation": 0.0}
    transform = TrainTransform((64, 72), **options)
    sharp = []
    for seed in range(12):
        got, ids = transform(image, label, np.random.default_rng(seed))
        inside = np.zeros(ids.shape, bool)
        # at borders of classes, of the crop, and of what was mixed in, neighbours shine through
        same = cv2.erode(ids, np.ones((5, 5))) == cv2.dilate(ids, np.ones((5, 5)))
        inside[2:-2, 2:-2] = same[2:-2, 2:-2]
        inside &= ids != 255
        sharp.append(inside.mean())
        wrong = np.abs(got[inside].astype(int) - 30 * ids[inside, None].astype(int)).max(axis=-1)
        assert wrong.max() <= 1
    assert np.mean(sharp) > 0.1


def test_factors_compose_to_one() -> None:
    size, crop = (400, 1000), (512, 512)
    rng = np.random.default_rng(0)
    fixed = Scaling((2.0, 2.0), None, "uniform", 512, 2048, "pad")
    assert fixed.draw(size, crop, rng) == pytest.approx(2 * 512 / 400)
    limited = Scaling((0.5, 0.5), None, "uniform", 512, 1200, "pad")
    assert limited.draw(size, crop, rng) == pytest.approx(0.5 * 1200 / 1000)
    enlarged = Scaling((0.5, 0.5), None, "uniform", 512, 1200, "enlarge")
    assert enlarged.draw(size, crop, rng) == pytest.approx(512 / 400)
    assert Scaling((0.5, 0.5), None, "uniform", None, None, "enlarge").draw(
        (2048, 2048), crop, rng
    ) == pytest.approx(0.5)


def test_log_uniform_halves_as_often_as_it_doubles() -> None:
    rng = np.random.default_rng(1)
    scaling = Scaling((0.25, 4.0), None, "log_uniform", None, None, "pad")
    drawn = np.log2([scaling.draw_scale(rng) for _ in range(2000)])
    assert -2 <= drawn.min() < -1.9 and 1.9 < drawn.max() <= 2
    assert abs(drawn.mean()) < 0.1 and abs(np.mean(drawn < -1) - 0.25) < 0.04


def test_enlarged_images_fill_the_crop() -> None:
    image, label = patches(4, 37, 91)
    transform = TrainTransform((64, 72), (0.1, 1.0), small="enlarge", colour="none")
    for seed in range(20):
        assert (transform(image, label, np.random.default_rng(seed))[1] != 255).all()


def test_rotation_has_its_probability_and_range() -> None:
    transform = TrainTransform((8, 8), rotation=10.0, rotation_probability=0.5)
    drawn = np.array([transform.draw_angle(np.random.default_rng(i)) for i in range(800)])
    assert 0.44 < np.mean(drawn == 0) < 0.56
    assert -10 <= drawn.min() < -9.5 and 9.5 < drawn.max() <= 10


# Crops by content


def halves(height: int = 64, width: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Class 0 on the left, class 1 on the right, a few pixels of class 2 in a corner."""
    label = np.zeros((height, width), np.uint8)
    label[:, width // 2 :] = 1
    label[3:5, 7:9] = 2
    return np.zeros((height, width, 3), np.uint8), label


def test_crops_that_one_class_fills_are_drawn_again() -> None:
    image, label = halves()
    options: dict[str, Any] = {"scale": (1.0, 1.0), "colour": "none", "flip": 0.0}

    def filled(share: float) -> float:
        transform = TrainTransform((64, 64), max_class_share=share, **options)
        counts = []
        for seed in range(150):
            _, ids = transform(image, label, np.random.default_rng(seed))
            counts.append(np.bincount(ids.ravel()).max() / ids.size >= 0.75)
        return float(np.mean(counts))

    # One crop in 14 has enough of both: 13/14 to the power of 10 are left.
    assert filled(1.0) > 0.85
    assert 0.3 < filled(0.75) < 0.65


def test_void_does_not_count_as_a_class() -> None:
    _, label = halves(64, 64)
    label[:, 20:] = 255
    placement = TrainTransform((64, 64), max_class_share=0.75).placement
    rows = columns = Axis.whole(64, 1.0)
    assert not placement.is_mixed(label, rows, columns)
    label[:, 20:40] = 1
    assert placement.is_mixed(label, rows, columns)


def test_the_label_is_asked_for_once_and_only_if_needed() -> None:
    class Counting(Windows):
        asked = 0

        def label(self) -> np.ndarray:
            self.asked += 1
            return super().label()

    for options, times in (
        ({}, 0),
        ({"max_class_share": 0.01}, 1),
        ({"rare_probability": 1.0}, 1),
        ({"rare_probability": 0.0}, 0),
    ):
        sample = Counting(*halves())
        TrainTransform((64, 64), **options).apply(sample, np.random.default_rng(0))
        assert sample.asked == times, options


@pytest.mark.parametrize("rotation", [0.0, 30.0])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_rare_crops_show_the_class(rotation: float, scale: float) -> None:
    image, label = halves(256, 512)
    label[120:128, 300:308] = 2
    label[3:5, 7:9] = 0
    transform = TrainTransform(
        (64, 64),
        (scale, scale),
        rotation=rotation,
        rotation_probability=1.0,
        rare_probability=1.0,
        rare_classes=[2],
    )
    for seed in range(10):
        _, ids = transform(image, label, np.random.default_rng(seed))
        rows, columns = np.nonzero(ids == 2)
        middle = 8 * scale + 2
        assert abs(rows.mean() - 31.5) < middle and abs(columns.mean() - 31.5) < middle


def test_automatic_rare_classes_are_equally_likely() -> None:
    image, label = halves()
    transform = TrainTransform((4, 4), (1.0, 1.0), rare_probability=1.0, flip=0.0)
    shown = [2 in transform(image, label, np.random.default_rng(seed))[1] for seed in range(300)]
    assert 0.27 < np.mean(shown) < 0.42  # 4 of 32768 pixels, one class of three


def test_an_image_without_the_class_gives_a_crop_anywhere() -> None:
    image, label = halves()
    rare = TrainTransform((16, 16), rare_probability=1.0, rare_classes=[9], colour="none")
    corners = {rare(image, label, np.random.default_rng(i))[1][0, 0] for i in range(20)}
    assert {0, 1} <= corners
    only_void = np.full_like(label, 255)
    assert (rare(image, only_void, np.random.default_rng(0))[1] == 255).all()


def test_classes_by_name() -> None:
    names = ("sky", "pole", "traffic sign")
    transform = TrainTransform((8, 8), rare_probability=0.5, rare_classes=["traffic sign", 0])
    found = for_classes(transform, names)
    assert found.placement.rare_classes == (2, 0)
    assert transform.placement.rare_classes == ("traffic sign", 0)
    automatic = for_classes(TrainTransform((8, 8)), names)
    assert automatic.placement.rare_classes is None
    with pytest.raises(UserError, match="no class 'poles'") as caught:
        for_classes(TrainTransform((8, 8), rare_classes=["poles"]), names)
    assert "did you mean pole?" in str(caught.value.hint)
    with pytest.raises(UserError, match="no class 3"):
        for_classes(TrainTransform((8, 8), rare_classes=[3]), names)


# The options of conf/augment


@pytest.mark.parametrize("name", files.groups()["augment"])
def test_every_choice_of_augment_can_be_made(name: str) -> None:
    from segscape import preflight

    chosen: Any = OmegaConf.to_container(composing.compose([f"augment={name}"]), resolve=True)
    preflight.check_config(chosen, [f"augment={name}"])
    transform = build.factory(chosen["augment"], "augment")()
    cut = getattr(transform, "crop", None)
    assert cut is None or list(cut) == chosen["data"]["crop"]
    image, label = patches(6)
    got, ids = transform(image, label, np.random.default_rng(0))
    assert got.shape[:2] == ids.shape == (tuple(cut) if cut else label.shape)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("augment.rotation=little", "expected float"),
        ("augment.colour=3", "expected str"),
        ("augment.scale_step=often", "augment.scale_step"),
        ("augment.mixx=cutmix", "did you mean augment.mix?"),
    ],
)
def test_wrong_options_are_found_before_the_run(override: str, expected: str) -> None:
    from segscape import preflight

    chosen: Any = OmegaConf.to_container(composing.compose([override]), resolve=True)
    with pytest.raises(UserError) as caught:
        preflight.check_config(chosen, [override])
        build.data(chosen)
    assert expected in str(caught.value)
