"""The learning curve: what more photos would bring, and how sure that is."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import DataError
from budwood.judging.learning_curve import LearningCurve, Point, _resampled, learning_curve


def true_error(n):
    return 0.03 + 1.2 * n**-0.5


def measured(sizes, seed, judged=600):
    """A curve through what photos would show on which harder ones are missed by more probes."""
    random = np.random.default_rng(seed)
    hard = random.random(judged)
    hits = [(hard > true_error(n)).astype(float) for n in sizes]
    points = tuple(
        Point(n / sizes[-1], n, float(h.mean()), (0.0, 1.0), 1)
        for n, h in zip(sizes, hits, strict=True)
    )
    return LearningCurve(points, sizes[-1], 5, judged, _resampled(hits, judged, seed))


def test_a_forecast_covers_what_will_be_measured():
    inside = 0
    for seed in range(40):
        curve = measured((100, 200, 400, 800, 1000), seed)
        low, high = curve.forecast(200, judged_on=600).interval
        truth = 1 - np.random.default_rng(1000 + seed).binomial(600, true_error(2000)) / 600
        inside += low <= truth <= high
    assert inside >= 36


def test_a_forecast_covers_the_true_accuracy():
    inside = 0
    for seed in range(40):
        low, high = measured((100, 200, 400, 800, 1000), seed).forecast(200).interval
        inside += low <= 1 - true_error(2000) <= high
    assert inside >= 34


def test_what_is_measured_on_few_photos_is_less_certain():
    curve = measured((100, 200, 400, 800), 1)
    ends = [curve.forecast(100, judged_on=n).interval for n in (None, 2000, 100)]
    widths = [high - low for low, high in ends]
    assert widths == sorted(widths)


@given(st.integers(0, 50))
def test_more_photos_never_promise_less(seed):
    curve = measured((100, 200, 400, 800), seed)
    forecasts = [curve.forecast(extra).top1 for extra in (0, 100, 1000, 10_000)]
    assert forecasts == sorted(forecasts)
    assert forecasts[0] >= 0
    assert forecasts[-1] <= 1


def test_a_forecast_is_an_estimate_inside_its_interval_and_counts_photos_of_all_classes():
    forecast = measured((100, 200, 400), 1).forecast(50)
    estimate, low, high = forecast
    assert low <= estimate <= high
    assert forecast.photos == 400 + 50 * 5


def test_a_perfect_classifier_is_forecast_to_stay_nearly_perfect():
    points = tuple(Point(n / 400, n, 1.0, (0.99, 1.0), 1) for n in (100, 200, 400))
    curve = LearningCurve(points, 400, 2, 300, np.zeros((50, 3)))
    assert curve.forecast(100).top1 > 0.99


def test_it_is_measured_on_rows(clusters):
    x, y = clusters(300, 10, 3, spread=2.5)
    curve = learning_curve(x, y, 3, penalty=5.0)
    assert (curve.photos, curve.classes, curve.judged) == (300, 3, 300)
    assert [p.photos for p in curve.points] == [24, 48, 96, 192, 240]
    assert curve.points[0].top1 < curve.points[-1].top1
    assert all(p.interval[0] < p.top1 < p.interval[1] for p in curve.points)
    said = json.loads(json.dumps(curve.to_json()))
    assert [p["share"] for p in said["points"]] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert said["forecast"]["photos"] == 600
    assert "With 100 more photos of each class (600 in all)" in str(curve)


def test_a_class_without_photos_does_not_count(clusters):
    x, y = clusters(120, 10, 3, spread=2.5)
    assert learning_curve(x, y, 5, penalty=5.0).classes == 3


def test_the_same_seed_gives_the_same_curve(clusters):
    x, y = clusters(120, 10, 3, spread=2.5)
    one, two = (learning_curve(x, y, 3, penalty=5.0, seed=3).to_json() for _ in range(2))
    assert one == two


def test_too_few_photos_are_no_curve(clusters):
    curve = learning_curve(*clusters(6, 4, 3), 3, penalty=1.0)
    assert curve.to_json()["forecast"] is None
    assert "too few photos for a learning curve" in str(curve)
    with pytest.raises(DataError, match=r"too few for a forecast.*Add photos"):
        curve.forecast(100)


def test_rows_without_labels_are_refused():
    with pytest.raises(DataError, match="at least two photos, got 3 and 2 labels"):
        learning_curve(torch.zeros(3, 2), torch.tensor([0, 1]), 2, penalty=1.0)
