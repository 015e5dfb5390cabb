import random

import pytest

from segscape.runs.pareto import front


def naive(points, directions):
    def beats(one, other):
        ahead = [(a >= b) if w == "max" else (a <= b) for a, b, w in zip(one, other, directions)]  # noqa: B905
        return all(ahead) and one != other

    return [i for i, p in enumerate(points) if not any(beats(q, p) for q in points)]


@pytest.mark.parametrize("directions", [("max", "min"), ("max", "min", "min"), ("max",)])
@pytest.mark.parametrize("levels", [3, 1000])
def test_the_front_is_what_no_point_beats(directions, levels):
    chance = random.Random(levels)
    points = [tuple(chance.randrange(levels) for _ in directions) for _ in range(200)]
    assert front(points, directions) == naive(points, directions)


def test_a_point_as_good_in_one_and_worse_in_the_other_is_off():
    assert front([(0.7, 10.0), (0.7, 12.0), (0.6, 10.0)], ("max", "min")) == [0]


def test_equal_points_are_both_on():
    assert front([(0.7, 10.0), (0.7, 10.0)], ("max", "min")) == [0, 1]


def test_a_point_without_a_value_is_on_no_front_and_beats_none():
    points = [(0.9, None), (0.5, 10.0), (float("nan"), 1.0)]
    assert front(points, ("max", "min")) == [1]
