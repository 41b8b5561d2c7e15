"""The learning curve: what it says, and when it says that it cannot forecast."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from budwood.errors import DataError
from budwood.evaluation.learning_curve import curve_of, learning_curve
from budwood.learning.training_sizes import PartialFit

SIZES = (100, 200, 400, 800)


def falling(n):
    return 0.03 + 1.2 * n**-0.5


def curve(errors=falling, sizes=SIZES, seed=0, judged=600, groups=None):
    """The curve of images of which harder ones are missed by more probes, in four draws."""
    random = np.random.default_rng(seed)
    hard = random.random(judged)
    fits = [
        PartialFit(
            n / sizes[-1], n, (hard + random.uniform(-0.01, 0.01, (4, judged)) > errors(n)) * 1.0
        )
        for n in sizes
    ]
    return replace(curve_of(fits, np.arange(judged) % 5, groups), images=sizes[-1])


def test_a_rising_curve_is_forecast_to_rise_on():
    forecast = curve().forecast(160)
    assert forecast.is_useful
    assert forecast.images == 1600
    assert forecast.naive.top1 < forecast.top1
    assert forecast.naive.images == 800
    estimate, (low, high) = forecast.top1, forecast.interval
    assert low < estimate < high


def test_the_share_that_falls_is_what_the_sizes_show_where_they_show_much():
    law = curve(lambda n: 0.04 + 1.6 * n**-0.5, (100, 400, 1600), judged=40_000)._power_law()
    assert law.falling == pytest.approx(0.5, abs=0.05)
    assert 1 - law.at(6400)[0] == pytest.approx(0.06, abs=0.004)


def test_the_share_that_falls_is_the_usual_one_where_they_show_little():
    law = curve(lambda n: 5 * n**-0.5, (100, 110, 120), judged=60)._power_law()
    assert law.falling == pytest.approx(0.4, abs=0.15)


def test_what_is_measured_on_few_images_is_less_certain():
    ends = [curve().forecast(100, judged_on=n).interval for n in (None, 2000, 100)]
    widths = [high - low for low, high in ends]
    assert widths == sorted(widths)
    assert widths[0] < widths[2] / 1.5


@given(st.integers(0, 50))
def test_more_images_never_promise_less(seed):
    made = curve(seed=seed)
    forecasts = [made.forecast(extra).top1 for extra in (0, 100, 1000, 10_000)]
    assert forecasts == sorted(forecasts)
    assert 0 <= forecasts[0] <= forecasts[-1] <= 1


def test_a_flat_curve_cannot_be_forecast_and_stays_as_it_is():
    made = curve(lambda n: 0.1 + 3 * n**-1.5 + (n < 300) * 0.01)
    forecast = made.forecast(100)
    assert not forecast.is_useful
    assert forecast.top1 == forecast.naive.top1
    assert forecast.interval[0] == forecast.naive.interval[0]
    assert forecast.interval[1] > forecast.naive.interval[1]
    assert forecast.reason == ("From 400 to 800 photos accuracy rose no more than chance allows.")
    said = made.to_json()
    assert said["forecast"] is None
    assert said["reason"] == forecast.reason
    assert said["naive"]["top1"] == forecast.top1
    text = str(made)
    assert f"cannot be forecast. {forecast.reason} If nothing changed it would stay at" in text
    assert "expect" not in text


def test_a_curve_whose_own_sizes_were_forecast_worse_than_naive_is_not_forecast():
    steps = {50: 0.7, 100: 0.25, 200: 0.24, 400: 0.20}
    forecast = curve(steps.get, tuple(steps), judged=20_000).forecast(100)
    assert "Sizes forecast from smaller ones were further off than no change" in forecast.reason


def test_few_groups_cannot_forecast():
    groups = np.arange(600) % 12
    forecast = curve(groups=groups).forecast(100)
    assert forecast.reason == "The curve has 12 groups of at least 20 that it needs."


def test_few_sizes_cannot_forecast():
    forecast = curve(sizes=(100, 200)).forecast(100)
    assert forecast.reason == "The curve has 2 sizes of at least 3 that it needs."
    assert curve(sizes=(100,)).forecast(100).top1 == curve(sizes=(100,)).points[0].top1


def test_images_of_large_groups_say_less():
    y, random = np.zeros(600, int), np.random.default_rng(0)
    hits = np.tile(np.repeat(random.random(60) > 0.2, 10), (4, 1)) * 1.0
    fits = [PartialFit(1.0, 480, hits)]
    alone, grouped = (curve_of(fits, y, groups) for groups in (None, np.repeat(np.arange(60), 10)))
    widths = [c.points[0].interval[1] - c.points[0].interval[0] for c in (alone, grouped)]
    assert widths[1] > 1.5 * widths[0]
    assert (alone.groups, grouped.groups) == (600, 60)
    assert grouped.covariance[0, 0] > 4 * alone.covariance[0, 0]


def test_draws_that_differ_say_less():
    hits = np.zeros((4, 500))
    for i, right in enumerate((300, 350, 400, 450)):
        hits[i, :right] = 1
    drawn = [
        curve_of([PartialFit(1.0, 400, h)], np.zeros(500, int), None)
        for h in (hits, np.repeat(hits.mean(0, keepdims=True), 4, 0))
    ]
    widths = [c.points[0].interval[1] - c.points[0].interval[0] for c in drawn]
    assert widths[0] > 1.5 * widths[1]


def test_all_right_stays_all_right():
    made = curve(lambda n: -0.1)
    forecast = made.forecast(100)
    assert forecast.top1 == 1.0
    assert forecast.interval[1] == 1.0
    assert forecast.interval[0] > 0.99
    assert not forecast.is_useful


def test_all_wrong_is_no_crash():
    assert curve(lambda n: 2.0).forecast(100).top1 == 0.0


def test_it_is_measured_on_rows(clusters):
    x, y = clusters(1500, 60, 3, spread=6.0)
    made = learning_curve(x, y, 3, l2_strength=60.0)
    assert (made.images, made.classes, made.judged, made.groups) == (1500, 3, 1500, 1500)
    assert [p.images for p in made.points] == [150, 300, 600, 1200]
    assert made.points[0].top1 < made.points[-1].top1
    assert all(p.interval[0] < p.top1 < p.interval[1] for p in made.points)
    said = json.loads(json.dumps(made.to_json()))
    assert [p["share"] for p in said["points"]] == [0.125, 0.25, 0.5, 1.0]
    assert {p["draws"] for p in said["points"]} == {4}
    assert said["forecast"]["images"] == 1800
    assert said["reason"] is None
    assert said["naive"]["top1"] == said["points"][-1]["top1"]
    text = str(made)
    assert "With 100 more photos of each class (1800 in all) expect" in text
    assert f"if nothing changed it would stay at {said['naive']['top1']:.3f}." in text
    assert "accuracy on new photos of the same kind" in text


def test_groups_are_held_out_together(clusters):
    x, y = clusters(300, 10, 3, spread=2.5)
    # Every image is there twice: a head that has seen the other one would know it.
    x, y, groups = x.repeat(2, 1), torch.randint(3, (300,)).repeat(2), np.arange(600) % 300
    assert learning_curve(x, y, 3, l2_strength=0.01, groups=groups).points[-1].top1 < 0.45


def test_a_class_without_images_does_not_count(clusters):
    x, y = clusters(120, 10, 3, spread=2.5)
    assert learning_curve(x, y, 5, l2_strength=5.0).classes == 3


def test_the_same_seed_gives_the_same_curve(clusters):
    x, y = clusters(120, 10, 3, spread=2.5)
    one, two = (learning_curve(x, y, 3, l2_strength=5.0, seed=3).to_json() for _ in range(2))
    assert one == two


def test_too_few_images_are_no_curve(clusters):
    made = learning_curve(*clusters(6, 4, 3), 3, l2_strength=1.0)
    said = made.to_json()
    assert said["forecast"] is said["naive"] is None
    assert said["reason"] == "The curve has 0 sizes of at least 3 that it needs."
    assert "too few photos for a learning curve" in str(made)
    with pytest.raises(DataError, match=r"6 photos are too few for a learning curve.*Add photos"):
        made.forecast(100)


def test_rows_without_labels_are_refused():
    with pytest.raises(DataError, match="at least two photos, got 3 and 2 labels"):
        learning_curve(torch.zeros(3, 2), torch.tensor([0, 1]), 2, l2_strength=1.0)
