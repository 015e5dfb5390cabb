"""The fused crop equals resizing the whole image and cutting."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from segscape.data.base import Sample
from segscape.data.transforms import TrainTransform
from segscape.data.transforms.geometry import Axis, Resampling
from segscape.data.transforms.rotation import Rotation
from segscape.errors import UserError


def scene(seed: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise: the hardest image for an interpolation."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, rng.integers(0, 11, (height, width), dtype=np.uint8)


def nearest_by_definition(label: np.ndarray, rows: Axis, columns: Axis) -> np.ndarray:
    """The pixel that holds the centre, one by one, in integers."""

    def source(axis: Axis) -> list[int]:
        pixels = range(axis.offset, axis.offset + axis.count)
        return [((2 * i + 1) * axis.size) // (2 * axis.scaled) for i in pixels]

    return np.array([[label[y, x] for x in source(columns)] for y in source(rows)])


def resample(
    image: np.ndarray, label: np.ndarray, rows: Axis, columns: Axis, antialias: bool = False
) -> Sample:
    """From the source pixels of the window, and no others."""
    resampling = Resampling(rows, columns, antialias)
    window = resampling.window()
    return resampling(Sample(image[window].copy(), label[window].copy()))


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.0, 1.25, 1.75, 2.0, 2.25, 0.613, 1.377, 2.141])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (75, 101)])
def test_crop_equals_resizing_the_whole_image(scale: float, height: int, width: int) -> None:
    image, label = scene(0, height, width)
    rng = np.random.default_rng(1)
    for _ in range(6):
        rows = Axis.draw(height, scale, 40, rng)
        columns = Axis.draw(width, scale, 56, rng)
        cut = np.s_[
            rows.offset : rows.offset + rows.count, columns.offset : columns.offset + columns.count
        ]
        shape = (columns.scaled, rows.scaled)
        whole = cv2.resize(image, shape, interpolation=cv2.INTER_LINEAR)[cut]
        got = resample(image, label, rows, columns)
        fused = got.image
        difference = np.abs(fused.astype(int) - whole)
        if rows.aligned() and columns.aligned():
            assert difference.max() == 0
        else:
            # Measured with OpenCV 5: 1 grey level. Versions before 4.12 round the position
            # to 1/32 pixel, which on noise is at most 255 / 32 per axis and rounding.
            assert difference.max() <= 17
            assert difference.mean() < 3
        expected = nearest_by_definition(label, rows, columns)
        np.testing.assert_array_equal(got.label, expected)


def test_grid_of_the_recipe_takes_the_exact_path() -> None:
    for scale in np.arange(0.5, 2.51, 0.25):
        for size in (360, 480, 720, 960, 256, 512, 1024, 2048):
            assert Axis(size, round(size * scale), 0, 100).aligned() is not None


def test_edges_of_the_image_are_reached() -> None:
    """Crops at the first and the last position, where neighbours are missing."""
    image, label = scene(2, 60, 80)
    for scaled, offset in ((97, 0), (97, 57), (45, 0), (45, 5)):
        rows = Axis(60, scaled, offset, 40)
        columns = Axis(80, 80, 0, 80)
        whole = cv2.resize(image, (80, scaled), interpolation=cv2.INTER_LINEAR)
        difference = (
            resample(image, label, rows, columns).image.astype(int) - whole[offset : offset + 40]
        )
        assert np.abs(difference).max() <= 9


def test_antialias_averages() -> None:
    image, label = scene(3, 80, 80)
    axis = Axis(80, 20, 4, 12)
    fused = resample(image, label, axis, axis, antialias=True).image
    blocks = image[16:64, 16:64].reshape(12, 4, 12, 4, 3).mean((1, 3))
    assert np.abs(fused - blocks).max() <= 0.51


@pytest.mark.parametrize("scale", [0.125, 0.25, 0.375, 0.5, 0.75, 0.613, 0.377, 0.141, 0.98])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (151, 203)])
def test_antialias_equals_averaging_over_the_whole_image(
    scale: float, height: int, width: int
) -> None:
    image, label = scene(8, height, width)
    rng = np.random.default_rng(2)
    for _ in range(6):
        rows = Axis.draw(height, scale, 20, rng)
        columns = Axis.draw(width, scale, 24, rng)
        cut = np.s_[
            rows.offset : rows.offset + rows.count, columns.offset : columns.offset + columns.count
        ]
        shape = (columns.scaled, rows.scaled)
        whole = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)[cut]
        got = resample(image, label, rows, columns, antialias=True)
        difference = np.abs(got.image.astype(int) - whole)
        if rows.aligned() and columns.aligned():
            assert difference.max() <= 1
        else:
            # the window's edges are off by up to 1/32 source pixel, on both axes
            assert difference.max() <= 1 + 2 * 255 / 32
            assert difference.mean() < 1.5
        np.testing.assert_array_equal(got.label, nearest_by_definition(label, rows, columns))


def test_antialias_reads_little_more_than_the_crop() -> None:
    for size, scale in ((2048, 0.613), (1024, 0.377), (2048, 0.8111)):
        axis = Axis.whole(size, scale).cut(200, 100)
        source, length, within = axis.covered()
        assert within.stop - within.start == 100 and length < 100 + 2 * 33
        assert abs(source.start - (200 - within.start) * axis.step) <= 1 / 32
        assert source.stop - source.start < (100 + 2 * 33) * axis.step + 1


def canvas(
    size: tuple[int, int], scale: float, degrees: float, antialias: bool = False
) -> Rotation:
    """The view of a whole turned image."""
    rows, columns = (Axis.whole(length, scale) for length in size)
    return Rotation(rows, columns, degrees, antialias, pad_value=99)


def turn(image: np.ndarray, label: np.ndarray, view: Rotation) -> Sample:
    window = view.window()
    return view(Sample(image[window].copy(), label[window].copy()))


def test_right_angles_are_exact() -> None:
    image, label = scene(9, 40, 40)
    for quarters in (1, 2, 3):
        got = turn(image, label, canvas((40, 40), 1.0, 90 * quarters))
        np.testing.assert_array_equal(got.image, np.rot90(image, quarters))
        np.testing.assert_array_equal(got.label, np.rot90(label, quarters))


def by_definition(view: Rotation, row: float, column: float) -> tuple[float, float]:
    """A crop's position in the source: turn back about the centre, then scale."""
    y = view.rows.offset + row - view.rows.scaled / 2
    x = view.columns.offset + column - view.columns.scaled / 2
    back = complex(x, -y) * np.exp(-1j * np.radians(view.degrees))
    return (
        (view.rows.scaled / 2 - back.imag) * view.rows.size / view.rows.scaled,
        (view.columns.scaled / 2 + back.real) * view.columns.size / view.columns.scaled,
    )


@pytest.mark.parametrize("degrees", [10.0, -7.3, 33.0])
@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_rotation_follows_its_formula(degrees: float, scale: float) -> None:
    """A linear picture, which bilinear interpolation reproduces, and its nearest labels."""
    rows, columns = np.mgrid[0:60, 0:80]
    image = np.stack([3 * rows, 3 * columns, rows + columns], axis=-1).astype(np.uint8)
    label = (rows // 4 * 20 + columns // 4).astype(np.uint8) % 200
    view = canvas((60, 80), scale, degrees)
    view = Rotation(view.rows.cut(9, 24), view.columns.cut(11, 20), degrees, pad_value=99)
    got = turn(image, label, view)
    assert got.image.shape == (24, 20, 3) and got.label.shape == (24, 20)
    seen = 0
    for i in range(24):
        for j in range(20):
            y, x = by_definition(view, i + 0.5, j + 0.5)
            if not (0.5 <= y <= 59.5 and 0.5 <= x <= 79.5):
                # at the edge the image fades within a pixel; further out there is none
                if not (-0.6 < y < 60.6 and -0.6 < x < 80.6):
                    assert got.label[i, j] == 255 and (got.image[i, j] == 99).all()
                continue
            seen += 1
            wanted = np.array([3 * (y - 0.5), 3 * (x - 0.5), y + x - 1])
            assert np.abs(got.image[i, j] - wanted).max() <= 1
            if min(abs(y - round(y)), abs(x - round(x))) > 0.02:
                assert got.label[i, j] == label[int(y), int(x)]
    assert seen > 200


def test_a_turned_crop_is_a_crop_of_the_turned_image() -> None:
    image, label = scene(10, 90, 120)
    for scale, antialias in ((0.7, False), (1.4, False), (0.3, True)):
        view = canvas((90, 120), scale, 12.0, antialias)
        whole = turn(image, label, view)
        for offset in (0, 7):
            part = Rotation(
                view.rows.cut(offset, 20), view.columns.cut(offset, 16), 12.0, antialias, 99
            )
            got = turn(image, label, part)
            cut = np.s_[offset : offset + 20, offset : offset + 16]
            assert np.abs(got.image.astype(int) - whole.image[cut]).max() <= 17
            assert np.abs(got.image.astype(int) - whole.image[cut]).mean() < 1
            assert (got.label == whole.label[cut]).mean() > 0.99


def test_rotation_averages_when_shrinking() -> None:
    image, label = scene(11, 120, 120)
    got = turn(image, label, canvas((120, 120), 0.125, 0.001, antialias=True))
    blocks = image.reshape(15, 8, 15, 8, 3).mean((1, 3))
    # the outermost samples fade into the grey outside
    assert np.abs(got.image - blocks)[1:-1, 1:-1].max() <= 2


def test_flips_are_exact() -> None:
    image, label = scene(12, 50, 70)
    options = {"scale": (0.6, 0.6), "rotation": 8.0, "antialias": True, "colour": "none"}
    plain, mirrored = (TrainTransform((24, 32), flip=p, **options) for p in (0.0, 1.0))
    for seed in range(5):
        got, ids = plain(image, label, np.random.default_rng(seed))
        flipped, flipped_ids = mirrored(image, label, np.random.default_rng(seed))
        np.testing.assert_array_equal(flipped, got[:, ::-1])
        np.testing.assert_array_equal(flipped_ids, ids[:, ::-1])


def test_image_and_label_stay_together() -> None:
    """A picture of its own label: each result pixel must still match it."""
    rng = np.random.default_rng(0)
    label = np.kron(rng.integers(0, 8, (12, 16)), np.ones((16, 16))).astype(np.uint8)
    image = np.repeat((label * 30)[..., None], 3, axis=2)
    transform = TrainTransform((64, 64), scale=(0.5, 2.0), colour="none")
    for seed in range(20):
        got, ids = transform(image, label, np.random.default_rng(seed))
        pure = np.zeros((64, 64), bool)
        inside = cv2.erode(ids, np.ones((5, 5))) == cv2.dilate(ids, np.ones((5, 5)))
        # At the crop's edge the neighbours that interpolation uses are not in the result.
        pure[2:-2, 2:-2] = inside[2:-2, 2:-2]
        assert pure.mean() > 0.1
        assert (got[pure & (ids != 255)] == 30 * ids[pure & (ids != 255), None]).all()


def test_small_images_are_padded_with_ignore() -> None:
    image, label = scene(4, 30, 40)
    transform = TrainTransform((50, 60), (1.0, 1.0), flip=0.0, colour="none")
    got, ids = transform(image, label, np.random.default_rng(0))
    np.testing.assert_array_equal(got[:30, :40], image)
    np.testing.assert_array_equal(ids[:30, :40], label)
    outside = np.ones((50, 60), bool)
    outside[:30, :40] = False
    assert (got[outside] == 127).all() and (ids[outside] == 255).all()
    mirrored = TrainTransform((50, 60), (1.0, 1.0), flip=1.0, colour="none")
    flipped, flipped_ids = mirrored(image, label, np.random.default_rng(0))
    np.testing.assert_array_equal(flipped, got[:, ::-1])
    np.testing.assert_array_equal(flipped_ids, ids[:, ::-1])


def test_same_generator_same_result_and_inputs_untouched() -> None:
    image, label = scene(5, 64, 96)
    before = image.copy(), label.copy()
    for scale in ((0.4, 2.5), (1.0, 1.0)):
        transform = TrainTransform((48, 64), scale)
        results = [transform(image, label, np.random.default_rng(i)) for i in (7, 7, 8)]
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])
        assert (results[0][0] != results[2][0]).any()
        for got, ids in results:
            assert got.shape == (48, 64, 3) and got.dtype == np.uint8 and got.flags.c_contiguous
            assert ids.shape == (48, 64) and ids.dtype == np.uint8 and ids.flags.c_contiguous
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])


def test_scales_positions_and_flips_cover_their_range() -> None:
    transform = TrainTransform((8, 8), (0.5, 2.0), scale_step=0.25)
    np.testing.assert_allclose(transform.scaling.scales, np.arange(2, 9) / 4)
    rng = np.random.default_rng(0)
    drawn = {transform.scaling.draw_scale(rng) for _ in range(300)}
    assert drawn == set(transform.scaling.scales.tolist())
    assert {Axis.draw(10, 1.0, 8, rng).offset for _ in range(100)} == {0, 1, 2}
    image = np.zeros((8, 8, 3), np.uint8)
    label = np.arange(64, dtype=np.uint8).reshape(8, 8)
    plain = TrainTransform((8, 8), (1.0, 1.0), colour="none")
    flipped = [plain(image, label, np.random.default_rng(i))[1][0, 0] == 7 for i in range(400)]
    assert 0.4 < np.mean(flipped) < 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": (0, 8)}, r"augment\.crop"),
        ({"crop": 8}, r"augment\.crop=8"),
        ({"crop": None}, r"augment\.crop=None"),
        ({"crop": (8, 8, 3)}, r"augment\.crop"),
        ({"crop": (8.5, 8)}, r"augment\.crop"),
        ({"scale": (2.0, 0.5)}, r"augment\.scale"),
        ({"scale": (0.0, 0.5)}, r"augment\.scale"),
        ({"scale": 1.0}, r"augment\.scale"),
        ({"scale": ("a", "b")}, r"augment\.scale"),
        ({"scale_step": 0}, r"augment\.scale_step"),
        ({"flip": 1.5}, r"augment\.flip"),
        ({"brightness": 2.0}, r"augment\.brightness"),
        ({"hue": -1}, r"augment\.hue"),
        ({"jitter_probability": "often"}, r"augment\.jitter_probability"),
        ({"pad_value": 300}, r"augment\.pad_value"),
        ({"antialias": 1}, r"augment\.antialias"),
        ({"scale_draw": "log-uniform"}, r"augment\.scale_draw"),
        ({"scale_draw": "log_uniform", "scale_step": 0.25}, r"augment\.scale_draw"),
        ({"short_side": 0}, r"augment\.short_side"),
        ({"short_side": 51.2}, r"augment\.short_side"),
        ({"long_side": 2048}, r"augment\.long_side"),
        ({"short_side": 512, "long_side": 256}, r"augment\.long_side"),
        ({"small": "grow"}, r"augment\.small"),
        ({"rotation": -5}, r"augment\.rotation"),
        ({"rotation_probability": 2}, r"augment\.rotation_probability"),
        ({"colour": "none", "hue": 10.0}, r"augment\.hue"),
        ({"blur": 1.1}, r"augment\.blur"),
        ({"blur_kernel": 4}, r"augment\.blur_kernel"),
        ({"blur_sigma": [2.0, 1.0]}, r"augment\.blur_sigma"),
        ({"max_class_share": 0}, r"augment\.max_class_share"),
        ({"rare_probability": -0.1}, r"augment\.rare_probability"),
        ({"rare_classes": "pole"}, r"augment\.rare_classes"),
        ({"rare_classes": []}, r"augment\.rare_classes"),
        ({"rare_classes": [300]}, r"augment\.rare_classes"),
        ({"mix_probability": 7}, r"augment\.mix_probability"),
        ({"mix": "mosaic", "crop": (1, 8)}, r"augment\.crop"),
    ],
)
def test_wrong_arguments_are_named(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrainTransform(**({"crop": (8, 8)} | options))


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        ({"colour": "padleseg"}, "paddleseg"),
        ({"mix": "cut_mix"}, "cutmix"),
        ({"small": "pda"}, "pad"),
    ],
)
def test_the_nearest_choice_is_named(options: dict, meant: str) -> None:
    with pytest.raises(UserError, match=r"is not a choice") as caught:
        TrainTransform((8, 8), **options)
    assert f"={meant}?" in str(caught.value.hint)
