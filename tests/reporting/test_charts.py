"""Charts: well-formed, inside their frame, without names that could clash in a page."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.evaluation.calibration import Bin
from budwood.reporting.charts import (
    Chart,
    epoch_chart,
    growth_chart,
    l2_chart,
    linear,
    logarithmic,
    reliability_chart,
    round_ticks,
)
from budwood.reporting.words import words_of

EN = words_of("en")
SIZES = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))


def drawn(svg):
    """The parsed chart; every dot lies in its frame."""
    chart = ElementTree.fromstring(svg)
    assert "id=" not in svg
    assert chart.get("role") == "img"
    assert chart.get("aria-label")
    _, _, width, height = map(float, chart.get("viewBox").split())
    for dot in chart.iter("circle"):
        assert 0 <= float(dot.get("cx")) <= width
        assert 0 <= float(dot.get("cy")) <= height
    assert "nan" not in svg
    return chart


@given(SIZES, SIZES)
def test_ticks_are_round_evenly_spaced_and_hold_all(a, b):
    low, high = sorted((a, b))
    ticks = round_ticks(low, high)
    slack = 1e-6 * max(1.0, high - low)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 8
    steps = [b - a for a, b in pairwise(ticks)]
    assert max(steps) - min(steps) <= 1e-6 * max(1.0, *map(abs, ticks))


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5))
def test_a_logarithmic_scale_holds_its_values(values):
    scale = logarithmic(values)
    assert all(-1e-9 <= scale.at(v) <= 1 + 1e-9 for v in values)


def test_powers_of_ten_are_written_short():
    assert [logarithmic([1e-4, 1e4]).write(v) for v in (1e-4, 0.1, 1000, 1e4)] == [
        "10⁻⁴",
        "0.1",
        "1000",
        "10⁴",
    ]


def test_more_is_higher_and_further_right():
    chart = Chart("t", linear([0, 1]), linear([0, 1]), "x", "y")
    chart.dots([(0, 0), (1, 1)])
    low, high = drawn(str(chart)).iter("circle")
    assert float(low.get("cx")) < float(high.get("cx"))
    assert float(low.get("cy")) > float(high.get("cy"))


def test_words_mean_themselves():
    chart = Chart('a "b" <c>', linear([0, 1]), linear([0, 1]), "x & y", "<y>")
    chart.text(1, 1, "</svg>")
    texts = ["".join(t.itertext()) for t in drawn(str(chart)).iter("text")]
    assert {"x & y", "<y>", "</svg>"} <= set(texts)


@pytest.mark.parametrize("words", [EN, words_of("zh")], ids=["en", "zh"])
def test_every_chart_can_be_drawn(words):
    bins = [Bin(0.9, 1.0, 5, 0.95, 1.0, (0.6, 1.0)), Bin(0.4, 0.5, 1, 0.41, 0.0, (0.0, 0.8))]
    assert len(list(drawn(reliability_chart(bins, words)).iter("circle"))) == 2
    points = [
        {"images": 10, "top1": 0.5, "interval": [0.4, 0.6]},
        {"images": 100, "top1": 0.8, "interval": [0.7, 0.9]},
    ]
    for ahead in (None, {"images": 200, "top1": 0.9, "interval": [0.8, 1.0]}):
        curve = {"points": points, "forecast": ahead}
        dots = list(drawn(growth_chart(curve, words)).iter("circle"))
        assert len(dots) == 2 + (ahead is not None)
    candidates = [{"l2_strength": p, "loss": 1.0, "standard_error": 0.1} for p in (100.0, 1.0)]
    assert words["chosen"] in l2_chart(candidates, 1.0, words)
    drawn(l2_chart(candidates[:1], 5.0, words))


@pytest.mark.parametrize("epochs", [1, 2, 7, 100])
def test_epochs_are_whole_numbers(epochs):
    history = [{"epoch": i, "loss": 2.0 / i, "val_loss": 2.5 / i} for i in range(1, epochs + 1)]
    chart = drawn(epoch_chart(history, EN))
    texts = ["".join(t.itertext()) for t in chart.iter("text")]
    assert {"training", "validation", "epoch", "loss"} <= set(texts)
    below = [t for t in texts if re.fullmatch(r"\d+", t) and int(t) > 3]
    assert all(int(t) <= epochs for t in below)
