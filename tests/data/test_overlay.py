import numpy as np
import pytest

from segscape.data.overlay import colorize, error_map, gallery_panel, overlay

PALETTE = ((10, 20, 30), (200, 100, 0))


def test_colours_by_id_and_void_for_the_rest():
    painted = colorize(np.array([[0, 1, 2, 255]], np.uint8), PALETTE, void=(1, 2, 3))
    assert painted.tolist() == [[[10, 20, 30], [200, 100, 0], [1, 2, 3], [1, 2, 3]]]


def test_overlay_against_the_formula_in_floats():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 30, 3), np.uint8)
    mask = rng.integers(0, 2, (20, 30)).astype(np.uint8)
    mask[3:6] = 255
    for alpha in (0.0, 0.3, 1.0):
        shown = overlay(image, mask, PALETTE, alpha, contour=False)
        named = (mask < 2)[..., None]
        wanted = np.where(named, (1 - alpha) * image + alpha * colorize(mask, PALETTE), image)
        assert np.abs(shown - wanted).max() <= 1
        np.testing.assert_array_equal(shown[3:6], image[3:6])


def test_contour_is_where_classes_meet():
    image = np.full((4, 6, 3), 77, np.uint8)
    mask = np.zeros((4, 6), np.uint8)
    mask[:, 3:] = 1
    shown = overlay(image, mask, PALETTE, alpha=0.0)
    assert (shown[:, 2] == PALETTE[0]).all()
    assert (shown[:, [0, 1, 3, 4, 5]] == 77).all()


def test_overlay_refuses_another_size():
    with pytest.raises(ValueError, match=r"\(4, 6\).*\(6, 4\)"):
        overlay(np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4), np.uint8), PALETTE)


def test_error_map_marks_wrong_right_and_void():
    found = error_map(np.array([[0, 1, 255]], np.uint8), np.array([[0, 0, 1]], np.uint8))
    assert len({tuple(pixel) for pixel in found[0]}) == 3
    assert found[0, 1, 0] > found[0, 1, 1:].max()


@pytest.mark.parametrize("errors", [False, True])
def test_panel_shows_image_truth_and_prediction_side_by_side(errors):
    rng = np.random.default_rng(0)
    height, width = 200, 260
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.integers(0, 2, (height, width)).astype(np.uint8)
    label[:9] = 255
    prediction = 1 - np.minimum(label, 1)
    panel = gallery_panel(image, label, prediction, PALETTE, ("sky", "road"), errors=errors)
    columns = [image, colorize(label, PALETTE), colorize(prediction, PALETTE)]
    if errors:
        columns.append(error_map(label, prediction))
    assert panel.shape[1] == len(columns) * width + (len(columns) - 1) * 4
    top = next(y for y in range(panel.shape[0]) if (panel[y, :width] == image[0]).all())
    for place, wanted in enumerate(columns):
        left = place * (width + 4)
        np.testing.assert_array_equal(panel[top : top + height, left : left + width], wanted)
    legend = panel[top + height :].reshape(-1, 3)
    for colour in [*PALETTE, (0, 0, 0)]:
        assert (legend == colour).all(axis=1).any()


def test_panel_needs_neither_palette_nor_names():
    mask = np.arange(40, dtype=np.uint8).reshape(4, 10)
    panel = gallery_panel(np.zeros((4, 10, 3), np.uint8), mask, mask, (), ())
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 40
