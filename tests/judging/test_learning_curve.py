"""The learning curve: what more photos would bring, and how sure that is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import DataError
from budwood.judging.learning_curve import LearningCurve, Point, learning_curve


def true_error(n):
    return 0.03 + 1.2 * n**-0.5


def measured(sizes, seed, judged=600):
    random = np.random.default_rng(seed)
    points = tuple(
        Point(n, judged - random.binomial(judged, true_error(n)), judged, 1) for n in sizes
    )
    return LearningCurve(points, 5, judged)


def test_a_forecast_covers_what_comes_about():
    inside = 0
    for seed in range(40):
        forecast = measured((100, 200, 400, 800, 1000), seed).forecast(2000, seed)
        low, high = forecast.interval
        truth = 1 - np.random.default_rng(1000 + seed).binomial(600, true_error(2000)) / 600
        inside += low <= truth <= high
    assert inside >= 34


@given(st.integers(0, 50))
def test_more_photos_never_promise_less(seed):
    curve = measured((100, 200, 400, 800), seed)
    forecasts = [curve.forecast(n).top1 for n in (100, 400, 1600, 6400)]
    assert forecasts == sorted(forecasts)
    assert forecasts[0] >= 0
    assert forecasts[-1] <= 1


def test_the_same_seed_gives_the_same_forecast():
    curve = measured((100, 200, 400), 1)
    assert curve.forecast(900, 3) == curve.forecast(900, 3)


def test_parts_are_stratified_and_judged_on_the_same_photos():
    labels, seen = np.arange(200) % 4, []

    def right_with(part):
        seen.append(part)
        return np.arange(50) < 40

    curve = learning_curve(right_with, labels, 4)
    assert [p.photos for p in curve.points] == [20, 40, 80, 160, 200]
    assert [p.draws for p in curve.points] == [3, 3, 3, 3, 1]
    assert {p.top1 for p in curve.points} == {0.8}
    for part in seen:
        counts = np.bincount(labels[part], minlength=4)
        assert counts.min() == counts.max()
        assert len(set(part.tolist())) == len(part)


def test_parts_too_small_to_learn_from_are_passed_over():
    labels = np.array([0] * 50 + [1] * 6)
    curve = learning_curve(lambda part: np.ones(10, bool), labels, 2)
    assert curve.points[0].photos == 22
    assert curve.to_json()["forecast"] is not None


def test_two_points_are_no_curve():
    curve = measured((100, 200), 0)
    with pytest.raises(DataError, match="too few for a forecast"):
        curve.forecast(1000)
    assert curve.to_json()["forecast"] is None
